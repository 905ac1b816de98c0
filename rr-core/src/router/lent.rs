//! Connections that the adapter has lent, and who must see what is written on them.

use super::Router;
use crate::config::Unscoped;
use crate::connector::Connector;
use crate::consistency::Consistency;
use crate::session::Session;

impl<C: Connector> Router<C> {
    /// Notes that whoever works for this session was lent a connection on which he writes without anybody telling.
    pub(crate) fn lends_to(&self, session: Option<&Session>) {
        match session {
            Some(session) => session.borrows(),
            None => self.inner.shared.lent.lend_to_anybody(),
        }
    }

    /// Whether a read at this level must see what is being written on a lent connection, where nobody but the primary can show it.
    pub(crate) fn is_lent_to(&self, session: Option<&Session>, level: Consistency) -> bool {
        let binds = match session {
            Some(session) => self.inner.shared.lent.binds(session),
            None => self.inner.shared.config.unscoped == Unscoped::Router,
        };
        binds && matches!(level, Consistency::Session | Consistency::ReadAfterWrite) && self.notice_lent()
    }

    /// Notes what was written on lent connections, as far as that has ended. Whether one is out.
    fn notice_lent(&self) -> bool {
        let shared = &self.inner.shared;
        let Some(lent) = shared.connector.lent() else { return false };
        if !lent.out {
            shared.lent.noted(lent.uses, |writes| {
                let write = self.written(self.topology().timeline());
                writes.note(None, write);
                self.note_write(None, write);
            });
        }
        lent.out
    }

    /// Adds to a session what it may have written on a lent connection: before others are told what it wrote.
    pub(crate) fn gather_lent(&self, session: &Session) {
        let lent = &self.inner.shared.lent;
        if lent.binds(session) {
            if self.notice_lent() {
                session.wrote_unplaced(self.now());
            }
            session.merge(lent.writes());
        }
    }
}
