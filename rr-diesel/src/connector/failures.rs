//! Failed connects of a pool, for those who wait for a connection: the pool itself would let them wait until the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::ConnectError;

/// Counted, so that each can be held against one of those who wait.
#[derive(Default)]
pub(super) struct Failures {
    count: AtomicU64,
    /// All up to this one were told, or concern nobody any more.
    taken: AtomicU64,
    last: ArcSwapOption<ConnectError>,
    told: Notify,
}

impl Failures {
    /// How many there were so far.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// One more; everybody who waits looks whether it concerns him.
    pub(super) fn note(&self, error: Arc<ConnectError>) {
        self.last.store(Some(error));
        self.count.fetch_add(1, Ordering::AcqRel);
        self.told.notify_waiters();
    }

    /// The next one.
    pub(super) fn told(&self) -> Notified<'_> {
        self.told.notified()
    }

    pub(super) fn last(&self) -> Option<Arc<ConnectError>> {
        self.last.load_full()
    }

    /// One of those since there were so many, unless others have taken them all.
    pub(super) fn take(&self, since: u64) -> Option<Arc<ConnectError>> {
        let take = |taken: u64| {
            let from = taken.max(since);
            (from < self.count()).then_some(from + 1)
        };
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).ok()?;
        self.last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_is_taken_once_and_none_of_the_past() {
        let failures = Failures::default();
        let fail = || failures.note(Arc::new(ConnectError::NoRow));
        fail();
        let since = failures.count();
        assert!(failures.take(since).is_none(), "it was before");
        fail();
        fail();
        assert!(failures.take(since + 1).is_some());
        assert!(failures.take(since).is_none(), "the one before it is not told afterwards");
        fail();
        assert!(failures.take(since).is_some());
        assert!(failures.take(since).is_none() && failures.take(0).is_none());
    }
}
