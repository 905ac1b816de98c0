//! Where a query asks to go: hints inside of queries, collected while they are walked through.

use rr_core::adapter::Wish;
use std::cell::RefCell;

mod query;

pub use query::{Hinted, RouteHints};

thread_local! {
    /// The hints of the query that this thread walks through right now.
    static WALKING: RefCell<Option<Wish>> = const { RefCell::new(None) };
}

/// Runs `walk` and says which hints it came across.
pub(crate) fn collect<R>(walk: impl FnOnce() -> R) -> (R, Wish) {
    let outer = WALKING.with_borrow_mut(|walking| walking.replace(Wish::default()));
    let walked = walk();
    let wish = WALKING.with_borrow_mut(|walking| std::mem::replace(walking, outer));
    (walked, wish.unwrap_or_default())
}

/// Called by hints while they are walked through; without effect where nobody collects.
pub(crate) fn ask(change: impl FnOnce(&mut Wish)) {
    WALKING.with_borrow_mut(|walking| {
        if let Some(wish) = walking {
            change(wish);
        }
    });
}
