//! What a transaction and its savepoints do alike: they note what is written, and hold the server to its limit.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use rr_core::adapter::{Next, Suspect};
use rr_core::engine::Fault;
use rr_core::retry::Trouble;
use rr_core::route::Outcome;
use rr_core::sql::{StatementClass, may_end_transaction};
use rr_core::topology::Role;
use sea_orm::DbErr;

use super::Root;
use super::beginning::closing;
use crate::connection::Kind;
use crate::connector::SeaOrmConnector;
use crate::error;

impl Root {
    /// What it writes counts from here, until it is known how it ends.
    pub(super) fn suspect(&self) -> Suspect<SeaOrmConnector> {
        let route = self.route.lock().unwrap_or_else(PoisonError::into_inner);
        self.ledger.suspect(route.as_ref())
    }

    /// Notes what a statement will have done when the transaction is committed.
    pub(super) fn note(&self, kind: Kind, sql: &str) -> Result<(), DbErr> {
        let classified = kind.classified(self.ledger.router.connector(), sql);
        let class = classified.class;
        // A replica refuses whatever writes. Locks it hands out.
        if self.role == Role::Replica && classified.asks_for_lock(sql) {
            return Err(error::lock_on_replica(&self.node));
        }
        if self.reads_only && class == StatementClass::Write {
            return Err(error::reads_only());
        }
        // What a transaction that only reads calls, its server refuses where that writes.
        if self.role == Role::Replica || (self.reads_only && class == StatementClass::Read) {
            return Ok(());
        }
        if classified.may_write(sql) {
            self.wrote.store(true, Ordering::Relaxed);
        }
        if class == StatementClass::Session {
            self.unsure.store(true, Ordering::Relaxed);
            if may_end_transaction(sql) {
                self.ended.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// What a statement writes that is not left for the transaction to commit: noted when this is dropped.
    pub(super) fn at_once(&self) -> Option<Suspect<SeaOrmConnector>> {
        self.ended.load(Ordering::Relaxed).then(|| self.suspect())
    }

    /// Refuses to go on with what cannot be committed: on a server that is the primary no more.
    pub(super) fn check(&self) -> Result<(), DbErr> {
        // By what was chosen: the route is given back with the first fault of the node, and the transaction may go on.
        let outdated = self.role == Role::Primary && self.ledger.router.has_replaced(self.chosen.0);
        if outdated { self.told(Err(error::deposed(&self.node))) } else { Ok(()) }
    }

    /// Remembers why the last statement failed, if that is reason to run the transaction again.
    pub(super) fn told<T>(&self, result: Result<T, DbErr>) -> Result<T, DbErr> {
        let trouble = result.as_ref().err().and_then(error::trouble);
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        result
    }

    pub(crate) fn trouble(&self) -> Option<Trouble> {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lend(&self) {
        self.wrote.store(true, Ordering::Relaxed);
        self.unsure.store(true, Ordering::Relaxed);
    }

    pub(super) fn finish(&self, outcome: Outcome) {
        let route = self.route.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(route) = route {
            self.ledger.served(&route);
            route.finish(outcome);
        }
    }

    /// Runs a statement within the node's limit, and tells what it says about the node.
    pub(super) async fn watch<T>(&self, work: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        self.heard(self.within(work).await)
    }

    /// Tells what the answer to a statement says about the node.
    pub(super) fn heard<T>(&self, answer: Result<T, DbErr>) -> Result<T, DbErr> {
        let result = self.told(answer);
        match &result {
            Ok(_) if self.ledger.session().is_some() => self.served(),
            Ok(_) => {}
            Err(error) => self.met(error),
        }
        result
    }

    /// Runs something within the node's limit. Nobody waits for the connection of what is given up then.
    pub(super) async fn within<T>(&self, work: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        let Some(limit) = self.limit else { return work.await };
        let mut work = Box::pin(work);
        let done = tokio::time::timeout(limit, work.as_mut()).await;
        self.hangs.store(done.is_err(), Ordering::Relaxed);
        done.unwrap_or_else(|_| {
            closing(work);
            Err(error::too_slow(&self.node, limit))
        })
    }

    /// What was read within the transaction, the session has seen.
    pub(super) fn served(&self) {
        if let Some(route) = &*self.route.lock().unwrap_or_else(PoisonError::into_inner) {
            self.ledger.served(route);
        }
    }

    #[cold]
    fn met(&self, error: &DbErr) {
        match Next::after(error::fault(error, self.role), self.role) {
            Next::Elsewhere(fault @ (Fault::Lost | Fault::ShuttingDown | Fault::Timeout)) => {
                self.finish(Outcome::Failed(fault));
            }
            _ if error::fault(error, self.role) == Some(Fault::ReadOnly) && self.role == Role::Primary => {
                self.finish(Outcome::Failed(Fault::ReadOnly));
            }
            _ => {}
        }
    }
}
