//! Writes that were answered before it is known where they ended.

use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::time::Moment;

/// How many writes have been answered whose position is on its way, and when the last of them was.
#[derive(Debug, Default)]
pub(crate) struct Placing {
    under_way: AtomicU32,
    answered: AtomicU64,
}

impl Placing {
    /// One more was answered.
    pub(crate) fn begin(&self, at: Moment) {
        self.answered.fetch_max(at.as_nanos(), Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Release);
    }

    /// One of them is in the registers. To be called when it is: a reader that finds nothing on its way must find it there.
    pub(crate) fn end(&self) {
        self.under_way.fetch_sub(1, Ordering::Release);
    }

    /// A moment at which they had all been answered, while there are any. Whatever is sampled after it has them.
    #[inline]
    pub(crate) fn since(&self) -> Option<Moment> {
        if self.under_way.load(Ordering::Acquire) == 0 {
            return None;
        }
        Some(Moment::from_nanos(self.answered.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::position::{PgPosition, Position};
    use crate::{Consistency, Session};

    const ROUNDS: u32 = 20_000;

    #[test]
    fn it_is_over_when_the_last_one_is() {
        let placing = Placing::default();
        assert_eq!(placing.since(), None);
        placing.begin(Moment::from_millis(7));
        placing.begin(Moment::from_millis(5));
        placing.end();
        assert_eq!(placing.since(), Some(Moment::from_millis(7)));
        placing.end();
        assert_eq!(placing.since(), None);
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
                    session.placing().begin(Moment::from_millis(1));
                    answered.store(true, Ordering::Release);
                    session.note((round % 2 == 0).then_some(&position), Moment::from_millis(1));
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
