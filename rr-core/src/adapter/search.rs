//! The search for a node that serves one read.

use crate::adapter::{Ledger, Patience, Place, Wish};
use crate::config::ReadPreference;
use crate::connector::Connector;
use crate::engine::Fault;
use crate::requirement::Requirement;
use crate::route::{Access, Request};
use crate::router::Router;
use crate::tally::Retried;
use crate::topology::{NodeId, Role};

/// The search for a node that serves one read: which ones failed, and whether to go on.
#[derive(Debug)]
pub struct Search {
    tried: Vec<NodeId>,
    primary: bool,
    /// A replica failed it for a reason that cannot be seen.
    doubted: bool,
    wish: Wish,
    patience: Patience,
}

impl Search {
    /// The search for a read with this wish.
    #[must_use]
    #[inline]
    pub fn new<C: Connector>(router: &Router<C>, wish: Wish) -> Self {
        let patience = Patience::new(router.config().retries.within);
        let primary = wish.place == Some(Place::Primary);
        Self { tried: Vec::new(), primary, doubted: false, wish, patience }
    }

    /// What to ask the router for.
    #[must_use]
    #[inline]
    pub fn request<C: Connector>(&self, ledger: &Ledger<C>) -> Request<'_> {
        let (session, level) = (ledger.session(), ledger.level_at(self.wish.level));
        let requirement = match self.primary {
            true => Requirement::PRIMARY,
            false => ledger.requirement_of(session.as_ref(), level),
        };
        let mut request = Request::read(requirement).at_level(level).avoiding(&self.tried);
        request.session = session;
        if self.wish.place == Some(Place::Replica) {
            request = request.prefer(ReadPreference::ReplicaPreferred);
        } else if self.wish.leaning {
            request = request.prefer(ReadPreference::PrimaryPreferred);
        }
        if let Some(group) = &self.wish.group {
            request = request.in_group(group);
        }
        request
    }

    /// Only the primary will do while something may be about to be committed on a [lent](Ledger::lends) connection that the read
    /// must see.
    pub fn mind_lent<C: Connector>(&mut self, ledger: &Ledger<C>) {
        self.primary |= ledger.is_lent(self.wish.level);
    }

    /// Another node may do, this one did not.
    pub fn failed(&mut self, node: impl Into<Option<NodeId>>) {
        self.tried.extend(node.into());
    }

    /// Only the primary will do.
    pub const fn insist_on_primary(&mut self) {
        self.primary = true;
    }

    /// A replica failed it for a reason that the driver does not show.
    pub const fn doubt_replicas(&mut self) {
        self.doubted = true;
    }

    /// Whether a replica has failed it for such a reason.
    #[must_use]
    #[inline]
    pub const fn doubts_replicas(&self) -> bool {
        self.doubted
    }

    /// Whether no node has failed yet.
    #[must_use]
    #[inline]
    pub const fn is_fresh(&self) -> bool {
        self.tried.is_empty()
    }

    /// Begins again with all nodes, after a pause if there is time for one.
    pub fn again(&mut self) -> &mut Patience {
        self.tried.clear();
        &mut self.patience
    }

    /// Whether there is time to go on where no connection was to be had, and nothing was sent.
    pub fn has_time(&mut self) -> bool {
        self.patience.has_time()
    }

    /// Whether to run the statement again after a node has failed it. That spends of the budget for retries, so that a
    /// cluster in trouble does not get every statement several times.
    pub fn may_replay<C: Connector>(&mut self, router: &Router<C>) -> bool {
        let time = self.patience.has_time();
        router.note_wait("nodes failed it", Access::Read, self.wish.level, self.patience.spent());
        router.may_retry(Retried::Read, time)
    }
}

/// What to do after an error of a read, as long as no row was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Tell the application.
    Tell,
    /// The node is not able; another one may be.
    Elsewhere(Fault),
    /// Only the primary can tell.
    Primary,
    /// It is no read: the node refused to write, and nothing has happened.
    Misrouted,
}

impl Next {
    /// What follows from a fault of a node of this role.
    #[must_use]
    pub const fn after(fault: Option<Fault>, role: Role) -> Self {
        match (fault, role) {
            (None, _) => Self::Tell,
            (Some(Fault::NotThereYet), Role::Replica) => Self::Primary,
            // A primary that does not write either may be none any more: whoever runs writes finds out.
            (Some(Fault::ReadOnly), _) => Self::Misrouted,
            (Some(Fault::NotThereYet), Role::Primary) => Self::Tell,
            (Some(fault), _) => Self::Elsewhere(fault),
        }
    }
}
