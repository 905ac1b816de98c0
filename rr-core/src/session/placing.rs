//! Writes that were answered before it is known where they ended.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

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
    use super::*;

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
}
