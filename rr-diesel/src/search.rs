//! The search for a node that serves one read, and what to do when a node did not.

use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error};
use rr_core::Requirement;
use rr_core::config::ReadPreference;
use rr_core::connector::Connector;
use rr_core::engine::Fault;
use rr_core::route::Request;
use rr_core::topology::{NodeId, Role};

use crate::connection::{Ledger, Patience};
use crate::error;
use crate::hint::{Place, Wish};

/// How long a read is tried again, from its first failure on.
const PATIENCE: Duration = Duration::from_secs(5);

/// The search for a node that serves one read.
pub(crate) struct Search {
    tried: Vec<NodeId>,
    primary: bool,
    wish: Wish,
    patience: Patience,
}

impl Default for Search {
    fn default() -> Self {
        Self { tried: Vec::new(), primary: false, wish: Wish::default(), patience: Patience::new(PATIENCE) }
    }
}

impl Search {
    pub(crate) fn of(wish: &Wish) -> Self {
        Self { primary: wish.place == Some(Place::Primary), wish: wish.clone(), ..Self::default() }
    }

    /// What to ask the router for.
    pub(crate) fn request<K: Connector>(&self, ledger: &Ledger<K>) -> Request<'_> {
        let requirement = if self.primary { Requirement::PRIMARY } else { ledger.requirement() };
        let level = ledger.router.config().consistency;
        let mut request = Request::read(requirement).at_level(level).avoiding(&self.tried);
        if self.wish.place == Some(Place::Replica) {
            request = request.prefer(ReadPreference::ReplicaPreferred);
        }
        if let Some(group) = &self.wish.group {
            request = request.in_group(group);
        }
        request
    }

    /// Another node may do, this one did not.
    pub(crate) fn failed(&mut self, node: NodeId) {
        self.tried.push(node);
    }

    /// Only the primary will do.
    pub(crate) const fn insist_on_primary(&mut self) {
        self.primary = true;
    }

    /// Whether no node has failed yet.
    pub(crate) const fn is_fresh(&self) -> bool {
        self.tried.is_empty()
    }

    /// Begins again with all nodes, after a pause if there is time for one.
    pub(crate) fn again(&mut self) -> &mut Patience {
        self.tried.clear();
        &mut self.patience
    }

    /// Whether to go on.
    pub(crate) fn has_time(&mut self) -> bool {
        self.patience.has_time()
    }
}

/// What to do after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Tell the application.
    Tell,
    /// The node is not able; another one may be.
    Elsewhere(Fault),
    /// Only the primary can tell.
    Primary,
    /// It is no read.
    Misrouted,
}

/// What an error of a read says about what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This.
    Clear(Next),
    /// This, provided that the connection still works; otherwise the server was shut down under it.
    IfAlive(Next),
}

/// What an error of a read on a node of this role says. SQLSTATE cannot be seen.
pub(crate) fn verdict(error: &Error, role: Role) -> Verdict {
    let on_replica = role == Role::Replica;
    match error {
        error if error::is_lost(error) => Verdict::Clear(Next::Elsewhere(Fault::Lost)),
        Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _) if on_replica => {
            Verdict::Clear(Next::Misrouted)
        }
        Error::DatabaseError(DatabaseErrorKind::SerializationFailure, _) if on_replica => {
            Verdict::Clear(Next::Elsewhere(Fault::Conflict))
        }
        Error::DatabaseError(DatabaseErrorKind::Unknown, information) => {
            let text = information.message();
            Verdict::IfAlive(if !on_replica || text.starts_with("canceling statement due to") {
                Next::Tell
            } else if text.contains("hot standby") || text.contains("during recovery") {
                Next::Misrouted
            } else {
                // A table that is not there yet, or simply an error: the primary has the last word.
                Next::Primary
            })
        }
        _ => Verdict::Clear(Next::Tell),
    }
}
