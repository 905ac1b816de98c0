//! Statements that replicas fail and the primary serves, where a driver does not show why.
//!
//! An error whose code cannot be seen may mean that standbys never run such a statement, or that this one has not replayed
//! what the statement needs. So nothing follows from one failure, and what follows from several is forgotten again.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::time::Moment;

/// Lag does not last for so many statements, each of which the primary was asked to serve.
const OFTEN: u32 = 3;

/// Then a replica is asked again.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Statements that are remembered at most.
const MOST: usize = 1024;

/// What replicas failed for a reason that cannot be seen. Readers never lock.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// By the hash of what names the statement; `None` until there is one.
    each: ArcSwapOption<HashMap<u64, Refused>>,
    /// Whether there ever was one. Most often there was none, and nothing else is looked at.
    any: AtomicBool,
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Refused {
    times: u32,
    last: Moment,
}

impl Refusals {
    /// Whether replicas have failed this statement so often that the primary should be asked first.
    #[inline]
    pub(super) fn are_many(&self, statement: &impl Hash, now: impl FnOnce() -> Moment) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let each = self.each.load();
        let Some(each) = each.as_ref() else { return false };
        let refused = each.get(&self.hasher.hash_one(statement));
        refused.is_some_and(|refused| refused.times >= OFTEN && now().since(refused.last) < REMEMBERED)
    }

    /// A replica failed it, and the primary served it. Whether they have become many by that.
    pub(super) fn note(&self, statement: &impl Hash, now: Moment) -> bool {
        let key = self.hasher.hash_one(statement);
        let mut times = 0;
        self.each.rcu(|each| {
            let mut each = each.as_deref().cloned().unwrap_or_default();
            each.retain(|_, refused| now.since(refused.last) < 2 * REMEMBERED);
            times = each.get(&key).map_or(0, |refused| refused.times).saturating_add(1);
            if each.len() < MOST || times > 1 {
                each.insert(key, Refused { times, last: now });
            }
            Some(Arc::new(each))
        });
        self.any.store(true, Ordering::Release);
        times == OFTEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::ORIGIN + Duration::from_secs(seconds)
    }

    #[test]
    fn a_statement_is_many_times_refused_for_a_minute_and_then_tried_again() {
        let refusals = Refusals::default();
        let many = |now| refusals.are_many(&"one", || at(now));
        assert!(!many(0));
        assert_eq!(
            [1, 2, 3].map(|now| (refusals.note(&"one", at(now)), many(now))),
            [(false, false), (false, false), (true, true)]
        );
        assert!(!refusals.are_many(&"other", || at(3)));
        assert!(many(62) && !many(63));
        // It still is what it was: one more is enough.
        assert!(!refusals.note(&"one", at(70)));
        assert!(many(129) && !many(130));
        // Long ago is forgotten.
        assert!(!refusals.note(&"one", at(190)));
        assert!(!many(190));
    }

    #[test]
    fn memory_is_bounded_and_old_statements_make_room() {
        let refusals = Refusals::default();
        for number in 0..MOST {
            refusals.note(&number, at(0));
        }
        for _ in 0..OFTEN {
            refusals.note(&"late", at(1));
        }
        assert!(!refusals.are_many(&"late", || at(1)));
        for _ in 0..OFTEN {
            refusals.note(&0, at(1));
            refusals.note(&"late", at(120));
        }
        assert!(refusals.are_many(&"late", || at(120)));
    }
}
