//! Savepoints, and what a transaction comes to when one fails half-way.
//!
//! The driver (sqlx 0.9) makes up for a SAVEPOINT that failed or whose future was dropped by a ROLLBACK of everything, and
//! for such a RELEASE by a ROLLBACK TO what may be there no more. It says so to nobody: whatever the application did next
//! would be committed one by one, and COMMIT would succeed.
//!
//! A statement that is next in line for the connection at that moment is no exception, and only SeaORM's lock knows who that
//! is. So there is one of ours before it, taken by whatever takes that one and kept as long. It is of the same kind: nobody
//! owns a turn who only waits for it, and whoever would wait for ever now would have done so without us.

use std::sync::Arc;

pub(super) use futures_util::lock::Mutex as Turns;
use futures_util::lock::MutexGuard;
use sea_orm::{DatabaseTransaction, DbErr, TransactionOptions, TransactionTrait};

use super::{Root, RoutedTransaction};
use crate::error;

/// A turn on the connection of a transaction, and whether that is torn.
pub(super) type Turn<'a> = MutexGuard<'a, bool>;

impl RoutedTransaction {
    pub(super) async fn savepoint(&self, options: TransactionOptions) -> Result<Self, DbErr> {
        let turn = self.root.turn().await?;
        let inner = self.root.watch(tearing(turn, self.inner().begin_with_options(options))).await?;
        Ok(Self { inner: Some(inner), root: Arc::clone(&self.root), nested: true })
    }
}

impl Root {
    pub(super) async fn release(&self, inner: DatabaseTransaction) -> Result<(), DbErr> {
        let turn = self.turn().await?;
        self.watch(tearing(turn, inner.commit())).await
    }

    /// Runs a statement when it has its turn. Its limit begins then: what it waits for is not its server's doing, and whatever has
    /// the connection has a limit of its own.
    pub(super) async fn in_turn<T>(&self, work: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        let _turn = self.turn().await?;
        let _at_once = self.at_once();
        self.watch(work).await
    }

    /// Waits for a turn, which only a transaction has that is whole and can be committed. The server may be replaced meanwhile.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, DbErr> {
        let turn = self.torn.lock().await;
        self.whole(&turn)?;
        self.check()?;
        Ok(turn)
    }

    pub(super) fn whole(&self, turn: &Turn<'_>) -> Result<(), DbErr> {
        if **turn { self.told(Err(error::torn())) } else { Ok(()) }
    }
}

/// Runs the begin or the end of a savepoint. The transaction is torn unless that succeeds.
async fn tearing<T>(mut torn: Turn<'_>, work: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
    // Said before the turn is anybody else's, also when this is dropped half-way.
    *torn = true;
    let result = work.await;
    *torn = !result.as_ref().err().is_none_or(error::is_of_a_subtransaction);
    result
}
