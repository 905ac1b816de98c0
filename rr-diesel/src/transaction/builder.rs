//! Transactions with options.

use diesel::QueryResult;
use diesel::result::Error;
use diesel_async::TransactionManager;
use rr_core::adapter::Search;
use rr_core::route::Outcome;

use super::options::TransactionBuilder;
use super::{RoutedTransactionManager, begin, begin_on_primary, note_depth, on_pin};
use crate::connection::RoutedPgConnection;
use crate::error;

/// An asynchronous closure whose future can be named, so that it can be required to be `Send`.
pub trait AsyncBody<C, R>: AsyncFnOnce(C) -> R + FnOnce(C) -> Self::Running {
    /// What it returns when it is called.
    type Running: Future<Output = R>;
}

impl<F, C, Running, R> AsyncBody<C, R> for F
where
    F: AsyncFnOnce(C) -> R + FnOnce(C) -> Running,
    Running: Future<Output = R>,
{
    type Running = Running;
}

impl RoutedPgConnection {
    /// A transaction with options such as an isolation level.
    pub const fn build_transaction(&mut self) -> TransactionBuilder<'_> {
        TransactionBuilder::new(self)
    }
}

impl TransactionBuilder<'_> {
    /// Runs `body` in the transaction: commits it when `body` returns `Ok`, and rolls it back otherwise.
    ///
    /// # Errors
    /// The error of `body`, or of the begin or the end of the transaction.
    pub async fn run<'b, T, E, F>(&mut self, body: F) -> Result<T, E>
    where
        for<'r> F: AsyncFnOnce(&'r mut RoutedPgConnection) -> Result<T, E>
            + AsyncBody<&'r mut RoutedPgConnection, Result<T, E>, Running: Send>
            + Send,
        T: 'b,
        E: From<Error> + 'b,
    {
        self.begin().await?;
        match body(&mut *self.connection).await {
            Ok(value) => {
                RoutedTransactionManager::commit_transaction(&mut *self.connection).await?;
                Ok(value)
            }
            Err(error) => {
                RoutedTransactionManager::rollback_transaction(&mut *self.connection).await?;
                Err(error)
            }
        }
    }

    async fn begin(&mut self) -> QueryResult<()> {
        if self.connection.reads_only() {
            if self.options.read_only == Some(false) {
                return Err(error::reads_only());
            }
            self.options.read_only = Some(true);
        }
        let sql = self.options.sql();
        let conn = &mut *self.connection;
        if conn.pin_mut().get().is_some() {
            on_pin(conn, async |connection| {
                diesel_async::AnsiTransactionManager::begin_transaction_sql(connection, &sql).await
            })
            .await?;
            note_depth(conn);
            return Ok(());
        }
        if self.options.suit_replicas() {
            return begin_on_replica(conn, &sql).await;
        }
        begin_on_primary(conn, Some(&sql)).await
    }
}

/// Begins a transaction that only reads where a read would go. The check comes before the snapshot.
pub(super) async fn begin_on_replica(conn: &mut RoutedPgConnection, sql: &str) -> QueryResult<()> {
    let wish = conn.wish_to_begin();
    let mut search = Search::new(conn.router(), wish);
    loop {
        let mut checkout = conn.reader(&mut search).await?;
        match begin(&mut checkout, Some(sql)).await {
            Err(error) if error::is_lost(&error) => {
                search.failed(checkout.route().node());
                checkout.discard();
                checkout.finish(Outcome::Failed(rr_core::engine::Fault::Lost));
                if !search.may_replay(conn.router()) {
                    return Err(error);
                }
            }
            begun => {
                begun?;
                conn.keep(checkout);
                note_depth(conn);
                return Ok(());
            }
        }
    }
}
