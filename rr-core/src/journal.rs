//! The last notices, for whoever comes after they were told.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::time::Moment;
use crate::world::Notice;

/// Notices that are kept.
const KEPT: usize = 128;

/// A notice that was told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Told {
    /// Counts notices, from 1. A gap is what was dropped since.
    pub number: u64,
    /// When it was told, on the router's clock.
    pub at: Moment,
    /// What was told.
    pub notice: Notice,
}

/// Written by the monitor alone; statements never come here.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    kept: Mutex<VecDeque<Told>>,
}

impl Journal {
    pub(crate) fn enter(&self, at: Moment, notice: Notice) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let number = kept.back().map_or(1, |last| last.number + 1);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(Told { number, at, notice });
    }

    /// What was told after number `after`, as far as it is kept.
    pub(crate) fn after(&self, after: u64) -> Vec<Told> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().filter(|told| told.number > after).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept_in_order() {
        let journal = Journal::default();
        assert!(journal.after(0).is_empty());
        (1..=200).for_each(|n| journal.enter(Moment::from_millis(n), Notice::Panic(n % 2 == 0)));
        let all = journal.after(0);
        assert_eq!((all.len(), all[0].number, all[127].number), (KEPT, 73, 200));
        let news = journal.after(199);
        assert_eq!(
            (news.len(), news[0].at, &news[0].notice),
            (1, Moment::from_millis(200), &Notice::Panic(true))
        );
    }
}
