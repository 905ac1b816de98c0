//! Where a statement asks to go.

use std::sync::Arc;

use crate::consistency::Consistency;
use crate::sql::{Classified, Hint, StatementClass};

/// What the hints of a statement ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wish {
    /// A role.
    pub place: Option<Place>,
    /// A group of nodes.
    pub group: Option<Arc<str>>,
    /// The level of this call alone; it wins over those of the handle, the scope and the router.
    pub level: Option<Consistency>,
    /// The primary first, and a replica while there is none; nobody asked for that, and what somebody asks for wins.
    pub leaning: bool,
}

/// A role that is asked for. The primary wins over replicas when both are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A replica, also for what does not look like a read: a replica refuses to write.
    Replica,
    /// The primary.
    Primary,
}

/// How a statement is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Where a read may run.
    Read,
    /// On the primary.
    Write,
    /// On the primary, on a connection that the handle keeps from then on.
    Keep,
}

impl Wish {
    /// The wish for a role.
    #[must_use]
    pub const fn at(place: Option<Place>) -> Self {
        Self { place, group: None, level: None, leaning: false }
    }

    /// What counts in the end: the query's own wish, that for the next statement, that of a comment in the text, that of the
    /// handle.
    #[must_use]
    #[inline]
    pub fn or(mut self, once: Option<Place>, classified: &Classified, standing: Option<Place>) -> Self {
        let comment = match classified.hint {
            Some(Hint::Primary) => Some(Place::Primary),
            Some(Hint::Replica) => Some(Place::Replica),
            _ => None,
        };
        self.place = self.place.or(once).or(comment).or(standing);
        self.level = self.level.or(classified.level);
        self
    }

    /// How a statement with this wish is run.
    #[must_use]
    #[inline]
    pub fn way(&self, classified: &Classified) -> Way {
        match classified.effect() {
            StatementClass::Session => Way::Keep,
            // A replica that is asked to write refuses, and nothing has happened: no harm in believing the author.
            StatementClass::Write if self.place == Some(Place::Replica) => Way::Read,
            StatementClass::Read => Way::Read,
            StatementClass::Write => Way::Write,
        }
    }
}
