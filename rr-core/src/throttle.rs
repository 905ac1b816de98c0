//! Lines of the log that every statement would write in a bad hour: one in a while, with how many were left out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::Moment;

/// Lets one through, and holds back the others for some time.
#[derive(Debug)]
pub(crate) struct Throttle {
    pause: Duration,
    /// When the next one may pass, in nanoseconds.
    next: AtomicU64,
    /// Those that were held back since the last one.
    left_out: AtomicU64,
}

impl Throttle {
    pub(crate) const fn new(pause: Duration) -> Self {
        Self { pause, next: AtomicU64::new(0), left_out: AtomicU64::new(0) }
    }

    /// Whether this one may pass; and if so, how many were held back before it.
    pub(crate) fn pass(&self, now: Moment) -> Option<u64> {
        let next = self.next.load(Ordering::Relaxed);
        let then = (now + self.pause).as_nanos();
        let free = now.as_nanos() >= next
            && self.next.compare_exchange(next, then, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if free {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }
}

/// Those of a router.
#[derive(Debug)]
pub(crate) struct Throttles {
    /// Statements that waited long for a node.
    pub(crate) slow: Throttle,
    /// Writes that were not answered. Their callers are told of each.
    pub(crate) unanswered: Throttle,
    /// Sessions whose write a failover has lost. Their callers are told of each.
    pub(crate) lost: Throttle,
    /// Statements that got no connection out of a pool. Their callers are told of each.
    pub(crate) exhausted: Throttle,
}

impl Default for Throttles {
    fn default() -> Self {
        let every = |seconds| Throttle::new(Duration::from_secs(seconds));
        Self { slow: every(10), unanswered: every(1), lost: every(1), exhausted: every(10) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_passes_at_a_time_and_says_how_many_were_held_back() {
        let throttle = Throttle::new(Duration::from_secs(10));
        let pass = |at| throttle.pass(Moment::from_millis(at));
        assert_eq!(pass(1_000), Some(0));
        assert_eq!((pass(1_001), pass(10_999)), (None, None));
        assert_eq!(pass(11_000), Some(2));
        assert_eq!(pass(21_000), Some(0));
    }
}
