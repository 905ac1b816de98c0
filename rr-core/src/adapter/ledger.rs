//! What a handle's reads must see, and what its writes have made others see.

use std::fmt;

use crate::connector::Connector;
use crate::consistency::Consistency;
use crate::position::Position;
use crate::requirement::Requirement;
use crate::router::Router;
use crate::scope;
use crate::session::Session;

/// The registers that a handle reads and writes: the router's, and its session's.
///
/// Whose session that is: one that the handle was given; or else that of the [scope](crate::scope) in which it is used;
/// or else none, and then `unscoped` says what its reads must see.
#[non_exhaustive]
pub struct Ledger<C: Connector> {
    /// The router.
    pub router: Router<C>,
    /// The session that the handle was given.
    pub session: Option<Session>,
    /// The handle's own level, in place of the configured one.
    pub consistency: Option<Consistency>,
}

impl<C: Connector> Clone for Ledger<C> {
    fn clone(&self) -> Self {
        Self { router: self.router.clone(), session: self.session.clone(), consistency: self.consistency }
    }
}

impl<C: Connector> Ledger<C> {
    /// That of a handle without a session.
    #[must_use]
    pub const fn new(router: Router<C>) -> Self {
        Self { router, session: None, consistency: None }
    }

    /// What the handle's reads must see now.
    #[must_use]
    pub fn requirement(&self) -> Requirement {
        self.requirement_at(None)
    }

    /// As [`Ledger::requirement`], for a call that has a level of its own.
    #[must_use]
    pub fn requirement_at(&self, call: Option<Consistency>) -> Requirement {
        let level = call.or(self.consistency);
        scope::look(|scope| {
            let session = self.session.as_ref().or_else(|| scope?.session.as_ref());
            self.router.requirement(session, level.or_else(|| scope?.level))
        })
    }

    /// The level of the handle's reads.
    #[must_use]
    pub fn level(&self) -> Consistency {
        self.level_at(None)
    }

    /// The level of a read: the call's own, else the handle's, the scope's, the router's.
    #[must_use]
    pub fn level_at(&self, call: Option<Consistency>) -> Consistency {
        let own = call.or(self.consistency).or_else(Consistency::current);
        own.unwrap_or_else(|| self.router.config().consistency)
    }

    /// The session that the handle works for here: its own, or else that of the [scope](crate::scope).
    #[must_use]
    pub fn session(&self) -> Option<Session> {
        self.session.clone().or_else(Session::current)
    }

    /// The same ledger for whatever goes on elsewhere: bound to the session that it works for here.
    #[must_use]
    pub fn bound(&self) -> Self {
        Self { session: self.session(), ..self.clone() }
    }

    /// Notes a write, and where it ended if that is known.
    pub fn wrote(&self, position: Option<&Position>) {
        self.wrote_in(self.session().as_ref(), position);
    }

    fn wrote_in(&self, session: Option<&Session>, position: Option<&Position>) {
        let now = self.router.now();
        for session in std::iter::once(self.router.process_session()).chain(session) {
            match position {
                Some(position) => session.wrote(position),
                None => session.wrote_unplaced(now),
            }
        }
    }

    /// Notes a write, should it be given up before it is known how it ended.
    #[must_use = "a suspect that is dropped counts as a write"]
    pub fn suspect(&self) -> Suspect<'_, C> {
        Suspect { ledger: self, session: self.session(), open: true }
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
    /// The one for which the write began: it may end in another task.
    session: Option<Session>,
    open: bool,
}

impl<C: Connector> Suspect<'_, C> {
    /// It wrote, up to this position or to one that is not known.
    pub fn wrote(mut self, position: Option<&Position>) {
        self.open = false;
        self.ledger.wrote_in(self.session.as_ref(), position);
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
            self.ledger.wrote_in(self.session.as_ref(), None);
        }
    }
}
