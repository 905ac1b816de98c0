//! Whether anybody wants to know where writes end.
//!
//! To ask for it behind each write costs the server a statement, and a blocking connection a round trip. Where nobody reads what was
//! written, it is for nothing: a sample of the primary places the writes, as it places those of drivers that cannot ask.

use std::sync::atomic::{AtomicU32, Ordering};

/// Writes whose end is asked for after somebody wanted to know one. Of so many one is read at the cost of a look at the primary.
const WORTH: u32 = 1000;

/// Counts down with each write that is asked for its end.
#[derive(Debug)]
pub(crate) struct Wanted(AtomicU32);

impl Default for Wanted {
    fn default() -> Self {
        Self(AtomicU32::new(WORTH))
    }
}

impl Wanted {
    /// Somebody wants to know where a write ended, and does not.
    pub(crate) fn note(&self) {
        self.0.store(WORTH, Ordering::Relaxed);
    }

    /// Whether to ask where the next write ends.
    pub(crate) fn is_worth_asking(&self) -> bool {
        let less = |left: u32| left.checked_sub(1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_for_some_time_after_somebody_wanted_to_know() {
        let wanted = Wanted::default();
        for _ in 0..2 {
            assert!((0..WORTH).all(|_| wanted.is_worth_asking()));
            assert!(!wanted.is_worth_asking() && !wanted.is_worth_asking());
            wanted.note();
        }
    }
}
