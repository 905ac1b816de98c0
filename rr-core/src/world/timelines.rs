//! What is known of a PostgreSQL cluster's history: which timeline is the highest, and where it left each older one.
//!
//! A position on an old timeline is contained in the present history up to the point where that history left it.
//! Putting these points into a position (`1:0/64,2:0/1F4`) makes plain comparison right across failovers: what was
//! written beyond the point is covered by nobody. Only what is certain goes in; the rest is unknown, and unknown is
//! never covered.

use std::collections::BTreeMap;

use crate::position::{Lsn, PgPosition, Timeline};

/// Forks kept at most: a cluster fails over a few times a year.
const MAX_FORKS: usize = 64;

#[derive(Clone, Debug, Default)]
pub(super) struct History {
    highest: Option<Timeline>,
    /// Where the history of `highest` left this timeline.
    forks: BTreeMap<Timeline, Lsn>,
}

/// What a replica has certainly applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Applied {
    pub(super) position: Option<PgPosition>,
    /// It has applied something beyond the fork, and nothing shows that it followed the present history there.
    pub(super) beyond_fork: bool,
}

impl History {
    pub(super) const fn highest(&self) -> Option<Timeline> {
        self.highest
    }

    /// Takes in a timeline that some node has reached.
    pub(super) fn reached(&mut self, timeline: Timeline) {
        self.highest = self.highest.max(Some(timeline));
    }

    /// Takes in the accepted primary: its timeline, where that one began, and the timeline that this very node was
    /// on while it was still a replica.
    pub(super) fn primary(&mut self, timeline: Timeline, began: Option<Lsn>, came_from: Option<Timeline>) {
        self.reached(timeline);
        // Timeline 2 can only come from 1; otherwise the node itself must have been seen on the parent. A number that
        // is merely lower may belong to another branch.
        let parent = came_from.or_else(|| (timeline.get() == 2).then_some(Timeline::FIRST));
        if let (Some(parent), Some(began)) = (parent.filter(|parent| *parent < timeline), began) {
            self.forks.entry(parent).or_insert(began);
            while self.forks.len() > MAX_FORKS {
                self.forks.pop_first();
            }
        }
    }

    /// The position of a node that is at `lsn` on `timeline` of the present history.
    pub(super) fn position(&self, timeline: Timeline, lsn: Lsn) -> PgPosition {
        let own = PgPosition::new(timeline, lsn);
        if self.highest.is_some_and(|highest| timeline > highest) {
            return own;
        }
        self.forks.range(..timeline).fold(own, |position, (older, at)| position.with_ancestor(*older, *at))
    }

    /// What a replica at `lsn`, which has reached at least `timeline`, has certainly applied.
    pub(super) fn applied(&self, lsn: Lsn, timeline: Option<Timeline>) -> Applied {
        let Some(timeline) = timeline else { return Applied { position: None, beyond_fork: false } };
        if self.highest.is_none_or(|highest| timeline >= highest) {
            return Applied { position: Some(self.position(timeline, lsn)), beyond_fork: false };
        }
        match self.forks.get(&timeline) {
            Some(&fork) => {
                Applied { position: Some(self.position(timeline, lsn.min(fork))), beyond_fork: lsn > fork }
            }
            None => Applied { position: None, beyond_fork: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tl(number: u32) -> Timeline {
        Timeline::new(number).unwrap()
    }

    fn lsn(value: u64) -> Lsn {
        Lsn::from_u64(value)
    }

    /// 1 → 2 at 100, seen to happen.
    fn promoted() -> History {
        let mut history = History::default();
        history.primary(tl(1), None, None);
        history.primary(tl(2), Some(lsn(100)), Some(tl(1)));
        history
    }

    fn applied(history: &History, at: u64, timeline: u32) -> Applied {
        history.applied(lsn(at), Some(tl(timeline)))
    }

    #[test]
    fn the_new_primary_covers_the_old_timeline_up_to_the_fork() {
        let position = promoted().position(tl(2), lsn(150));
        assert!(position.covers(&PgPosition::new(tl(1), lsn(100))));
        assert!(!position.covers(&PgPosition::new(tl(1), lsn(101))), "a lost write is covered by nobody");
    }

    #[test]
    fn a_replica_before_the_fork_is_on_common_ground() {
        let before = applied(&promoted(), 90, 1);
        assert_eq!(before, Applied { position: Some(PgPosition::new(tl(1), lsn(90))), beyond_fork: false });
    }

    #[test]
    fn a_replica_beyond_the_fork_proves_nothing_more_than_the_fork() {
        let beyond = applied(&promoted(), 130, 1);
        assert_eq!(beyond, Applied { position: Some(PgPosition::new(tl(1), lsn(100))), beyond_fork: true });
        let followed = applied(&promoted(), 130, 2);
        let whole = PgPosition::new(tl(2), lsn(130)).with_ancestor(tl(1), lsn(100));
        assert_eq!(followed, Applied { position: Some(whole), beyond_fork: false });
    }

    #[test]
    fn a_fork_that_nobody_saw_leaves_the_old_timeline_unknown() {
        let mut history = History::default();
        history.primary(tl(3), Some(lsn(100)), None);
        assert_eq!(applied(&history, 90, 1), Applied { position: None, beyond_fork: false });
        assert!(!history.position(tl(3), lsn(200)).covers(&PgPosition::new(tl(2), lsn(1))));
        assert_eq!(history.applied(lsn(1), None).position, None);
    }

    #[test]
    fn the_second_timeline_can_only_come_from_the_first() {
        let mut history = History::default();
        history.primary(tl(2), Some(lsn(100)), None);
        assert!(history.position(tl(2), lsn(200)).covers(&PgPosition::new(tl(1), lsn(100))));
    }

    #[test]
    fn a_timeline_ahead_of_the_primary_says_nothing_about_older_ones() {
        let ahead = applied(&promoted(), 500, 3);
        assert_eq!(ahead.position, Some(PgPosition::new(tl(3), lsn(500))));
    }

    #[test]
    fn a_fork_once_known_does_not_move() {
        let mut history = promoted();
        history.primary(tl(2), Some(lsn(140)), Some(tl(1)));
        assert_eq!(applied(&history, 130, 1).position, Some(PgPosition::new(tl(1), lsn(100))));
    }
}
