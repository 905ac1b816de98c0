//! Writes that were answered before it is known where they ended.

use super::answered::Written;
use crate::position::Timeline;
use crate::sync::{AtomicU64, Ordering};
use crate::time::Moment;

/// How many writes have been answered whose position is on its way, on which timeline the first of them was made, and when
/// the last of them was answered.
#[derive(Debug, Default)]
pub(crate) struct Placing {
    /// How many, and the oldest of their timelines.
    under_way: AtomicU64,
    answered: AtomicU64,
}

/// Of the first word: the number, the timeline (0: not known), and whether the session was told that they may be lost.
const COUNT: u64 = (1 << 24) - 1;
const TIMELINE_SHIFT: u32 = 24;
const TOLD: u64 = 1 << 63;

const fn timeline(word: u64) -> u64 {
    (word & !TOLD) >> TIMELINE_SHIFT
}

impl Placing {
    /// One more was answered.
    pub(crate) fn begin(&self, write: Written) {
        self.answered.fetch_max(write.by.as_nanos(), Ordering::Relaxed);
        let on = write.on.map_or(0, |on| u64::from(on.get()));
        let begun = |old: u64| {
            let oldest = match (old & COUNT, timeline(old)) {
                (0, _) | (_, 0) => on,
                (_, oldest) if on == 0 => oldest,
                (_, oldest) => oldest.min(on),
            };
            let told = if oldest == timeline(old) && old & COUNT > 0 { old & TOLD } else { 0 };
            Some(told | oldest << TIMELINE_SHIFT | ((old & COUNT) + 1))
        };
        let _ = self.under_way.fetch_update(Ordering::AcqRel, Ordering::Relaxed, begun);
    }

    /// Not all of what one of them has written had been committed when it was answered, but it was at this moment.
    pub(crate) fn go_on(&self, by: Moment) {
        self.answered.fetch_max(by.as_nanos(), Ordering::Relaxed);
    }

    /// One of them is in the registers. To be called when it is: a reader that finds nothing on its way must find it there.
    pub(crate) fn end(&self) {
        self.under_way.fetch_sub(1, Ordering::Release);
    }

    /// A moment at which they had all been answered, while there are any. Whatever is sampled after it has them.
    #[inline]
    pub(crate) fn since(&self) -> Option<Moment> {
        if self.under_way.load(Ordering::Acquire) & COUNT == 0 {
            return None;
        }
        Some(Moment::from_nanos(self.answered.load(Ordering::Relaxed)))
    }

    /// Those of them of which the session was not told yet that they may be lost.
    pub(super) fn untold(&self) -> Option<Written> {
        let word = self.under_way.load(Ordering::Acquire);
        if word & COUNT == 0 || word & TOLD != 0 {
            return None;
        }
        let on = u32::try_from(timeline(word)).ok().and_then(Timeline::new);
        Some(Written { by: Moment::from_nanos(self.answered.load(Ordering::Relaxed)), on })
    }

    /// It was told. One that begins on another timeline is told of anew.
    pub(super) fn told(&self) {
        let _ = self.under_way.fetch_or(TOLD, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::position::{PgPosition, Position};
    use crate::{Consistency, Session};

    const ROUNDS: u32 = 20_000;

    fn written(millis: u64, on: u32) -> Written {
        Written { by: Moment::from_millis(millis), on: Timeline::new(on) }
    }

    #[test]
    fn it_is_over_when_the_last_one_is() {
        let placing = Placing::default();
        assert_eq!(placing.since(), None);
        placing.begin(written(7, 1));
        placing.begin(written(5, 1));
        placing.end();
        assert_eq!(placing.since(), Some(Moment::from_millis(7)));
        placing.go_on(Moment::from_millis(9));
        assert_eq!(placing.since(), Some(Moment::from_millis(9)), "more was committed");
        placing.end();
        assert_eq!(placing.since(), None);
    }

    #[test]
    fn those_of_an_older_timeline_are_told_of_once() {
        let placing = Placing::default();
        assert_eq!(placing.untold(), None, "there are none");
        placing.begin(written(5, 2));
        assert_eq!(placing.untold(), Some(written(5, 2)));
        placing.begin(written(7, 1));
        assert_eq!(placing.untold(), Some(written(7, 1)));
        placing.told();
        placing.begin(written(8, 2));
        assert_eq!(placing.untold(), None, "it was told of the oldest");
        (0..3).for_each(|_| placing.end());
        assert_eq!(placing.since(), None);
        placing.begin(written(9, 1));
        assert_eq!(placing.untold(), Some(written(9, 1)), "another one");
    }

    /// Sessions in which a write is answered and then turns out to have no position, or one, while another task looks: it
    /// finds the write in one of the three places where it may be, whatever the moment.
    #[test]
    fn who_looks_while_a_write_is_placed_finds_it() {
        let position = "1:0/3000".parse::<PgPosition>().map(Position::from).expect("a position");
        for round in 0..ROUNDS {
            let (session, answered) = (Session::new(), AtomicBool::new(false));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    session.placing().begin(written(1, 1));
                    answered.store(true, Ordering::Release);
                    session.note((round % 2 == 0).then_some(&position), written(1, 1));
                    session.placing().end();
                });
                while !answered.load(Ordering::Acquire) {
                    std::hint::spin_loop();
                }
                for _ in 0..20 {
                    let requirement = session.requirement(Consistency::Session);
                    assert!(requirement.after.is_some() || requirement.covers.is_some(), "round {round}");
                }
            });
        }
    }
}
