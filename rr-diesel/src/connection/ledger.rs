//! What a handle's reads must see, and what its writes have made others see.

use diesel::result::Error;
use rr_core::connector::Connector;
use rr_core::position::Position;
use rr_core::{Requirement, Router, Session};

use crate::connector::DieselConnector;
use crate::error;

/// The registers that a handle reads and writes: the router's, and its session's.
pub(crate) struct Ledger<K: Connector = DieselConnector> {
    pub(crate) router: Router<K>,
    pub(crate) session: Option<Session>,
}

impl<K: Connector> Clone for Ledger<K> {
    fn clone(&self) -> Self {
        Self { router: self.router.clone(), session: self.session.clone() }
    }
}

impl<K: Connector> Ledger<K> {
    pub(crate) const fn new(router: Router<K>) -> Self {
        Self { router, session: None }
    }

    pub(crate) fn requirement(&self) -> Requirement {
        self.router.requirement(self.session.as_ref(), None)
    }

    /// Notes a write, and where it ended if that is known.
    pub(crate) fn wrote(&self, position: Option<&Position>) {
        let now = self.router.now();
        for session in std::iter::once(self.router.process_session()).chain(&self.session) {
            match position {
                Some(position) => session.wrote(position),
                None => session.wrote_unplaced(now),
            }
        }
    }

    /// Notes a write, should it be given up before it is known how it ended.
    pub(crate) const fn suspect(&self) -> Suspect<'_, K> {
        Suspect { ledger: self, open: true }
    }
}

/// A write under way. Dropped before it is resolved, it counts as done.
pub(crate) struct Suspect<'a, K: Connector = DieselConnector> {
    ledger: &'a Ledger<K>,
    open: bool,
}

impl<K: Connector> Suspect<'_, K> {
    /// It wrote, up to this position or to one that is not known.
    pub(crate) fn wrote(mut self, position: Option<&Position>) {
        self.open = false;
        self.ledger.wrote(position);
    }

    /// How it ended. When its connection was lost that is not known, and it counts as done.
    pub(crate) fn settle(self, error: Option<&Error>, position: Option<&Position>) {
        match error {
            None => self.wrote(position),
            Some(error) if error::is_lost(error) => drop(self),
            Some(_) => self.cleared(),
        }
    }

    /// It wrote nothing.
    pub(crate) fn cleared(mut self) {
        self.open = false;
    }
}

impl<K: Connector> Drop for Suspect<'_, K> {
    fn drop(&mut self) {
        if self.open {
            self.ledger.wrote(None);
        }
    }
}
