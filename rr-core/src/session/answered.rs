//! The writes of a session that were answered, and of which no position is known yet.

use super::stamp::{self, stamp};
use crate::position::Timeline;
use crate::sync::{AtomicU64, Ordering};
use crate::time::Moment;

/// A write, or several, whose caller was told that it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// The last of them was answered not later than this.
    pub(crate) by: Moment,
    /// The timeline of the primary that was chosen for the first of them; `None` when it was not known.
    pub(crate) on: Option<Timeline>,
}

/// One word: the timeline (0: not known, or a number without room), and the moment.
///
/// The timeline is that of the choice, not of the answer: a primary that was replaced while it worked answers afterwards.
#[derive(Debug, Default)]
pub(super) struct Answered(AtomicU64);

/// What was in there when somebody looked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark(u64);

impl Answered {
    pub(super) fn note(&self, write: Written) {
        self.merge(Mark::of(write));
    }

    pub(super) fn absorb(&self, other: &Self) {
        if let Some(mark) = other.get() {
            self.merge(mark);
        }
    }

    pub(super) fn get(&self) -> Option<Mark> {
        let word = self.0.load(Ordering::Acquire);
        (word != 0).then_some(Mark(word))
    }

    /// Forgets what was seen there; unless more was answered since.
    pub(super) fn clear(&self, seen: Mark) {
        let _ = self.0.compare_exchange(seen.0, 0, Ordering::AcqRel, Ordering::Acquire);
    }

    fn merge(&self, mark: Mark) {
        let merged = |old: u64| Some(Mark(old).and(mark).0);
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, merged);
    }
}

impl Mark {
    pub(super) fn of(write: Written) -> Self {
        Self(stamp(write.on.map_or(0, |on| u64::from(on.get())), write.by))
    }

    pub(super) fn written(self) -> Written {
        let on = u32::try_from(stamp::number(self.0)).ok().and_then(Timeline::new);
        Written { by: stamp::moment(self.0).unwrap_or(Moment::MAX), on }
    }

    /// Both: the later moment, and the older of the timelines that are known.
    fn and(self, other: Self) -> Self {
        let on = match (stamp::number(self.0), stamp::number(other.0)) {
            (0, on) | (on, 0) => on,
            (one, other) => one.min(other),
        };
        let by = (self.0 & stamp::TIME).max(other.0 & stamp::TIME);
        Self(stamp(on, Moment::ORIGIN) & !stamp::TIME | by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(millis: u64, on: u32) -> Written {
        Written { by: Moment::from_millis(millis), on: Timeline::new(on) }
    }

    #[test]
    fn of_several_writes_the_latest_moment_and_the_oldest_timeline_count() {
        let answered = Answered::default();
        assert!(answered.get().is_none());
        for (write, both) in [
            (written(5, 0), written(5, 0)),
            (written(3, 2), written(5, 2)),
            (written(9, 3), written(9, 2)),
            (written(7, 1), written(9, 1)),
            (written(8, 0), written(9, 1)),
        ] {
            answered.note(write);
            assert_eq!(answered.get().map(Mark::written), Some(both));
        }
    }

    #[test]
    fn what_was_answered_since_is_not_forgotten() {
        let answered = Answered::default();
        answered.note(written(5, 1));
        let seen = answered.get().unwrap();
        answered.note(written(6, 1));
        answered.clear(seen);
        assert_eq!(answered.get().map(Mark::written), Some(written(6, 1)));
        answered.clear(answered.get().unwrap());
        assert!(answered.get().is_none());
    }

    #[test]
    fn times_are_rounded_up_and_timelines_without_room_are_not_known() {
        let write = |on| Written { by: Moment::from_nanos(1), on: Timeline::new(on) };
        let kept = |on| Mark::of(write(on)).written();
        assert_eq!(kept(1), Written { by: Moment::from_nanos(1_000), on: Timeline::new(1) });
        assert_eq!(kept((1 << 14) - 1).on, Timeline::new((1 << 14) - 1));
        assert_eq!(kept(1 << 14).on, None);
    }
}
