//! Where a query asks to go: hints inside of queries, collected while they are rendered.

use rr_core::adapter::Wish;
use std::cell::RefCell;

mod query;

pub use query::{Hinted, RouteHints};

thread_local! {
    /// The hints of the query that this thread renders right now.
    static RENDERING: RefCell<Option<Wish>> = const { RefCell::new(None) };
}

/// Runs `render` and says which hints it came across.
pub(crate) fn collect<R>(render: impl FnOnce() -> R) -> (R, Wish) {
    let outer = RENDERING.with_borrow_mut(|rendering| rendering.replace(Wish::default()));
    let rendered = render();
    let wish = RENDERING.with_borrow_mut(|rendering| std::mem::replace(rendering, outer));
    (rendered, wish.unwrap_or_default())
}

/// Called by hints while they are rendered; without effect where nobody collects.
pub(crate) fn ask(change: impl FnOnce(&mut Wish)) {
    RENDERING.with_borrow_mut(|rendering| {
        if let Some(wish) = rendering {
            change(wish);
        }
    });
}
