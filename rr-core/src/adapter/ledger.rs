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
use crate::scope;
use crate::session::{Follows, LastRead, Session};
use crate::topology::Role;

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
        self.requirement_at(None)
    }

    /// As [`Ledger::requirement`], for a call that has a level of its own.
    #[must_use]
    pub fn requirement_at(&self, call: Option<Consistency>) -> Requirement {
        let level = call.or(self.consistency).or_else(Consistency::current);
        let of = |session: Option<&Session>| {
            let mut requirement = self.router.requirement(session, level);
            if session.is_none()
                && let Some(last_read) = self.own_reads(level)
            {
                requirement.seen = last_read.get();
            }
            requirement
        };
        match &self.session {
            Some(session) => of(Some(session)),
            None => scope::look(of),
        }
    }

    /// Notes that a read has been served: later reads of its session, or else of the handle, see no earlier state.
    ///
    /// To be called when the statement has taken its snapshot: with its first row, or its end.
    pub fn served<P>(&self, route: &Route<P>) {
        let level = self.level_at(route.level());
        match (self.session(), self.own_reads(Some(level))) {
            (Some(session), _) if level == Consistency::Session => {
                session.read_on(route.node(), self.router.now(), under(route));
            }
            (None, Some(last_read)) => last_read.note(route.node(), self.router.now(), under(route)),
            (Some(_), _) | (None, None) => {}
        }
    }

    /// Where this handle remembers its reads by itself, while it works for no session.
    fn own_reads(&self, level: Option<Consistency>) -> Option<&LastRead> {
        let config = self.router.config();
        let wanted = level.unwrap_or(config.consistency) == Consistency::Session
            && config.unscoped == Unscoped::Router;
        self.last_read.as_deref().filter(|_| wanted)
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
        self.router.wrote(position);
        if let Some(session) = session {
            session.note(position, self.router.now());
        }
    }

    /// Notes a write, should it be given up before it is known how it ended.
    #[must_use = "a suspect that is dropped counts as a write"]
    pub fn suspect(&self) -> Suspect<'_, C> {
        let session = self.session();
        let follows = match &session {
            Some(session) => session.follows(),
            None => self.last_read.as_ref().and_then(|last_read| last_read.get()),
        };
        Suspect { ledger: self, session, open: true, follows }
    }
}

/// The read that the node provably followed. Of a primary it is taken for granted and not proven: it may be none any more.
fn under<P>(route: &Route<P>) -> Follows {
    if route.role() == Role::Primary { Follows::default() } else { route.under() }
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
    /// The last read before it.
    follows: Option<Seen>,
}

impl<C: Connector> Suspect<'_, C> {
    /// It wrote, up to this position or to one that is not known.
    pub fn wrote(mut self, position: Option<&Position>) {
        self.open = false;
        self.ledger.wrote_in(self.session.as_ref(), position);
        // Whatever was read before, on whatever node, is in a position of the primary that was asked for afterwards.
        let Some(seen) = self.follows.filter(|_| position.is_some()) else { return };
        match (&self.session, &self.ledger.last_read) {
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
            self.ledger.wrote_in(self.session.as_ref(), None);
        }
    }
}
