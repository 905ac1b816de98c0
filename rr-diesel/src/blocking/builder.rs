//! Transactions with options.

use diesel::PgConnection;
use diesel::connection::TransactionManager;
use diesel::result::Error;

use super::connection::RoutedConnection;
use super::transaction::{RoutedTransactionManager, begin};
use crate::transaction::{Isolation, Options};

/// A transaction with options, not begun yet; from
/// [`RoutedConnection::build_transaction`].
#[derive(Debug)]
#[must_use = "a transaction does nothing before `run`"]
pub struct TransactionBuilder<'a> {
    connection: &'a mut RoutedConnection<PgConnection>,
    options: Options,
}

impl RoutedConnection<PgConnection> {
    /// A transaction with options such as an isolation level.
    pub const fn build_transaction(&mut self) -> TransactionBuilder<'_> {
        TransactionBuilder { connection: self, options: Options::DEFAULT }
    }
}

impl TransactionBuilder<'_> {
    /// Makes it `READ ONLY`. Unless it is also [`serializable`](Self::serializable), a replica may serve it that has
    /// everything that this handle must see.
    pub const fn read_only(mut self) -> Self {
        self.options.read_only = Some(true);
        self
    }

    /// Makes it `READ WRITE`.
    pub const fn read_write(mut self) -> Self {
        self.options.read_only = Some(false);
        self
    }

    /// Makes it `DEFERRABLE`.
    pub const fn deferrable(mut self) -> Self {
        self.options.deferrable = Some(true);
        self
    }

    /// Makes it `NOT DEFERRABLE`.
    pub const fn not_deferrable(mut self) -> Self {
        self.options.deferrable = Some(false);
        self
    }

    /// Makes its isolation level `READ COMMITTED`.
    pub const fn read_committed(mut self) -> Self {
        self.options.isolation = Some(Isolation::ReadCommitted);
        self
    }

    /// Makes its isolation level `REPEATABLE READ`.
    pub const fn repeatable_read(mut self) -> Self {
        self.options.isolation = Some(Isolation::RepeatableRead);
        self
    }

    /// Makes its isolation level `SERIALIZABLE`, which replicas do not have.
    pub const fn serializable(mut self) -> Self {
        self.options.isolation = Some(Isolation::Serializable);
        self
    }

    /// Runs `body` in the transaction: commits it when `body` returns `Ok`, and rolls it back otherwise.
    ///
    /// # Errors
    /// The error of `body`, or of the begin or the end of the transaction.
    pub fn run<T, E, F>(&mut self, body: F) -> Result<T, E>
    where
        F: FnOnce(&mut RoutedConnection<PgConnection>) -> Result<T, E>,
        E: From<Error>,
    {
        let conn = &mut *self.connection;
        begin(conn, &self.options.sql(), self.options.suit_replicas())?;
        match body(&mut *conn) {
            Ok(value) => {
                RoutedTransactionManager::commit_transaction(conn)?;
                Ok(value)
            }
            Err(error) => match RoutedTransactionManager::rollback_transaction(conn) {
                // The error of the body is likely the reason.
                Ok(()) | Err(Error::BrokenTransactionManager) => Err(error),
                Err(rollback) => Err(rollback.into()),
            },
        }
    }
}
