//! What a handle's reads must see, and what its writes have made others see.

use std::fmt;
use std::sync::Arc;

use crate::config::Unscoped;
use crate::connector::Connector;
use crate::consistency::Consistency;
use crate::position::{Position, Timeline};
use crate::requirement::Requirement;
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
    pub(super) last_read: Option<Arc<LastRead>>,
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
    #[inline]
    pub fn new(router: Router<C>) -> Self {
        Self { last_read: Some(Arc::default()), ..Self::shared(router) }
    }

    /// That of a handle without a session that is shared by many tasks. What one of them has seen binds no other.
    #[must_use]
    #[inline]
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
        self.requirement_of(self.session().as_ref(), self.level_at(call))
    }

    /// What a read at this level must see on behalf of this session.
    #[inline]
    pub(super) fn requirement_of(&self, session: Option<&Session>, level: Consistency) -> Requirement {
        let mut requirement = self.router.requirement(session, Some(level));
        if session.is_none()
            && level == Consistency::Session
            && let Some(last_read) = self.own_reads()
        {
            requirement.seen = last_read.get();
        }
        requirement
    }

    /// Notes that a read has been served: later reads of its session, or else of the handle, see no earlier state.
    ///
    /// To be called when the statement has taken its snapshot: with its first row, or its end.
    #[inline]
    pub fn served<P>(&self, route: &Route<P>) {
        // What a weaker read saw binds nobody; a strong one has shown the newest state, and that is not forgotten.
        if !matches!(self.level_at(route.level()), Consistency::Session | Consistency::Strong) {
            return;
        }
        match (self.session(), self.own_reads()) {
            (Some(session), _) => session.read_on(route.node(), self.router.now(), under(route)),
            (None, Some(last_read)) => last_read.note(route.node(), self.router.now(), under(route)),
            (None, None) => {}
        }
    }

    /// Where this handle remembers its reads by itself, while it works for no session.
    #[inline]
    fn own_reads(&self) -> Option<&LastRead> {
        self.last_read.as_deref().filter(|_| self.router.config().unscoped == Unscoped::Router)
    }

    /// The level of the handle's reads.
    #[must_use]
    pub fn level(&self) -> Consistency {
        self.level_at(None)
    }

    /// The level of a read: the call's own, else the handle's, the scope's, the router's.
    #[must_use]
    #[inline]
    pub fn level_at(&self, call: Option<Consistency>) -> Consistency {
        let own = call.or(self.consistency).or_else(Consistency::current);
        own.unwrap_or_else(|| self.router.config().consistency)
    }

    /// The session that the handle works for here: its own, or else that of the [scope](crate::scope).
    #[must_use]
    #[inline]
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
        let on = self.router.topology().timeline();
        self.wrote_in(self.session().as_ref(), position, on);
    }

    /// As [`Ledger::wrote`], on the timeline of the primary that was chosen for it.
    pub(super) fn wrote_in(
        &self,
        session: Option<&Session>,
        position: Option<&Position>,
        on: Option<Timeline>,
    ) {
        let write = self.router.written(on);
        self.router.note_write(position, write);
        if let Some(session) = session {
            // What it wrote before, and where no longer can be learned, must not hide behind this.
            session.catch_up(&self.router.topology());
            session.note(position, write);
        }
    }

    /// Notes that whoever works here was lent a connection that the adapter does not see at work: what is written on it, as
    /// [`Connector::lent`] tells, is seen by the session's reads from now on. Where there is no session it is seen by all.
    pub fn lends(&self) {
        match &self.session {
            Some(session) => self.router.lends_to(Some(session)),
            None => scope::look(|session| self.router.lends_to(session)),
        }
    }

    /// Whether something may be about to be committed on a lent connection that a read must see: then only the primary will do.
    pub(super) fn is_lent(&self, call: Option<Consistency>) -> bool {
        let level = self.level_at(call);
        match &self.session {
            Some(session) => self.router.is_lent_to(Some(session), level),
            None => scope::look(|session| self.router.is_lent_to(session, level)),
        }
    }

    /// Notes what may have been written: its caller knows that it was not answered.
    pub(super) fn may_have_written_in(&self, session: Option<&Session>) {
        self.router.may_have_written();
        if let Some(session) = session {
            session.wrote_unplaced(self.router.now());
        }
    }
}

/// The read that the node provably followed. Of a primary it is taken for granted and not proven: it may be none any more.
#[inline]
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
