//! Why a handle keeps a connection, and what becomes of the connection afterwards.

use std::sync::atomic::{AtomicBool, Ordering};

use diesel::QueryResult;
use rr_core::sql::{Classified, StatementClass, may_end_transaction};
use rr_core::topology::Role;

use crate::error;
use crate::run::Place;

/// Why a handle keeps a connection. Nothing of it is true at first.
#[derive(Debug)]
pub(crate) struct Hold {
    /// It is one to a replica: for a transaction that only reads.
    on_replica: bool,
    /// It stays when the transaction ends.
    pub(crate) stays: AtomicBool,
    /// Its session is not as it was, and must not be given to anybody else.
    pub(crate) altered: AtomicBool,
    /// It is lent to code that tells us nothing.
    lent: AtomicBool,
    /// A transaction is open that Diesel knows of ...
    pub(crate) in_transaction: AtomicBool,
    /// ... and it has written ...
    pub(crate) wrote: AtomicBool,
    /// ... or may have been ended by hand: what is written then is committed at once, whatever Diesel does in the end.
    ended: AtomicBool,
}

impl Hold {
    /// For a connection to a node of this role.
    pub(crate) fn of(role: Role) -> Self {
        let no = AtomicBool::default;
        Self {
            on_replica: role == Role::Replica,
            stays: no(),
            altered: no(),
            lent: no(),
            in_transaction: no(),
            wrote: no(),
            ended: no(),
        }
    }

    /// Notes what a statement will have done to this connection, and says whether to ask where it ends.
    ///
    /// # Errors
    /// When it asks for a lock on a replica.
    pub(crate) fn prepare(&self, classified: &Classified, sql: &str) -> QueryResult<Place> {
        let class = match classified.effect() {
            // Nobody refuses it here.
            StatementClass::Read if !self.on_replica && classified.may_write(sql) => StatementClass::Write,
            class => class,
        };
        if class == StatementClass::Read {
            return Ok(Place::No);
        }
        if self.on_replica {
            // What writes is refused there; locks are handed out.
            if classified.asks_for_lock(sql) {
                return Err(error::lock_on_replica());
            }
            // Whatever was set must not be left for others.
            self.altered.store(true, Ordering::Relaxed);
            return Ok(Place::No);
        }
        let in_transaction = self.in_transaction.load(Ordering::Relaxed);
        if class == StatementClass::Session && !(in_transaction && ends_with_transaction(sql)) {
            self.stays.store(true, Ordering::Relaxed);
            self.altered.store(true, Ordering::Relaxed);
            if in_transaction && may_end_transaction(sql) {
                self.ended.store(true, Ordering::Relaxed);
            }
        }
        if in_transaction {
            self.wrote.store(true, Ordering::Relaxed);
        }
        let placed_by_commit = in_transaction && !self.ended.load(Ordering::Relaxed);
        Ok(if placed_by_commit { Place::No } else { Place::Yes })
    }

    /// Notes that the connection is lent: to somebody who may do anything with it, also end its transaction.
    ///
    /// # Errors
    /// When it is one to a replica, and the primary's was asked for.
    pub(crate) fn lend(&self) -> QueryResult<()> {
        if self.on_replica {
            return Err(error::primary_on_replica());
        }
        self.stays.store(true, Ordering::Relaxed);
        self.altered.store(true, Ordering::Relaxed);
        self.lent.store(true, Ordering::Relaxed);
        if self.in_transaction.load(Ordering::Relaxed) {
            self.wrote.store(true, Ordering::Relaxed);
            self.ended.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Notes that it is lent no more. Whether it was.
    pub(crate) fn take_back(&self) -> bool {
        self.lent.swap(false, Ordering::Relaxed)
    }

    /// Whether the connection must not go back to its pool: its session is not as it was, or a transaction is still open
    /// (which pools let pass where it is a test's).
    pub(crate) fn unfit_for_others(&self) -> bool {
        self.altered.load(Ordering::Relaxed) || self.in_transaction.load(Ordering::Relaxed)
    }

    /// Notes whether a transaction is open.
    pub(crate) fn note_transaction(&self, open: bool) {
        self.in_transaction.store(open, Ordering::Relaxed);
        if !open {
            self.wrote.store(false, Ordering::Relaxed);
            self.ended.store(false, Ordering::Relaxed);
        }
    }
}

/// Whether what the statement does to its session ends with the transaction it is in.
fn ends_with_transaction(sql: &str) -> bool {
    let text = sql.trim_start().to_ascii_lowercase();
    if may_end_transaction(sql) {
        return false;
    }
    ["set local", "set transaction", "set constraints"].iter().any(|start| text.starts_with(start))
        || (text.contains("_xact_lock") && !text.contains("advisory_lock"))
}
