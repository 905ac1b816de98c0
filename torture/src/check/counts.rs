//! What a verdict rests on: no violation says little of what was never there.

use std::collections::{BTreeMap, HashMap};
use std::ops::AddAssign;

use crate::history::{Action, History, Level, Op, Outcome, Router};

/// What there was to judge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Reads that were judged.
    pub reads: usize,
    /// Those that had to follow their session, no stronger, and that a standby answered: by the routers of each process.
    pub standby_reads: BTreeMap<Router, usize>,
    /// Those that could be old, but not any older, and that a standby answered.
    pub bounded: usize,
    /// Those that had to see everything.
    pub strong: usize,
    /// Those that saw what a failover has lost.
    pub lost: usize,
    /// Sessions that a token has handed over.
    pub resumed: usize,
    /// Those that it brought from the other process, and that were read for after that.
    pub crossed_process: usize,
    /// Those that it brought from the other ORM, likewise.
    pub crossed_orm: usize,
    /// Reads that failed or took too long: they prove nothing.
    pub failed: usize,
}

impl Counts {
    pub(super) fn of(history: &History) -> Self {
        let mut counts = Self::default();
        let mut givers: HashMap<u64, Router> = HashMap::new();
        let mut last_reads: HashMap<u64, u64> = HashMap::new();
        for op in &history.ops {
            if let Action::Export { token } = op.action {
                givers.insert(token, op.router);
            }
            if op.reads_for_session() {
                let last = last_reads.entry(op.session).or_default();
                *last = op.invoked.max(*last);
            }
            match op.read() {
                Some((Level::Session, true)) => *counts.standby_reads.entry(op.router).or_default() += 1,
                Some((Level::Bounded(_), true)) => counts.bounded += 1,
                Some((Level::Strong, _)) => counts.strong += 1,
                Some(_) | None => {}
            }
            counts.reads += usize::from(op.read().is_some());
            let is_read = matches!(op.action, Action::Read { .. } | Action::Lists { .. });
            counts.failed += usize::from(is_read && op.outcome == Outcome::Failed);
            counts.lost += usize::from(history.facts.lossy && saw_what_is_gone(history, op));
        }
        for op in &history.ops {
            let Action::Resume { token } = op.action else { continue };
            if op.outcome != Outcome::Ok {
                continue;
            }
            counts.resumed += 1;
            let was_read = last_reads.get(&op.session).is_some_and(|last| *last > op.returned);
            if let Some(giver) = givers.get(&token).filter(|_| was_read) {
                counts.crossed_process += usize::from(giver.process != op.router.process);
                counts.crossed_orm += usize::from(giver.orm != op.router.orm);
            }
        }
        counts
    }

    /// What is lacking where all there is to judge, with so many routers, has to be there.
    #[must_use]
    pub fn lacking(&self, routers: usize) -> Option<&'static str> {
        let there = [
            (self.standby_reads.len() >= routers, "a router whose standbys were read"),
            (self.bounded > 0, "a bounded read of a standby"),
            (self.strong > 0, "a strong read"),
            (self.crossed_process > 0, "a hand-over to another process"),
            (self.crossed_orm > 0, "a hand-over to another ORM"),
        ];
        there.into_iter().find_map(|(is_there, what)| (!is_there).then_some(what))
    }

    /// Reads for a session that a standby answered.
    #[must_use]
    pub fn all_standby_reads(&self) -> usize {
        self.standby_reads.values().sum()
    }
}

impl AddAssign<&Self> for Counts {
    fn add_assign(&mut self, other: &Self) {
        // By name, so that none is forgotten.
        let Self {
            reads,
            standby_reads,
            bounded,
            strong,
            lost,
            resumed,
            crossed_process,
            crossed_orm,
            failed,
        } = other;
        self.reads += reads;
        for (router, count) in standby_reads {
            *self.standby_reads.entry(*router).or_default() += count;
        }
        self.bounded += bounded;
        self.strong += strong;
        self.lost += lost;
        self.resumed += resumed;
        self.crossed_process += crossed_process;
        self.crossed_orm += crossed_orm;
        self.failed += failed;
    }
}

fn saw_what_is_gone(history: &History, op: &Op) -> bool {
    op.seen().iter().any(|seen| {
        let Some(last) = seen.version.checked_sub(1) else { return false };
        history.facts.finals.get(&seen.key).and_then(|list| list.get(last)) != Some(&seen.item)
    })
}
