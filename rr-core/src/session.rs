//! A session: what one user wrote and saw, as two registers.
//!
//! **W** is the end of the session's last write, **R** the newest state that it has read. A node may serve
//! the session's next read iff it has applied at least the greater of both *before* the read takes its
//! snapshot. Registers only ever grow: merging two of them is a join, so concurrent requests of one user
//! cannot lose each other's writes.

use std::sync::{Arc, Weak};

use crate::consistency::Consistency;
use crate::position::Position;
use crate::requirement::{Requirement, Seen};
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use crate::time::Moment;
use crate::topology::{NodeId, Topology};

mod affinity;
mod answered;
mod following;
mod last_read;
mod lent;
mod losses;
#[cfg(all(test, rr_loom))]
mod models;
mod placing;
mod register;
mod stamp;

use answered::Answered;
pub(crate) use answered::Written;
pub(crate) use last_read::{Follows, LastRead};
pub(crate) use lent::LentWrites;
pub(crate) use placing::Placing;
use register::Register;

/// What one user wrote and saw. Clones share the same registers.
#[derive(Clone, Debug, Default)]
pub struct Session {
    registers: Arc<Registers>,
}

/// A session that does not live on by this alone.
#[derive(Clone, Debug)]
pub(crate) struct WeakSession(Weak<Registers>);

impl WeakSession {
    pub(crate) fn upgrade(&self) -> Option<Session> {
        self.0.upgrade().map(|registers| Session { registers })
    }
}

#[derive(Debug, Default)]
struct Registers {
    wrote: Register,
    saw: Register,
    last_read: LastRead,
    /// Nanoseconds + 1 of the newest write whose position is not known yet; 0 when there is none.
    unplaced: AtomicU64,
    /// Those of them that were answered: should they be lost, that is said.
    answered: Answered,
    /// Newer ones, whose position will be known in a moment.
    placing: Placing,
    /// Nothing but the primary will do: what it must see could not be said otherwise.
    primary: AtomicBool,
    /// A connection was lent to whoever works for it.
    borrowed: AtomicBool,
    /// The node that served it last, and when.
    node: AtomicU64,
}

impl Session {
    /// A session that has neither written nor read anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn downgrade(&self) -> WeakSession {
        WeakSession(Arc::downgrade(&self.registers))
    }

    /// Notes a write that ended at `position` (taken on the primary after the commit).
    pub fn wrote(&self, position: &Position) {
        self.registers.wrote.raise(position);
    }

    /// Notes a write that ended at an unknown position, not later than `at`.
    ///
    /// Until a position of the primary that was sampled after `at` is known ([`Session::settle`]), nothing
    /// but the primary can prove to hold this write.
    pub fn wrote_unplaced(&self, at: Moment) {
        self.registers.unplaced.fetch_max(at.as_nanos().saturating_add(1), Ordering::AcqRel);
    }

    /// Notes a write that was answered, and where it ended if that is known. Where that stays unknown until a newer timeline is
    /// the primary's, it may be lost, and that is said.
    pub(crate) fn note(&self, position: Option<&Position>, write: Written) {
        match position {
            Some(position) => self.wrote(position),
            None => {
                // In this order: whoever finds it answered finds it unplaced.
                self.wrote_unplaced(write.by);
                self.registers.answered.note(write);
            }
        }
    }

    /// Whether it may have written something that was answered and has no position.
    pub(crate) fn has_unplaced_answer(&self) -> bool {
        self.registers.placing.since().is_some() || self.registers.answered.get().is_some()
    }

    /// Places what was answered by a former primary, and was not placed while it was the primary.
    pub(crate) fn remember(&self, topology: &Topology) {
        if let Some(mark) = self.registers.answered.get()
            && let Some(bound) = topology.left(mark.written())
        {
            // Raise first, clear second, as in `settle`.
            self.registers.wrote.raise(&bound);
            self.registers.answered.clear(mark);
        }
        if let Some(write) = self.registers.placing.untold()
            && let Some(bound) = topology.left(write)
        {
            self.registers.wrote.raise(&bound);
            self.registers.placing.told();
        }
    }

    /// Notes that a read of this session may have seen everything up to `position` (sampled on the node that
    /// served it, *after* the read).
    pub fn saw(&self, position: &Position) {
        self.registers.saw.raise(position);
    }

    /// Notes a read that `node` had served by `at`, after it was chosen under the requirement to follow the read `under`.
    ///
    /// What it saw has no position yet. Until one is known reads stay on this node, or go to one that covers a later
    /// sample.
    pub(crate) fn read_on(&self, node: NodeId, at: Moment, under: Follows) {
        self.registers.last_read.note(node, at, under);
    }

    /// Notes a read that was served by `at`, nobody knows where.
    pub(crate) fn read_somewhere(&self, at: Moment) {
        self.registers.last_read.note_nowhere(at);
    }

    /// Puts what the last reads saw into register **R**, now that a sample is known that was taken after them.
    pub(crate) fn settle_read(&self, seen: Seen, sample: &Position) {
        // Raise first, as in `settle`.
        self.registers.saw.raise(sample);
        self.registers.last_read.settle(seen);
    }

    /// Tells the session a sample of the primary: writes that ended before `sampled_at` end at or before
    /// `position`. A no-op for a session whose writes are all placed.
    pub fn settle(&self, sampled_at: Moment, position: &Position) {
        let registers = &*self.registers;
        // Looked at in this order: what is answered is within what is unplaced.
        let answered = registers.answered.get();
        let unplaced = registers.unplaced.load(Ordering::Acquire);
        if (unplaced == 0 && answered.is_none()) || sampled_at.as_nanos().saturating_add(1) < unplaced {
            return;
        }
        if let Some(mark) = answered {
            let Written { by, on } = mark.written();
            // What was answered on an older timeline is for `remember` to place, and what is on a newer one is not in here.
            let elsewhere = on.is_some() && on != position.timeline();
            if elsewhere || (unplaced == 0 && sampled_at < by) {
                return;
            }
        }
        // Raise first, clear second: a reader that finds nothing unplaced must find the position. A write
        // noted in between makes the exchange fail and stays unplaced.
        registers.wrote.raise(position);
        if let Some(mark) = answered {
            registers.answered.clear(mark);
        }
        let _ = registers.unplaced.compare_exchange(unplaced, 0, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Nothing but the primary can prove to hold what this session wrote and saw, from now on.
    pub fn demand_primary(&self) {
        self.registers.primary.store(true, Ordering::Release);
    }

    /// Whether [only the primary will do](Session::demand_primary).
    #[inline]
    #[must_use]
    pub fn demands_primary(&self) -> bool {
        self.registers.primary.load(Ordering::Acquire)
    }

    /// Whoever works for it may write on a lent connection from now on.
    pub(crate) fn borrows(&self) {
        self.registers.borrowed.store(true, Ordering::Release);
    }

    #[inline]
    pub(crate) fn has_borrowed(&self) -> bool {
        self.registers.borrowed.load(Ordering::Acquire)
    }

    /// When it last wrote something whose position is still unknown.
    #[inline]
    #[must_use]
    pub fn unplaced_since(&self) -> Option<Moment> {
        // Looked at first: a write that is on its way no more has left its mark, or its position.
        let placing = self.registers.placing.since();
        let unplaced = self.registers.unplaced.load(Ordering::Acquire).checked_sub(1).map(Moment::from_nanos);
        placing.max(unplaced)
    }

    pub(crate) fn placing(&self) -> &Placing {
        &self.registers.placing
    }

    /// What a read of this session at `level` requires of a node.
    #[inline]
    #[must_use]
    pub fn requirement(&self, level: Consistency) -> Requirement {
        // Not a copy of the constant: that would copy padding too, in pieces that the next copy waits for (5 ns).
        let mut requirement =
            Requirement { primary: false, covers: None, after: None, seen: None, max_lag: None };
        match level {
            Consistency::Eventual => {}
            Consistency::Strong => requirement.primary = true,
            Consistency::Bounded(limit) => requirement.max_lag = Some(limit),
            Consistency::ReadAfterWrite => self.demand_writes(&mut requirement),
            Consistency::Session => {
                self.demand_writes(&mut requirement);
                // The order matters here as well.
                requirement.seen = self.registers.last_read.get();
                self.registers.saw.demand(&mut requirement);
            }
        }
        requirement
    }

    /// Adds everything that `other` wrote and saw to this session.
    pub fn merge(&self, other: &Self) {
        if let Some(at) = other.unplaced_since() {
            self.wrote_unplaced(at);
        }
        self.registers.answered.absorb(&other.registers.answered);
        self.registers.wrote.absorb(&other.registers.wrote);
        self.registers.last_read.absorb(&other.registers.last_read);
        self.registers.saw.absorb(&other.registers.saw);
        if other.demands_primary() {
            self.demand_primary();
        }
        if other.has_borrowed() {
            self.borrows();
        }
    }

    /// The end of the last write of known position (register **W**).
    #[must_use]
    pub fn last_write(&self) -> Option<Position> {
        self.registers.wrote.get()
    }

    /// The newest state that was read (register **R**).
    #[must_use]
    pub fn last_read(&self) -> Option<Position> {
        self.registers.saw.get()
    }

    /// The order matters: `settle` raises the register before it clears the mark.
    #[inline]
    pub(crate) fn demand_writes(&self, requirement: &mut Requirement) {
        requirement.after = requirement.after.max(self.unplaced_since());
        self.registers.wrote.demand(requirement);
        requirement.primary |= self.demands_primary();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{Lsn, PgPosition, Timeline};
    use std::time::Duration;

    fn at(lsn: u64) -> Position {
        Position::Postgres(PgPosition::new(Timeline::FIRST, Lsn::from_u64(lsn)))
    }

    #[test]
    fn a_new_session_requires_nothing() {
        assert_eq!(Session::new().requirement(Consistency::Session), Requirement::NONE);
    }

    #[test]
    fn registers_only_grow() {
        let session = Session::new();
        session.wrote(&at(20));
        session.wrote(&at(10));
        assert_eq!(session.last_write(), Some(at(20)));
    }

    #[test]
    fn own_writes_bind_read_after_write_and_reads_bind_only_session() {
        let session = Session::new();
        session.wrote(&at(10));
        session.saw(&at(30));
        assert_eq!(session.requirement(Consistency::ReadAfterWrite).covers, Some(at(10)));
        assert_eq!(session.requirement(Consistency::Session).covers, Some(at(30)));
        assert_eq!(session.requirement(Consistency::Eventual), Requirement::NONE);
        let bound = Duration::from_secs(1);
        assert_eq!(session.requirement(Consistency::Bounded(bound)), Requirement::within(bound));
        assert_eq!(session.requirement(Consistency::Strong), Requirement::PRIMARY);
    }

    #[test]
    fn an_unplaced_write_is_settled_only_by_a_later_sample() {
        let session = Session::new();
        session.wrote_unplaced(Moment::from_millis(5));
        session.settle(Moment::from_millis(4), &at(40));
        let before = session.requirement(Consistency::Session);
        assert_eq!((before.after, before.covers), (Some(Moment::from_millis(5)), None));
        session.settle(Moment::from_millis(5), &at(50));
        let after = session.requirement(Consistency::Session);
        assert_eq!((after.after, after.covers), (None, Some(at(50))));
    }

    fn written(millis: u64, on: u32) -> Written {
        Written { by: Moment::from_millis(millis), on: Timeline::new(on) }
    }

    #[test]
    fn a_sample_of_an_older_timeline_settles_nothing_of_a_newer_one() {
        let session = Session::new();
        session.note(None, written(5, 2));
        session.settle(Moment::from_millis(9), &at(40));
        assert_eq!((session.unplaced_since(), session.last_write()), (Some(Moment::from_millis(5)), None));
    }

    #[test]
    fn what_was_answered_and_settled_leaves_no_mark() {
        let session = Session::new();
        session.note(None, written(5, 1));
        assert!(session.has_unplaced_answer());
        session.settle(Moment::from_millis(5), &at(40));
        assert!(!session.has_unplaced_answer());
        session.wrote_unplaced(Moment::from_millis(6));
        assert!(!session.has_unplaced_answer(), "its caller got an error");
    }

    #[test]
    fn merging_is_a_join() {
        let (a, b) = (Session::new(), Session::new());
        a.wrote(&at(10));
        b.wrote(&at(20));
        b.saw(&at(25));
        b.wrote_unplaced(Moment::from_millis(1));
        a.merge(&b);
        a.merge(&Session::new());
        assert_eq!((a.last_write(), a.last_read()), (Some(at(20)), Some(at(25))));
        assert_eq!(a.requirement(Consistency::Session).after, Some(Moment::from_millis(1)));
    }
}
