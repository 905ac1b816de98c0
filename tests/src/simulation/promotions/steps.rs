//! The steps of a promotion, done to the simulated servers.

use rr_core::engine::{Log, Observation};
use rr_core::failover::{Step, Told};
use rr_core::position::Timeline;
use rr_core::topology::{HealthState, NodeId, Role};
use rr_core::world::Event;

use super::{GRANT, LASTS, PATIENCE, Undertaking};
use crate::simulation::Lie;
use crate::simulation::faults::Mend;
use crate::simulation::lies;
use crate::simulation::oracle::promotion::Owed;
use crate::simulation::plan::{between, ms, one_in};
use crate::simulation::run::{Action, Member, Simulation};
use crate::simulation::server::{Replay, Server};
use crate::simulation::trace::note;

impl Simulation {
    /// `None` when it is not done yet.
    pub(super) fn carry_out(&mut self, under: &mut Undertaking, step: Step) -> Option<Told> {
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
                    self.tell(Event::Fenced(node));
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

    /// Whether anybody may be told to take over, after these looks.
    fn check_head(&self, under: &Undertaking, looks: &[(NodeId, Observation)]) -> Result<(), Told> {
        let was_told = |member: &&Member| under.starts.contains_key(&member.server);
        let told: Vec<NodeId> = self.members.iter().filter(was_told).map(|member| member.id).collect();
        let head = self.world.check_head(under.machine.task(), &told, looks);
        head.or_else(|why| if self.lies(Lie::Oblivious) { Ok(()) } else { Err(Told::Objected(why)) })
    }

    /// The servers that answer, by the nodes that they are.
    fn reached(&mut self) -> Vec<(NodeId, usize)> {
        let nodes: Vec<(NodeId, usize)> =
            self.members.iter().filter(|m| !m.left).map(|m| (m.id, m.server)).collect();
        nodes.into_iter().filter(|(_, server)| self.reaches(*server)).collect()
    }

    /// What those show, to a closer look or to a probe.
    fn shown(
        &self,
        under: &mut Undertaking,
        reached: &[(NodeId, usize)],
        closely: bool,
    ) -> Vec<(NodeId, Observation)> {
        under.looked_at.clear();
        under.looked_when = self.now;
        let mut shown = Vec::new();
        for (node, server) in reached {
            let (there, wal) = (&self.truth.servers[*server], &self.truth.wal);
            let seen = if closely { there.look(wal, self.now) } else { there.observe(wal, self.now, true) };
            let Some(seen) = seen else { continue };
            if let (true, Log::Postgres { timeline, .. }) = (there.system == self.truth.system, &seen.log) {
                under.looked_at.push((*server, there.writable, timeline.map_or(0, Timeline::get)));
            }
            shown.push((*node, seen));
        }
        shown
    }

    fn look(&mut self, under: &mut Undertaking, from: Option<usize>) -> Told {
        let reached = self.reached();
        let looks = self.shown(under, &reached, true);
        if let Err(told) = self.check_head(under, &looks) {
            return told;
        }
        let there = |server: usize| &self.truth.servers[server];
        let primary_answers = under.machine.task().planned
            && reached.iter().any(|(_, server)| Some(*server) == from && there(*server).writable);
        let mut replicas = self.world.candidates(&looks);
        for view in &mut replicas {
            match looks.iter().find(|(id, _)| *id == view.id) {
                None => view.health = HealthState::Unhealthy,
                Some(_) if !view.answers() => view.health = HealthState::Degraded,
                Some(_) => {}
            }
        }
        under.old = from.map(|server| self.truth.servers[server].content);
        let standby = |server: &&Server| !server.writable && server.system == self.truth.system;
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
        if self.now >= self.lease_until {
            return Told::Failed("the lease is not held any more".to_owned());
        }
        let again = if self.now.since(under.looked_when) > LASTS { self.reached() } else { Vec::new() };
        let shown = if again.is_empty() { Vec::new() } else { self.shown(under, &again, false) };
        if let Err(told) = self.check_head(under, &shown) {
            return told;
        }
        if !self.reaches(server) || self.truth.servers[server].writable {
            return Told::Failed("no connection, or it is a primary already".to_owned());
        }
        under.starts.insert(server, self.truth.servers[server].starts);
        under.verify_until = Some(self.now + ms(PATIENCE));
        if self.truth.servers[server].ending {
            // It was promoted already, and this changes nothing.
            return Told::Done;
        }
        let Undertaking { looked_at, applied, frozen, old, .. } = &*under;
        let owed = Owed { task: *under.machine.task(), looked_at, applied, frozen: *frozen, old: *old };
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
}
