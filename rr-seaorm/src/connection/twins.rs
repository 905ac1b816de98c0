//! What `DatabaseConnection` has that is no trait's, and the conversions that SeaORM's executors ask for.

use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use rr_core::adapter::Turn;
use rr_core::route::{Access, Outcome};
use sea_orm::metric::Info;
use sea_orm::sqlx::Connection as _;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sea_orm::{
    AccessMode, DatabaseConnection, DatabaseExecutor, DbBackend, DbErr, IntoDatabaseExecutor, IsolationLevel,
    Schema, SchemaBuilder, SqlxPostgresConnector, TransactionError, TransactionTrait,
};

use super::RoutedConnection;
use super::traits::BACKEND;
use crate::error;
use crate::transaction::RoutedTransaction;

impl RoutedConnection {
    /// What all nodes are.
    #[must_use]
    pub const fn get_database_backend(&self) -> DbBackend {
        BACKEND
    }

    /// Runs `callback` in a transaction: commits it when that returns `Ok`, and rolls it back otherwise.
    ///
    /// # Errors
    /// The error of `callback`, or of the begin or the end of the transaction.
    pub async fn transaction_async<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> AsyncFnOnce(&'c RoutedTransaction) -> Result<T, E> + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        self.begin().await?.run_async(callback).await
    }

    /// As [`transaction_async`](Self::transaction_async), with an isolation level and an access mode.
    ///
    /// # Errors
    /// The error of `callback`, or of the begin or the end of the transaction.
    pub async fn transaction_with_config_async<F, T, E>(
        &self,
        callback: F,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<T, TransactionError<E>>
    where
        F: for<'c> AsyncFnOnce(&'c RoutedTransaction) -> Result<T, E> + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        self.begin_with_config(isolation_level, access_mode).await?.run_async(callback).await
    }

    /// Begins to describe a schema for the database.
    #[must_use]
    pub fn get_schema_builder(&self) -> SchemaBuilder {
        Schema::new(BACKEND).builder()
    }

    /// Calls this for every statement, as SeaORM does: of this handle and of those that are made from it, and of plain
    /// references to a [`DatabaseConnection`] (where there is one callback, the last that was set).
    pub fn set_metric_callback<F>(&mut self, callback: F)
    where
        F: Fn(&Info<'_>) + Send + Sync + 'static,
    {
        let callback = Arc::new(callback);
        self.callback = Some(Arc::clone(&callback) as _);
        if let Some(steady) = self.connector().steady() {
            steady.report_to(callback);
        }
    }

    /// Asks the primary whether it is there.
    ///
    /// # Errors
    /// When it is not.
    pub async fn ping(&self) -> Result<(), DbErr> {
        let mut turn = Turn::new(self.router());
        let mut dead = None;
        loop {
            let mut checkout = self.writer(Access::Write, &mut turn).await?;
            let left = dead.get_or_insert_with(|| checkout.route.pool().connections().0);
            let Err(error) = checkout.conn.ping().await.map_err(error::acquire) else {
                checkout.finish(Outcome::Answered);
                return Ok(());
            };
            let outcome = error::outcome(&error, checkout.role());
            checkout.discard(outcome);
            // A connection that died while nobody used it says nothing of the server.
            if !error::is_lost(&error) || *left == 0 {
                return Err(error);
            }
            *left -= 1;
        }
    }

    /// Closes all connections to all nodes and stops watching them. All handles that were made from one another are closed
    /// together.
    ///
    /// # Errors
    /// None at present.
    pub async fn close(self) -> Result<(), DbErr> {
        self.close_by_ref().await
    }

    /// As [`close`](Self::close).
    ///
    /// # Errors
    /// None at present.
    pub async fn close_by_ref(&self) -> Result<(), DbErr> {
        self.router().shutdown().await;
        self.connector().close().await;
        Ok(())
    }
}

/// The primary, for code that asks for a `&DatabaseConnection`: all of it, reads too. What is written through it is seen by
/// the reads of the routed handles.
///
/// Its pool is beside that of the routed handles, connects when it is first used, and follows the primary.
impl Deref for RoutedConnection {
    type Target = DatabaseConnection;

    fn deref(&self) -> &DatabaseConnection {
        static CLOSED: LazyLock<DatabaseConnection> = LazyLock::new(closed);
        if self.reads_only() {
            return &CLOSED;
        }
        // A router that has started has opened the pool of its primary.
        let Some(steady) = self.connector().steady() else { return &CLOSED };
        // Whoever may use it is known before he has it.
        self.ledger.lends();
        steady.lend()
    }
}

/// One that leads nowhere. SeaORM's own that is not connected panics when a statement is built for it.
fn closed() -> DatabaseConnection {
    let options = PgPoolOptions::new().min_connections(0).max_lifetime(None).idle_timeout(None);
    let pool = options.connect_lazy_with(PgConnectOptions::new_without_pgpass());
    // It counts as closed from here on; there is no connection whose end would have to be waited for.
    drop(pool.close());
    SqlxPostgresConnector::from_sqlx_postgres_pool(pool)
}

impl AsRef<DatabaseConnection> for RoutedConnection {
    fn as_ref(&self) -> &DatabaseConnection {
        self
    }
}

impl<'c> IntoDatabaseExecutor<'c> for &'c RoutedConnection {
    fn into_database_executor(self) -> DatabaseExecutor<'c> {
        DatabaseExecutor::Connection(self)
    }
}

impl<'c> From<&'c RoutedConnection> for DatabaseExecutor<'c> {
    fn from(connection: &'c RoutedConnection) -> Self {
        Self::Connection(connection)
    }
}
