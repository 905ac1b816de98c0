//! What is written on connections that an adapter has lent: nobody tells what, when, or for whom.
//!
//! Whoever works for a session when he borrows one may write on it at any time from then on. So may he who works for none, and
//! for anybody: then it binds all sessions.

use super::Session;
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// What was written on lent connections, as far as it was noticed.
#[derive(Debug, Default)]
pub(crate) struct LentWrites {
    writes: Session,
    /// How often they had been used when that was noted.
    told: AtomicU64,
    /// One was lent to somebody who worked for no session.
    to_anybody: AtomicBool,
}

impl LentWrites {
    pub(crate) fn lend_to_anybody(&self) {
        self.to_anybody.store(true, Ordering::Release);
    }

    /// Whether this session must see what was written.
    #[inline]
    pub(crate) fn binds(&self, session: &Session) -> bool {
        session.has_borrowed() || self.to_anybody.load(Ordering::Acquire)
    }

    pub(crate) const fn writes(&self) -> &Session {
        &self.writes
    }

    /// Notes a use, unless it was noted already. It is noted before anybody can find that it was: who asks at the same time may
    /// note it as well.
    pub(crate) fn noted(&self, uses: u64, note: impl FnOnce(&Session)) {
        if self.told.load(Ordering::Acquire) != uses {
            note(&self.writes);
            self.told.store(uses, Ordering::Release);
        }
    }
}
