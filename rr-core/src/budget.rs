//! A budget per second, spent without a lock.
//!
//! The primary serves reads that no replica may serve, and reads that a node failed are run again, but only so many a
//! second: losing the replicas must not take the primary down as well. One atomic holds the moment at which the budget is full again (the generic cell
//! rate algorithm); spending moves it into the future, and it may not be farther away than the burst allows.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::time::Moment;

const SECOND: u64 = 1_000_000_000;

#[derive(Debug)]
pub(crate) struct Budget {
    /// Nanoseconds that one unit takes to come back; 0 is no limit.
    cost: u64,
    /// How far the budget may be in debt.
    depth: u64,
    full_at: AtomicU64,
}

impl Budget {
    pub(crate) fn new(per_second: Option<u32>, burst: u32) -> Self {
        let cost = per_second.map_or(0, |rate| SECOND / u64::from(rate.max(1)));
        let depth = cost.saturating_mul(u64::from(burst.max(1)));
        Self { cost, depth, full_at: AtomicU64::new(0) }
    }

    pub(crate) const fn is_unlimited(&self) -> bool {
        self.cost == 0
    }

    /// Spends one unit, if there is one.
    pub(crate) fn spend(&self, now: Moment) -> bool {
        if self.is_unlimited() {
            return true;
        }
        let now = now.as_nanos();
        let spent = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            let next = full_at.max(now).saturating_add(self.cost);
            (next - now <= self.depth).then_some(next)
        });
        spent.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(budget: &Budget, millis: u64, tries: u32) -> usize {
        (0..tries).filter(|_| budget.spend(Moment::from_millis(millis))).count()
    }

    #[test]
    fn a_burst_is_spent_and_comes_back_at_the_rate() {
        let budget = Budget::new(Some(10), 5);
        assert_eq!(spent(&budget, 1_000, 20), 5);
        assert_eq!(spent(&budget, 1_050, 20), 0);
        assert_eq!(spent(&budget, 1_100, 20), 1);
        assert_eq!(spent(&budget, 60_000, 20), 5);
    }

    #[test]
    fn no_limit_never_runs_out() {
        assert_eq!(spent(&Budget::new(None, 1), 0, 10_000), 10_000);
    }

    #[test]
    fn a_rate_of_zero_is_as_good_as_one() {
        assert_eq!(spent(&Budget::new(Some(0), 0), 0, 10), 1);
    }
}
