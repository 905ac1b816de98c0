//! The primary before the present one, as far as it matters to what was written there.

use super::Topology;
use crate::position::{Lsn, PgPosition, Position, Timeline};
use crate::time::Moment;

/// The primary before the present one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Former {
    /// Since this moment another one is the primary.
    pub(crate) until: Moment,
    /// The last answer of the former one: when it was asked for, and where its log ended.
    pub(crate) last: Option<(Moment, Position)>,
    /// Its timeline.
    pub(crate) timeline: Option<Timeline>,
}

impl Former {
    /// Where a write may have ended that was answered at this moment; `None` when the former primary has nothing to do with
    /// it. What was answered after its last answer to us may have ended anywhere on its timeline.
    pub(crate) fn bound(&self, answered: Moment) -> Option<Position> {
        if answered >= self.until {
            return None;
        }
        match &self.last {
            Some((at, position)) if *at >= answered => Some(position.clone()),
            _ => self.timeline.map(|timeline| anywhere(timeline).into()),
        }
    }
}

impl Topology {
    /// A position on the timeline of the primary that has answered a write at this moment: at least that much of its log
    /// there was, unless nobody knows how much.
    pub(crate) fn bound(&self, answered: Moment) -> Option<Position> {
        if let Some(bound) = self.former.as_ref().and_then(|former| former.bound(answered)) {
            return Some(bound);
        }
        match self.primary() {
            Ok(primary) => primary.applied.clone(),
            Err(_) => self.timeline.map(|timeline| PgPosition::new(timeline, Lsn::from_u64(0)).into()),
        }
    }

    /// Where a write may have ended that has no position, and was made on the timeline of this one; `None` when that is the
    /// timeline of the present primary.
    pub(crate) fn left(&self, on: &Position) -> Option<Position> {
        let Position::Postgres(on) = on else { return None };
        let (timeline, _) = on.head();
        self.timeline.filter(|now| timeline < *now).map(|_| anywhere(timeline).into())
    }

    /// The primary before the present one.
    pub(crate) fn former(&self) -> Option<&Former> {
        self.former.as_deref()
    }
}

/// Greater than every position on this timeline: no history that has left it covers it.
fn anywhere(timeline: Timeline) -> PgPosition {
    PgPosition::new(timeline, Lsn::from_u64(u64::MAX))
}

/// Whether nobody knows where on its timeline this is.
pub(crate) fn is_anywhere(position: &Position) -> bool {
    matches!(position, Position::Postgres(own) if own.head().1.as_u64() == u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Position {
        Position::Postgres(text.parse().unwrap())
    }

    fn former(last: Option<(u64, &str)>) -> Former {
        let last = last.map(|(millis, position)| (Moment::from_millis(millis), at(position)));
        Former { until: Moment::from_millis(100), last, timeline: Timeline::new(1) }
    }

    #[test]
    fn a_write_is_bounded_by_the_last_sample_after_it() {
        let former = former(Some((50, "1:0/500")));
        assert_eq!(former.bound(Moment::from_millis(50)), Some(at("1:0/500")));
        assert_eq!(former.bound(Moment::from_millis(100)), None, "the present primary's");
    }

    #[test]
    fn what_was_answered_after_that_is_covered_by_no_history_that_has_left_the_timeline() {
        for former in [former(Some((50, "1:0/500"))), former(None)] {
            let bound = former.bound(Moment::from_millis(51)).unwrap();
            assert!(is_anywhere(&bound) && !at("1:0/FFFF,2:0/FFFFF").covers(&bound));
        }
    }
}
