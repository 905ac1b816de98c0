//! Who waits for a connection of a pool, counted for people: pools of drivers do not tell, or count something else.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::connector::PoolState;

/// The counts of one pool.
#[derive(Debug, Default)]
pub struct Waits {
    waiting: AtomicU32,
    served: AtomicU64,
    in_vain: AtomicU64,
}

impl Waits {
    /// One more waits, until this is dropped.
    #[must_use = "dropped, it waits no more"]
    pub fn begin(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting { waits: self }
    }

    /// This state of the pool, with the counts.
    #[must_use]
    pub fn told(&self, state: PoolState) -> PoolState {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        state.waited(self.waiting.load(Ordering::Relaxed), count(&self.served), count(&self.in_vain))
    }
}

/// One that waits. Dropped without a word, it was given up, or told of a node that cannot be connected to.
#[derive(Debug)]
pub struct Waiting<'a> {
    waits: &'a Waits,
}

impl Waiting<'_> {
    /// It got a connection.
    pub fn served(self) {
        self.waits.served.fetch_add(1, Ordering::Relaxed);
    }

    /// It waited as long as it may.
    pub fn in_vain(self) {
        self.waits.in_vain.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waits.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_ends_in_one_way() {
        let waits = Waits::default();
        let told = || waits.told(PoolState::of(3, 1));
        let (one, two, three) = (waits.begin(), waits.begin(), waits.begin());
        assert_eq!((told().active, told().waiting), (2, Some(3)));
        one.served();
        two.in_vain();
        drop(three);
        assert_eq!((told().waiting, told().waits, told().timeouts), (Some(0), Some(1), Some(1)));
    }
}
