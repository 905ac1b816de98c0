//! Where a query asks to go: hints inside of queries, collected while they are rendered.

use std::cell::RefCell;
use std::sync::Arc;

mod query;

pub use query::{Hinted, RouteHints};

/// What the hints of a statement ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) place: Option<Place>,
    pub(crate) group: Option<Arc<str>>,
}

/// A role that is asked for. The primary wins over replicas when both are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Replica,
    Primary,
}

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
