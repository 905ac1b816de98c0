//! Promotions that the world orders: each step of [`Promotion`] is done to the simulated servers, and may fail before,
//! while and after it is done.
//!
//! What is drawn here comes from dice of its own, so that a seed means the same weather with it and without it.

use std::collections::BTreeMap;
use std::time::Duration;

use rr_core::failover::{Ending, Promotion, Step, Stop, Task};
use rr_core::time::Moment;
use rr_core::topology::NodeId;
use rr_core::world::Event;

use super::Lie;
use super::faults::Mend;
use super::plan::{between, ms, one_in};
use super::run::{Action, Simulation};
use super::trace::note;
use super::wal::Content;

mod steps;

/// How long a grant of the lease lasts.
const GRANT: u64 = 200;

/// How long a look is good for.
const LASTS: Duration = Duration::from_millis(200);

/// How long a candidate is given to show that it has taken over.
const PATIENCE: u64 = 400;

/// A promotion under way.
#[derive(Debug)]
pub(super) struct Undertaking {
    pub(super) machine: Promotion,
    number: u64,
    /// Nobody waits for a candidate for longer.
    verify_until: Option<Moment>,
    /// The servers that answered the last look, whether they took writes, and the timelines that they were on in truth.
    looked_at: Vec<(usize, bool, u32)>,
    looked_when: Moment,
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
            looked_at: Vec::new(),
            looked_when: self.now,
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
            Ending::Stopped(why) => {
                happened.given_up += 1;
                happened.overtaken += u64::from(matches!(why, Stop::Overtaken(_)));
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
