//! The monitor in simulation: probes that are asked, answered, delayed, lost and reordered, and a monitor that stalls.

use rr_core::engine::{Fault, Observation};
use rr_core::time::Moment;
use rr_core::topology::{NodeId, Role};
use rr_core::world::{Event, NodeSpec};

use super::oracle::Answer;
use super::plan::{between, one_in};
use super::run::{Action, Member, Simulation};
use super::trace::note;

/// What the monitor hears.
#[derive(Debug)]
pub(super) enum Told {
    Answered { answer: Answer, seen: Observation },
    Silent(NodeId),
    Faulted { node: NodeId, fault: Fault, run: u32 },
    Joined(usize),
    Draining(NodeId),
    Left(NodeId),
    Tick,
}

impl Simulation {
    /// Announces the node at an address.
    pub(super) fn join(&mut self, server: usize) {
        if self.members.iter().any(|member| member.server == server && !member.left) {
            return;
        }
        let id = NodeId::new(u32::try_from(self.members.len()).unwrap_or(u32::MAX));
        let expected = if server == 0 { Role::Primary } else { Role::Replica };
        let node = self.plan.config.nodes().nth(server).cloned().unwrap_or_default();
        let spec = NodeSpec::from_config(&node, expected, &self.plan.config);
        self.members.push(Member {
            id,
            server,
            left: false,
            draining: false,
            faults: 0,
            load: std::sync::Arc::default(),
            flights: std::sync::Arc::default(),
        });
        self.oracle.joined(id, server);
        note!(self, "{} joins as {id}", spec.name);
        self.tell(Event::Joined(id, spec));
        let first = self.soon(10);
        self.agenda.add(first, Action::Turn(id));
    }

    pub(super) fn turn(&mut self, node: NodeId) {
        if self.member(node).is_none_or(|member| member.left) {
            return;
        }
        let interval = self.plan.config.monitor.interval;
        let next = self.now + interval / 2 + between(&mut self.rng, 0, 50);
        self.agenda.add(next, Action::Turn(node));
        if self.now >= self.stalled_until {
            self.ask(node);
        }
    }

    /// Probes a node.
    fn ask(&mut self, node: NodeId) {
        let asked_at = self.now;
        let lost = !self.peace && one_in(&mut self.rng, self.plan.lossy);
        if lost {
            self.stats.happened.lost_answers += 1;
            let silence = self.now + self.plan.config.monitor.timeout;
            self.agenda.add(silence, Action::Hear(Told::Silent(node)));
            return;
        }
        let at = self.delay();
        self.agenda.add(at, Action::Arrive { node, asked_at });
    }

    pub(super) fn arrive(&mut self, node: NodeId, asked_at: Moment) {
        let timeout = asked_at + self.plan.config.monitor.timeout;
        let Some(member) = self.member(node) else { return };
        let index = member.server;
        let server = &self.truth.servers[index];
        if self.truth.cut[index].monitor {
            return self.agenda.add(timeout.max(self.now), Action::Hear(Told::Silent(node)));
        }
        let mut seen =
            server.observe(&self.truth.wal, self.now, self.plan.privileged).filter(|_| server.alive);
        // No two servers are started at the same moment.
        let started = (index as u64) << 48 | u64::from(server.incarnation) << 24 | u64::from(server.starts);
        seen.iter_mut().for_each(|seen| seen.started = Some(started));
        let answer =
            Answer { node, asked_at, branch: server.content.branch, incarnation: server.incarnation };
        let at = self.delay();
        match seen {
            Some(seen) if at <= timeout => self.agenda.add(at, Action::Hear(Told::Answered { answer, seen })),
            Some(_) => {
                self.stats.happened.late_answers += 1;
                self.agenda.add(timeout.max(self.now), Action::Hear(Told::Silent(node)));
            }
            None => self.agenda.add(at.min(timeout), Action::Hear(Told::Silent(node))),
        }
    }

    /// Asks a node at once.
    pub(super) fn probe(&mut self, node: NodeId) {
        if self.now >= self.stalled_until && self.member(node).is_some_and(|member| !member.left) {
            self.ask(node);
        }
    }

    pub(super) fn probe_all(&mut self) {
        if self.now < self.alarmed_at + std::time::Duration::from_millis(5) || self.now < self.stalled_until {
            return;
        }
        self.alarmed_at = self.now;
        for index in 0..self.members.len() {
            if !self.members[index].left {
                self.ask(self.members[index].id);
            }
        }
    }

    pub(super) fn hear(&mut self, told: Told) {
        if self.now < self.stalled_until {
            // All that came while the monitor slept arrives at once, in any order.
            let at = self.stalled_until + between(&mut self.rng, 0, 1);
            return self.agenda.add(at, Action::Hear(told));
        }
        match told {
            Told::Tick => {
                let next = self.now + between(&mut self.rng, 20, 100);
                self.agenda.add(next, Action::Hear(Told::Tick));
                self.tell(Event::Tick);
            }
            Told::Answered { answer, seen } => {
                note!(self, "{} answers {:?}, asked {:?}", answer.node, seen, answer.asked_at);
                self.stats.happened.answers += 1;
                let newest = self.oracle.answered(&answer, &seen);
                self.stats.happened.overtaken_answers += u64::from(!newest);
                self.tell(Event::Answered { node: answer.node, asked_at: answer.asked_at, seen });
            }
            Told::Silent(node) => {
                note!(self, "{node} is silent");
                self.stats.happened.silences += 1;
                self.oracle.silent(self.now, node);
                self.tell(Event::Silent { node });
            }
            Told::Faulted { node, fault, run } => {
                note!(self, "a statement on {node}: {fault}, {run} in a row");
                self.tell(Event::Faulted { node, fault, run });
            }
            Told::Joined(server) => self.join(server),
            // Somebody changed their mind.
            Told::Draining(_) | Told::Left(_) if self.peace => {}
            Told::Draining(node) => {
                note!(self, "{node} is to drain");
                self.mark(node, |member| member.draining = true);
                self.oracle.drained(node);
                self.tell(Event::Draining(node));
            }
            Told::Left(node) => {
                note!(self, "{node} is to leave");
                self.mark(node, |member| member.left = true);
                self.oracle.left(node);
                self.tell(Event::Left(node));
            }
        }
    }

    fn mark(&mut self, node: NodeId, change: impl FnOnce(&mut Member)) {
        if let Some(member) = self.members.iter_mut().find(|member| member.id == node) {
            change(member);
        }
    }

    /// When something that is sent now arrives.
    fn delay(&mut self) -> Moment {
        let slow = !self.peace && one_in(&mut self.rng, self.plan.slow);
        let longest = if slow { 150 } else { 3 };
        self.now + between(&mut self.rng, 0, longest)
    }
}
