//! Where a query asks to go: hints inside of queries, collected while they are rendered.

use std::cell::RefCell;
use std::sync::Arc;

use rr_core::sql::{Classified, Hint, StatementClass};

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

/// How a statement is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Where a read may run.
    Read,
    /// On the primary.
    Write,
    /// On the primary, on a connection that the handle keeps from then on.
    Keep,
}

impl Wish {
    /// What counts in the end: the query's own wish, that for the next statement, that of a comment in the text, that of the
    /// handle.
    pub(crate) fn or(
        mut self,
        once: Option<Place>,
        classified: &Classified,
        standing: Option<Place>,
    ) -> Self {
        let comment = match classified.hint {
            Some(Hint::Primary) => Some(Place::Primary),
            Some(Hint::Replica) => Some(Place::Replica),
            _ => None,
        };
        self.place = self.place.or(once).or(comment).or(standing);
        self
    }

    /// How a statement with this wish is run.
    pub(crate) fn way(&self, classified: &Classified) -> Way {
        match effect(classified) {
            StatementClass::Session => Way::Keep,
            // A replica that is asked to write refuses, and nothing has happened: no harm in believing the author.
            StatementClass::Write if self.place == Some(Place::Replica) => Way::Read,
            StatementClass::Read => Way::Read,
            _ => Way::Write,
        }
    }
}

/// What a statement does to the session it runs in: a hint may know more than the text shows.
pub(crate) fn effect(classified: &Classified) -> StatementClass {
    if classified.hint == Some(Hint::Session) { StatementClass::Session } else { classified.class }
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
