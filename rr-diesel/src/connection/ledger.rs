//! What a handle's reads must see, and what its writes have made others see.

use rr_core::position::Position;
use rr_core::{Requirement, Router, Session};

use crate::connector::DieselConnector;

/// The registers that a handle reads and writes: the router's, and its session's.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) router: Router<DieselConnector>,
    pub(crate) session: Option<Session>,
}

impl Ledger {
    pub(crate) const fn new(router: Router<DieselConnector>) -> Self {
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
    pub(crate) const fn suspect(&self) -> Suspect<'_> {
        Suspect { ledger: self, open: true }
    }
}

/// A write under way. Dropped before it is resolved, it counts as done.
pub(crate) struct Suspect<'a> {
    ledger: &'a Ledger,
    open: bool,
}

impl Suspect<'_> {
    /// It wrote, up to this position or to one that is not known.
    pub(crate) fn wrote(mut self, position: Option<&Position>) {
        self.open = false;
        self.ledger.wrote(position);
    }

    /// It wrote nothing.
    pub(crate) fn cleared(mut self) {
        self.open = false;
    }
}

impl Drop for Suspect<'_> {
    fn drop(&mut self) {
        if self.open {
            self.ledger.wrote(None);
        }
    }
}
