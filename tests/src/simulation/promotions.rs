//! Promotions that the world orders: each step of [`Promotion`] is done to the simulated servers, and may fail before,
//! while and after it is done.
//!
//! What is drawn here comes from dice of its own, so that a seed means the same weather with it and without it.

use std::collections::BTreeMap;

use rr_core::engine::Observation;
use rr_core::failover::{Ending, Promotion, Step, Task, Told};
use rr_core::time::Moment;
use rr_core::topology::{HealthState, NodeId, Role};
use rr_core::world::Event;

use super::Lie;
use super::faults::Mend;
use super::lies;
use super::oracle::promotion::Owed;
use super::plan::{between, ms, one_in};
use super::run::{Action, Simulation};
use super::server::Replay;
use super::trace::note;
use super::wal::Content;

/// How long a grant of the lease lasts.
const GRANT: u64 = 200;

/// How long a candidate is given to show that it has taken over.
const PATIENCE: u64 = 400;

/// A promotion under way.
#[derive(Debug)]
pub(super) struct Undertaking {
    pub(super) machine: Promotion,
    number: u64,
    /// Nobody waits for a candidate for longer.
    verify_until: Option<Moment>,
    /// What each standby had applied at the closer look.
    applied: Vec<Content>,
    /// What the old primary had when it was made to refuse writes.
    frozen: Option<Content>,
    /// What the old primary had at the closer look.
    old: Option<Content>,
    /// How often each server had been started when it was told to take over.
    starts: BTreeMap<usize, u32>,
    /// Servers that were told to take over.
    told: Vec<usize>,
    candidate: Option<NodeId>,
}

impl Simulation {
    /// The world orders a promotion, or somebody a switchover.
    pub(super) fn undertake(&mut self, planned: bool) {
        if self.undertaking.is_some() || self.peace {
            return self.tell(Event::Promoted { sent: false, in_doubt: None });
        }
        let mut task = Task::default();
        task.from = self.world.head().map(|(id, _)| id);
        task.planned = planned;
        task.fence = self.plan.fence;
        let machine = Promotion::new(task, self.plan.config.failover.clone(), self.now);
        self.undertakings += 1;
        self.busy = true;
        let number = self.undertakings;
        self.undertaking = Some(Undertaking {
            machine,
            number,
            verify_until: None,
            applied: Vec::new(),
            frozen: None,
            old: None,
            starts: BTreeMap::new(),
            told: Vec::new(),
            candidate: None,
        });
        self.oracle.holding = true;
        self.next_step(number);
        self.tell(Event::Undertaken);
        if self.lies(Lie::Distracted) {
            self.tell(Event::Promoted { sent: false, in_doubt: None });
        }
    }

    fn next_step(&mut self, number: u64) {
        let longest = if one_in(&mut self.dice, 6) { 120 } else { 8 };
        let at = self.now + between(&mut self.dice, 0, longest);
        self.agenda.add(at, Action::Step(number));
    }

    /// Does a step of the promotion.
    pub(super) fn step(&mut self, number: u64) {
        if self.undertaking.as_ref().is_none_or(|under| under.number != number) {
            return;
        }
        let Some(mut under) = self.undertaking.take() else { return };
        let step = under.machine.step();
        if let Some(told) = self.carry_out(&mut under, step) {
            note!(self, "promotion: {step:?} → {told:?}");
            under.machine.advance(told, self.now);
        }
        let candidate = under.machine.candidate();
        if candidate != under.candidate {
            self.stats.happened.next_candidates += u64::from(under.candidate.is_some());
            under.candidate = candidate;
            if let (Some(to), false) = (candidate, under.machine.task().planned) {
                self.tell(Event::Promoting { to });
            }
        }
        match under.machine.ending().filter(|_| under.machine.step() == Step::End).cloned() {
            None => {
                self.undertaking = Some(under);
                self.next_step(number);
            }
            Some(ending) => self.conclude(&under, &ending),
        }
    }

    fn conclude(&mut self, under: &Undertaking, ending: &Ending) {
        note!(self, "promotion: {ending:?}, to do: {:?}", under.machine.to_do());
        let happened = &mut self.stats.happened;
        let in_doubt = match ending {
            Ending::Promoted(_) => {
                happened.taken_over += 1;
                None
            }
            Ending::Stopped(_) => {
                happened.given_up += 1;
                None
            }
            Ending::InDoubt(node, _) => {
                happened.doubts += 1;
                let at = self.now + between(&mut self.dice, 200, 1_500);
                self.agenda.add(at, Action::Mend(Mend::Doubt(*node)));
                Some(*node)
            }
        };
        let sent = !matches!(ending, Ending::Stopped(_));
        self.oracle.holding = in_doubt.is_some();
        self.busy = false;
        self.tell(Event::Promoted { sent, in_doubt });
    }

    /// Somebody looks at the node in doubt: if it has not taken over, it never will.
    pub(super) fn clear_doubt(&mut self, node: NodeId) {
        if self.world.in_doubt() != Some(node) {
            return;
        }
        if let Some(index) = self.member(node).map(|member| member.server) {
            let server = &mut self.truth.servers[index];
            if server.writable && server.alive && server.system == self.truth.system {
                // It has taken over, and will be seen.
                let at = self.now + ms(100);
                return self.agenda.add(at, Action::Mend(Mend::Doubt(node)));
            }
            server.told = false;
            if server.writable {
                server.fenced = true;
            }
        }
        note!(self, "somebody has looked: {node} has not taken over");
        self.oracle.holding = self.undertaking.is_some();
        self.tell(Event::Cleared);
    }

    /// `None` when it is not done yet.
    fn carry_out(&mut self, under: &mut Undertaking, step: Step) -> Option<Told> {
        let task = *under.machine.task();
        let from = task.from.and_then(|id| self.member(id)).map(|member| member.server);
        let failed = |why: &str| Told::Failed(why.to_owned());
        Some(match step {
            Step::Lease | Step::ConfirmLease if !self.lease && !self.lies(Lie::LeaseUnconfirmed) => {
                failed("the lease is lost")
            }
            Step::Lease | Step::ConfirmLease => {
                // Nobody takes it away before a grant has expired.
                self.lease_until = self.now + ms(GRANT);
                Told::Done
            }
            Step::Fence => match from {
                Some(server) if !one_in(&mut self.dice, 4) => {
                    self.fence(server);
                    Told::Done
                }
                _ => failed("no answer"),
            },
            Step::FenceCandidate(node) => match self.member(node).map(|member| member.server) {
                Some(server) if !one_in(&mut self.dice, 4) => {
                    self.fence(server);
                    Told::Done
                }
                _ => failed("no answer"),
            },
            Step::Look => self.look(under, from),
            Step::Hold => {
                let to = under.machine.candidate()?;
                self.tell(Event::Promoting { to });
                Told::Done
            }
            Step::Drain if one_in(&mut self.dice, 8) => failed("a transaction is open"),
            Step::Drain => Told::Done,
            Step::Freeze => match from.filter(|server| self.reaches(*server)) {
                Some(server) => {
                    let old = &mut self.truth.servers[server];
                    old.frozen = true;
                    under.frozen = Some(old.content);
                    Told::Done
                }
                None => failed("no connection"),
            },
            Step::Thaw => {
                // In the end somebody resets it.
                if let Some(server) = from {
                    self.truth.servers[server].frozen = false;
                }
                Told::Done
            }
            Step::CatchUp(node) => self.catch_up(node, task.planned, from)?,
            Step::Promote(node) => self.tell_to_take_over(under, node),
            Step::Verify(node) => self.verify(under, node)?,
            Step::Repoint(node) => self.repoint_others(node, from),
            _ => failed("unheard of"),
        })
    }

    /// Whether the promotion's own connection gets through, and the server answers.
    fn reaches(&mut self, server: usize) -> bool {
        let lost = !self.peace && one_in(&mut self.dice, 20);
        let there = &self.truth.servers[server];
        there.alive && !there.fenced && !self.truth.cut[server].monitor && !lost
    }

    fn fence(&mut self, server: usize) {
        note!(self, "db{server} is fenced");
        let fenced = &mut self.truth.servers[server];
        fenced.alive = false;
        fenced.told = false;
        fenced.fenced = true;
        let at = self.now + between(&mut self.dice, 100, 1_500);
        self.agenda.add(at, Action::Mend(Mend::Unfence(server)));
    }

    /// Whether somebody else has promoted somebody meanwhile.
    fn is_overtaken(&self, task: &Task) -> bool {
        self.topology.primary().is_ok_and(|primary| Some(primary.id) != task.from)
    }

    fn look(&mut self, under: &mut Undertaking, from: Option<usize>) -> Told {
        if self.is_overtaken(under.machine.task()) {
            return Told::Failed("somebody else is the primary".to_owned());
        }
        let nodes: Vec<(NodeId, usize)> =
            self.members.iter().filter(|m| !m.left).map(|m| (m.id, m.server)).collect();
        let mut looks: Vec<(NodeId, Observation)> = Vec::new();
        let mut primary_answers = false;
        for (node, server) in nodes {
            if !self.reaches(server) {
                continue;
            }
            let there = &self.truth.servers[server];
            primary_answers |= Some(server) == from && there.writable;
            looks.extend(there.look(&self.truth.wal, self.now).map(|seen| (node, seen)));
        }
        let mut replicas = self.world.candidates(&looks);
        for view in &mut replicas {
            match looks.iter().find(|(id, _)| *id == view.id) {
                None => view.health = HealthState::Unhealthy,
                Some(_) if !view.answers() => view.health = HealthState::Degraded,
                Some(_) => {}
            }
        }
        under.old = from.map(|server| self.truth.servers[server].content);
        let standby =
            |server: &&super::server::Server| server.follows() && server.system == self.truth.system;
        under.applied = self.truth.servers.iter().filter(standby).map(|server| server.content).collect();
        let last_known = self.world.last_known();
        if self.lies(Lie::Unelected) {
            lies::level(&mut replicas, last_known.as_ref());
        }
        Told::Looked { replicas, last_known, primary_answers }
    }

    fn catch_up(&mut self, node: NodeId, planned: bool, from: Option<usize>) -> Option<Told> {
        let server = self.member(node).map(|member| member.server)?;
        let failed = |why: &str| Some(Told::Failed(why.to_owned()));
        if one_in(&mut self.dice, 12) {
            note!(self, "db{server} dies while it catches up");
            self.truth.servers[server].alive = false;
            self.later_by_dice(Mend::Start { server, crashed: true });
        }
        if !self.reaches(server) {
            return failed("no connection");
        }
        let standby = &mut self.truth.servers[server];
        if standby.writable {
            return failed("it is a primary already");
        }
        if planned {
            let end = from.map(|old| self.truth.servers[old].content)?;
            let there = self.truth.servers[server].content;
            let has = self.truth.wal.includes(there, end) || self.lies(Lie::Hasty);
            return if has { Some(Told::Done) } else { failed("it did not end in time") };
        }
        // A paused replay goes on.
        standby.replay = Replay::Prompt;
        standby.apply(&self.truth.wal, usize::MAX);
        Some(Told::Done)
    }

    fn tell_to_take_over(&mut self, under: &mut Undertaking, node: NodeId) -> Told {
        let Some(server) = self.member(node).map(|member| member.server) else {
            return Told::Failed("it has left".to_owned());
        };
        let overtaken = self.is_overtaken(under.machine.task());
        if self.now >= self.lease_until {
            return Told::Failed("the lease is not held any more".to_owned());
        }
        if overtaken || !self.reaches(server) || self.truth.servers[server].writable {
            return Told::Failed("no connection, or somebody else is the primary".to_owned());
        }
        under.starts.insert(server, self.truth.servers[server].starts);
        under.verify_until = Some(self.now + ms(PATIENCE));
        if self.truth.servers[server].ending {
            // It was promoted already, and this changes nothing.
            return Told::Done;
        }
        let owed = Owed { applied: &under.applied, frozen: under.frozen, old: under.old };
        let at_stake = self.oracle.taking_over(self.now, server, &owed, &under.told, self.lease, &self.truth);
        self.stats.happened.writes_at_stake += u64::from(at_stake);
        under.told.push(server);
        let unknown = Told::Unknown("the connection broke".to_owned());
        match self.dice.u32(0..10) {
            // It never got there.
            0 => return unknown,
            1 => {
                note!(self, "db{server} dies as it is told to take over");
                self.truth.servers[server].alive = false;
                self.later_by_dice(Mend::Start { server, crashed: true });
                return unknown;
            }
            2 => {
                self.truth.servers[server].told = true;
                let at = self.now + between(&mut self.dice, 0, 600);
                self.agenda.add(at, Action::Promote { server, ours: true });
                return unknown;
            }
            _ => {}
        }
        self.truth.servers[server].told = true;
        let at = self.now + between(&mut self.dice, 1, 30);
        self.agenda.add(at, Action::Promote { server, ours: true });
        Told::Done
    }

    fn verify(&mut self, under: &mut Undertaking, node: NodeId) -> Option<Told> {
        if self.topology.primary().is_ok_and(|primary| primary.id == node) {
            return Some(Told::Done);
        }
        let server = self.member(node).map(|member| member.server)?;
        if self.lies(Lie::Impatient) {
            return Some(Told::Failed("it was started again".to_owned()));
        }
        let restarted = under.starts.get(&server) != Some(&self.truth.servers[server].starts);
        if restarted && self.reaches(server) && !self.truth.servers[server].writable {
            return Some(Told::Failed("it was started again".to_owned()));
        }
        let late = under.verify_until.is_none_or(|until| self.now >= until);
        late.then(|| Told::Unknown("it did not end in time".to_owned()))
    }

    fn repoint_others(&mut self, node: NodeId, from: Option<usize>) -> Told {
        let Some(leader) = self.member(node).map(|member| member.server) else {
            return Told::Failed("it has left".to_owned());
        };
        let mut told = Vec::new();
        let others: Vec<(NodeId, usize)> = self
            .members
            .iter()
            .filter(|member| !member.left && member.server != leader && Some(member.server) != from)
            .map(|member| (member.id, member.server))
            .collect();
        for (id, server) in others {
            let ours = self.truth.servers[server].system == self.truth.system;
            if self.topology.node(id).is_none_or(|node| node.role != Role::Replica) || !ours {
                continue;
            }
            let reached = self.reaches(server) && !self.truth.servers[server].writable;
            if reached {
                note!(self, "db{server} is pointed to db{leader}");
                self.truth.servers[server].upstream = Some(leader);
            }
            told.push((id, if reached { Ok(()) } else { Err("no connection".to_owned()) }));
        }
        Told::Repointed(told)
    }

    fn later_by_dice(&mut self, mend: Mend) {
        let at = self.now + between(&mut self.dice, 20, 800);
        self.agenda.add(at, Action::Mend(mend));
    }

    /// The lease is lost, or won again; the world hears of it a moment later.
    pub(super) fn lease_turns(&mut self) {
        if self.peace {
            return;
        }
        if self.lease && self.now < self.lease_until {
            return self.agenda.add(self.lease_until, Action::LeaseTurns);
        }
        self.lease = !self.lease;
        note!(self, "the lease is held: {}", self.lease);
        self.stats.happened.leases_lost += u64::from(!self.lease);
        let heard = self.now + between(&mut self.dice, 0, 100);
        self.agenda.add(heard, Action::LeaseHeard(self.lease));
        let (from, to) = if self.lease { (300, 4_000) } else { (20, 600) };
        let next = self.now + between(&mut self.dice, from, to);
        self.agenda.add(next, Action::LeaseTurns);
    }

    /// Somebody wants another primary, although this one is well.
    pub(super) fn switchover(&mut self) {
        if self.peace {
            return;
        }
        if self.undertaking.is_none() && self.world.in_doubt().is_none() && self.lease {
            note!(self, "a switchover is asked for");
            self.undertake(true);
        }
        let next = self.now + between(&mut self.dice, 800, 6_000);
        self.agenda.add(next, Action::Switchover);
    }

    /// At the end nothing is under way and nothing in doubt.
    pub(super) fn end_undertaking(&mut self) {
        for server in &mut self.truth.servers {
            (server.told, server.fenced, server.frozen) = (false, false, false);
        }
        self.busy = false;
        let sent = self.undertaking.take().is_some_and(|under| under.machine.was_sent());
        self.oracle.holding = false;
        self.tell(Event::Promoted { sent, in_doubt: None });
    }
}
