//! Sessions of the application: they write to the accepted primary and read from whatever selection gives them.

use std::sync::Arc;

use fastrand::Rng;
use rr_core::balance::Candidates;
use rr_core::config::ReadPreference;
use rr_core::consistency::Consistency;
use rr_core::engine::Fault;
use rr_core::load::{Flight, Load};
use rr_core::position::{Lsn, PgPosition, Position, Timeline};
use rr_core::requirement::{Requirement, Seen};
use rr_core::select::{Ask, Selected};
use rr_core::session::Session;
use rr_core::time::Moment;
use rr_core::topology::{Epoch, NodeId, Topology};

use super::Lie;
use super::monitor::Told;
use super::oracle::choice;
use super::plan::{between, ms, one_in, pick};
use super::run::{Action, Simulation};
use super::trace::note;
use super::wal::{BranchId, Content, SEGMENT};

/// A session, and what it in truth wrote and saw.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) session: Session,
    pub(super) level: Consistency,
    /// So many of ten steps are writes; a session that only reads has nothing but its memory to hold it to.
    writes: u32,
    pub(super) wrote: Vec<Written>,
    pub(super) seen: Vec<Content>,
    /// Who served the reads that have no position yet, and which of its data.
    unplaced: Vec<(NodeId, u32)>,
}

/// A commit of a session.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) point: Content,
    /// Its position as it was captured, if it was.
    pub(super) position: Option<Position>,
    /// The epoch in which it was made.
    pub(super) epoch: Epoch,
}

/// A write on its way.
#[derive(Debug)]
pub(super) struct Writing {
    client: usize,
    node: NodeId,
    epoch: Epoch,
    /// The last read before it.
    follows: Option<Seen>,
    _flight: Flight,
}

/// What a read asks for, and what it is owed: what its session had written and seen when it began.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    pub(super) client: usize,
    pub(super) level: Consistency,
    pub(super) requirement: Requirement,
    pub(super) wrote: Vec<Written>,
    pub(super) seen: Vec<Content>,
    tried: Vec<NodeId>,
    /// Another one of the session is on its way at the same time.
    beside: bool,
}

/// A read on its way to the node that was chosen.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) asking: Asking,
    pub(super) node: NodeId,
    /// The node was chosen as the primary.
    pub(super) as_primary: bool,
    pub(super) topology: Arc<Topology>,
    pub(super) asked_at: Moment,
    /// Already then nobody could know better.
    pub(super) excused: bool,
    /// The node's data then.
    pub(super) incarnation: Option<u32>,
    /// The branch that the accepted primary had shown then.
    pub(super) branch: Option<BranchId>,
    flight: Flight,
}

impl Client {
    pub(super) fn new(rng: &mut Rng, number: usize) -> Self {
        use Consistency as C;
        let bounded = C::Bounded(between(rng, 30, 800));
        let levels = [C::Session, C::Session, C::ReadAfterWrite, bounded, C::Strong, C::Eventual];
        let level = if number == 0 { C::Session } else { pick(rng, &levels) };
        let writes = pick(rng, &[0, 3, 3, 5]);
        let session = Session::new();
        Self { session, level, writes, wrote: Vec::new(), seen: Vec::new(), unplaced: Vec::new() }
    }

    /// Looks at what became known since its last step.
    fn catch_up(&mut self, topology: &Topology) {
        self.session.catch_up(topology);
        if self.session.follows().is_none() {
            self.unplaced.clear();
        }
    }

    /// A lost write is reported to the application, and whatever it does then, it begins anew.
    fn renew(&mut self) {
        *self = Self {
            session: Session::new(),
            level: self.level,
            writes: self.writes,
            wrote: Vec::new(),
            seen: Vec::new(),
            unplaced: Vec::new(),
        };
    }

    /// Keeps what is not part of something else.
    pub(super) fn note_seen(&mut self, content: Content, includes: impl Fn(Content, Content) -> bool) {
        self.seen.retain(|old| !includes(content, *old));
        if !self.seen.iter().any(|old| includes(*old, content)) {
            self.seen.push(content);
        }
    }
}

impl Simulation {
    /// Other applications write to every primary that they reach.
    pub(super) fn traffic(&mut self) {
        for server in 0..self.truth.servers.len() {
            let primary = &self.truth.servers[server];
            let writes = primary.alive && primary.writable && !primary.frozen && self.last_write.is_none();
            if writes && self.rng.bool() {
                self.commit(server);
            }
        }
        let busy = if self.rng.u32(0..20) == 0 { 400 } else { 25 };
        let next = self.soon(busy);
        self.agenda.add(next, Action::Traffic);
    }

    /// The worst that an idle primary can be left with: its log ends with a page, or even a segment.
    pub(super) fn last_write(&mut self) {
        let Some(leader) = self.truth.leader() else { return };
        let branch = self.truth.servers[leader].content.branch;
        let size = self.truth.wal.room(branch, self.rng.bool());
        let end = self.truth.write(leader, size, Some(self.now));
        self.last_write = self.capture(leader);
        note!(self, "the last write ends at {end:?}, position {:?}", self.last_write);
    }

    fn commit(&mut self, server: usize) -> Content {
        let branch = self.truth.servers[server].content.branch;
        if one_in(&mut self.rng, 3) {
            let size = self.rng.u64(24..400);
            self.truth.write(server, size, None);
        }
        let size = match self.rng.u32(0..12) {
            0..3 => self.truth.wal.room(branch, false),
            3 => self.truth.wal.room(branch, true),
            _ => self.rng.u64(24..3_000),
        };
        self.truth.write(server, size, Some(self.now))
    }

    pub(super) fn client(&mut self, client: usize) {
        let topology = Arc::clone(&self.topology);
        self.forget_replaced(client);
        self.clients[client].catch_up(&topology);
        if self.rng.u32(0..10) < self.clients[client].writes {
            match topology.primary() {
                Ok(primary) => {
                    let follows = self.clients[client].session.follows();
                    let (node, epoch) = (primary.id, topology.epoch());
                    let writing = Writing { client, node, epoch, follows, _flight: self.fly(node) };
                    let at = self.latency();
                    return self.agenda.add(at, Action::Write(writing));
                }
                Err(_) => self.stats.happened.failed_writes += 1,
            }
        } else {
            // Some users have two tabs.
            if one_in(&mut self.rng, 8) {
                let asking = self.asking(client, true);
                self.choose(asking);
            }
            let asking = self.asking(client, false);
            return self.choose(asking);
        }
        self.rest(client);
    }

    fn asking(&self, client: usize, beside: bool) -> Asking {
        let Client { session, level, wrote, seen, .. } = &self.clients[client];
        let mut requirement = session.requirement(*level);
        if self.lies(Lie::Blind) {
            requirement = Requirement::NONE;
        }
        if self.lies(Lie::Forgetful) {
            requirement.seen = None;
        }
        let (wrote, seen) = (wrote.clone(), seen.clone());
        Asking { client, level: *level, requirement, wrote, seen, tried: Vec::new(), beside }
    }

    /// A sample of other data says nothing about what was read. Only asking on the connection of the read would.
    fn forget_replaced(&mut self, client: usize) {
        let incarnation = |id: NodeId| self.member(id).map(|m| self.truth.servers[m.server].incarnation);
        let replaced = |(node, data): &(NodeId, u32)| incarnation(*node) != Some(*data);
        if self.clients[client].unplaced.iter().any(replaced) {
            self.clients[client].seen.clear();
            self.clients[client].unplaced.clear();
            self.oracle.replaced();
        }
    }

    fn rest(&mut self, client: usize) {
        let next = self.soon(60);
        self.agenda.add(next, Action::Client(client));
    }

    pub(super) fn write(&mut self, writing: Writing) {
        let Some(server) = self.member(writing.node).map(|member| member.server) else { return };
        let primary = &self.truth.servers[server];
        if self.last_write.is_some() {
            return self.rest(writing.client);
        }
        let reachable = primary.alive && !self.truth.cut[server].clients;
        if !reachable || !primary.writable || primary.frozen || primary.system != self.truth.system {
            self.stats.happened.failed_writes += 1;
            self.fault_on(writing.node, if reachable { Fault::ReadOnly } else { Fault::Refused });
            return self.rest(writing.client);
        }
        let branch = primary.content.branch;
        let point = self.commit(server);
        self.worked_on(writing.node);
        self.stats.happened.writes += 1;
        self.stats.happened.page_ends += u64::from(point.lsn.is_multiple_of(8192));
        self.oracle.wrote(server, &self.truth);
        // Others may write before the position is asked for.
        if one_in(&mut self.rng, 4) {
            self.commit(server);
        }
        let position = (!one_in(&mut self.rng, 4)).then(|| self.capture(server)).flatten();
        note!(self, "session {} wrote {point:?} on db{server}, position {position:?}", writing.client);
        let client = &mut self.clients[writing.client];
        match &position {
            Some(position) => {
                client.session.wrote(position);
                writing.follows.into_iter().for_each(|seen| client.session.settle_by_write(seen));
            }
            None => client.session.wrote_unplaced(self.now),
        }
        client.wrote.retain(|old| old.point.branch != branch || old.position.is_none());
        client.wrote.push(Written { point, position, epoch: writing.epoch });
        self.rest(writing.client);
    }

    /// What an adapter asks for on the connection that has just committed.
    fn capture(&self, server: usize) -> Option<Position> {
        let branch = self.truth.servers[server].content.branch;
        let lsn = Lsn::from_u64(self.truth.wal.insert_pointer(branch)).normalised(SEGMENT);
        let timeline = Timeline::new(self.truth.wal.timeline(branch))?;
        Some(Position::Postgres(PgPosition::new(timeline, lsn)))
    }

    fn choose(&mut self, asking: Asking) {
        use ReadPreference as P;
        let topology = Arc::clone(&self.topology);
        let preferences = [P::ReplicaPreferred, P::Replica, P::Nearest, P::PrimaryPreferred, P::Primary];
        let usual = self.rng.u32(0..4) > 0;
        let requirement = &asking.requirement;
        let mut ask = Ask::new(requirement, self.now);
        ask.preference = if usual { P::ReplicaPreferred } else { pick(&mut self.rng, &preferences) };
        ask.group = pick(&mut self.rng, &[None, None, None, Some("analytics"), Some("unheard-of")]);
        ask.tried = &asking.tried;
        let selected = ask.select(&topology);
        self.oracle.check(self.now, choice::check(&ask, &topology, self.plan.config.spill, selected));
        if one_in(&mut self.rng, 8) {
            self.oracle.check(self.now, choice::check_reasons(&ask, &topology, selected));
        }
        let (index, as_primary) = match selected {
            Selected::Among(set) => {
                let index = match set.len() {
                    0 | 1 => set.nth(0).unwrap_or_default(),
                    _ => self.balance(&topology, set),
                };
                self.oracle.check(self.now, choice::member(set, index));
                (index, topology.primary().is_ok_and(|p| p.id == topology.nodes()[index].id))
            }
            Selected::Primary(index) | Selected::Fallback(index) => (index, true),
            other => {
                debug_assert_eq!(other, Selected::Nowhere);
                self.stats.happened.nowhere_reads += 1;
                return self.rest_after(&asking);
            }
        };
        let happened = &mut self.stats.happened;
        *match (selected, as_primary) {
            (Selected::Fallback(_), _) => &mut happened.fallback_reads,
            (_, true) => &mut happened.primary_reads,
            (_, false) => &mut happened.replica_reads,
        } += 1;
        happened.covered_reads += u64::from(requirement.covers.is_some() && !as_primary);
        let node = topology.nodes()[index].id;
        happened.followed_reads += u64::from(requirement.seen.is_some() && !as_primary);
        let excused = self.oracle.excused(node, None, &self.truth).is_some();
        let server = self.member(node).and_then(|member| self.truth.servers.get(member.server));
        let reading = Reading {
            node,
            as_primary,
            incarnation: server.map(|server| server.incarnation),
            branch: self.world.head().and_then(|(primary, _)| self.oracle.branch_of(primary)),
            topology,
            asked_at: self.now,
            excused,
            asking,
            flight: self.fly(node),
        };
        let at = self.latency();
        self.agenda.add(at, Action::Read(reading));
    }

    fn fly(&self, node: NodeId) -> Flight {
        self.member(node).map(|member| member.flights.fly()).unwrap_or_else(|| Arc::<Load>::default().fly())
    }

    fn balance(&mut self, topology: &Topology, set: rr_core::topology::NodeSet) -> usize {
        let load_of = |id| self.member(id).map(|member| Arc::clone(&member.load)).unwrap_or_default();
        let loads: Vec<_> = topology.nodes().iter().map(|node| load_of(node.id)).collect();
        let candidates = Candidates::new(topology, &loads, set);
        let chosen = self.balancer.choose(&candidates, self.rng.u64(..));
        if chosen >= set.len() {
            self.oracle.object(self.now, format!("node {chosen} of {} was picked", set.len()));
        }
        set.nth(chosen.min(set.len() - 1)).unwrap_or_default()
    }

    pub(super) fn read(&mut self, mut reading: Reading) {
        let Some(member) = self.member(reading.node) else { return };
        let index = member.server;
        let server = &self.truth.servers[index];
        if !server.alive || self.truth.cut[index].clients {
            self.stats.happened.retried_reads += 1;
            self.fault_on(reading.node, if server.alive { Fault::Timeout } else { Fault::Lost });
            if reading.asking.tried.len() >= 2 {
                return self.rest_after(&reading.asking);
            }
            reading.asking.tried.push(reading.node);
            if self.lies(Lie::Leaky) {
                std::mem::forget(reading.flight);
            }
            return self.choose(reading.asking);
        }
        let (content, incarnation) = (server.content, server.incarnation);
        self.members
            .iter()
            .filter(|member| member.id == reading.node)
            .for_each(|member| member.load.observe(self.now.since(reading.asked_at)));
        self.worked_on(reading.node);
        note!(
            self,
            "session {} ({}) reads {content:?} on {} ({})",
            reading.asking.client,
            reading.asking.level,
            reading.node,
            Self::describe(&reading.asking.requirement)
        );
        let lost = self.oracle.read(self.now, &reading, &self.truth, index);
        let Reading { asking, node, as_primary, .. } = reading;
        if lost {
            note!(self, "session {} has lost a write and begins anew", asking.client);
            self.clients[asking.client].renew();
            return self.rest_after(&asking);
        }
        if asking.level == Consistency::Session {
            let wal = &self.truth.wal;
            let client = &mut self.clients[asking.client];
            client.note_seen(content, |a, b| wal.includes(a, b));
            client.unplaced.push((node, incarnation));
            let proven = asking.requirement.seen.filter(|_| !as_primary);
            client.session.served(node, self.now, proven);
        }
        self.rest_after(&asking);
    }

    fn rest_after(&mut self, asking: &Asking) {
        if !asking.beside {
            self.rest(asking.client);
        }
    }

    fn fault_on(&mut self, node: NodeId, fault: Fault) {
        let Some(member) = self.members.iter_mut().find(|member| member.id == node) else { return };
        member.faults += 1;
        let run = member.faults;
        self.agenda.add(self.now, Action::Hear(Told::Faulted { node, fault, run }));
    }

    fn worked_on(&mut self, node: NodeId) {
        self.members.iter_mut().filter(|member| member.id == node).for_each(|member| member.faults = 0);
    }

    /// How long a statement takes to get to its server.
    fn latency(&mut self) -> Moment {
        let longest = if one_in(&mut self.rng, 20) { ms(120) } else { ms(3) };
        self.now + longest.mul_f64(self.rng.f64())
    }
}
