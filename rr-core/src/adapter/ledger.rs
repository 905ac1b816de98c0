//! What a handle's reads must see, and what its writes have made others see.

use std::fmt;
use std::sync::Arc;

use crate::config::Unscoped;
use crate::connector::Connector;
use crate::consistency::Consistency;
use crate::position::Position;
use crate::requirement::{Requirement, Seen};
use crate::route::Route;
use crate::router::Router;
use crate::session::{LastRead, Session};

/// The registers that a handle reads and writes: the router's, and its session's.
#[non_exhaustive]
pub struct Ledger<C: Connector> {
    /// The router.
    pub router: Router<C>,
    /// The session that the handle works for.
    pub session: Option<Session>,
    /// The handle's own level, in place of the configured one.
    pub consistency: Option<Consistency>,
    /// What a handle without a session read last; `None` for a handle that many use at once.
    last_read: Option<Arc<LastRead>>,
}

impl<C: Connector> Clone for Ledger<C> {
    fn clone(&self) -> Self {
        Self {
            router: self.router.clone(),
            session: self.session.clone(),
            consistency: self.consistency,
            last_read: self.last_read.clone(),
        }
    }
}

impl<C: Connector> Ledger<C> {
    /// That of a handle without a session, which one task uses at a time: its reads do not go back in time.
    #[must_use]
    pub fn new(router: Router<C>) -> Self {
        Self { last_read: Some(Arc::default()), ..Self::shared(router) }
    }

    /// That of a handle without a session that is shared by many tasks. What one of them has seen binds no other.
    #[must_use]
    pub const fn shared(router: Router<C>) -> Self {
        Self { router, session: None, consistency: None, last_read: None }
    }

    /// What the handle's reads must see now.
    #[must_use]
    pub fn requirement(&self) -> Requirement {
        let mut requirement = self.router.requirement(self.session.as_ref(), self.consistency);
        if let Some(last_read) = self.own_reads() {
            requirement.seen = last_read.get();
        }
        requirement
    }

    /// Notes that a read has been served: the handle's later reads see no earlier state.
    ///
    /// To be called when the statement has taken its snapshot: with its first row, or its end.
    pub fn served<P>(&self, route: &Route<P>) {
        match (&self.session, self.own_reads()) {
            (Some(session), _) if self.level() == Consistency::Session => {
                session.read_on(route.node(), self.router.now(), route.under());
            }
            (_, Some(last_read)) => last_read.note(route.node(), self.router.now(), route.under()),
            (_, None) => {}
        }
    }

    /// Where this handle remembers its reads by itself.
    fn own_reads(&self) -> Option<&LastRead> {
        let wanted =
            self.level() == Consistency::Session && self.router.config().unscoped == Unscoped::Router;
        self.last_read.as_deref().filter(|_| wanted && self.session.is_none())
    }

    /// The level of the handle's reads.
    #[must_use]
    pub fn level(&self) -> Consistency {
        self.consistency.unwrap_or_else(|| self.router.config().consistency)
    }

    /// Notes a write, and where it ended if that is known.
    pub fn wrote(&self, position: Option<&Position>) {
        self.router.wrote(position);
        if let Some(session) = &self.session {
            session.note(position, self.router.now());
        }
    }

    /// Notes a write, should it be given up before it is known how it ended.
    #[must_use = "a suspect that is dropped counts as a write"]
    pub fn suspect(&self) -> Suspect<'_, C> {
        let follows = match &self.session {
            Some(session) => session.follows(),
            None => self.last_read.as_ref().and_then(|last_read| last_read.get()),
        };
        Suspect { ledger: self, open: true, follows }
    }
}

impl<C: Connector> fmt::Debug for Ledger<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("router", &self.router)
            .field("session", &self.session)
            .field("consistency", &self.consistency)
            .finish()
    }
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The server did it.
    Done,
    /// The server did not do it.
    Refused,
    /// The connection was lost before it said: it may have been done, and counts as such.
    Unknown,
}

/// A write under way. Dropped before it is resolved, it counts as done.
#[derive(Debug)]
pub struct Suspect<'a, C: Connector> {
    ledger: &'a Ledger<C>,
    open: bool,
    /// The last read before it.
    follows: Option<Seen>,
}

impl<C: Connector> Suspect<'_, C> {
    /// It wrote, up to this position or to one that is not known.
    pub fn wrote(mut self, position: Option<&Position>) {
        self.open = false;
        self.ledger.wrote(position);
        // Whatever was read before, on whatever node, is in a position of the primary that was asked for afterwards.
        let Some(seen) = self.follows.filter(|_| position.is_some()) else { return };
        match (&self.ledger.session, &self.ledger.last_read) {
            (Some(session), _) => session.settle_by_write(seen),
            (None, Some(last_read)) => last_read.settle(seen),
            (None, None) => {}
        }
    }

    /// How it ended, and where if it wrote and that is known.
    pub fn settle(self, ended: Ended, position: Option<&Position>) {
        match ended {
            Ended::Done => self.wrote(position),
            Ended::Unknown => drop(self),
            Ended::Refused => self.cleared(),
        }
    }

    /// It wrote nothing.
    pub fn cleared(mut self) {
        self.open = false;
    }
}

impl<C: Connector> Drop for Suspect<'_, C> {
    fn drop(&mut self) {
        if self.open {
            self.ledger.wrote(None);
        }
    }
}
