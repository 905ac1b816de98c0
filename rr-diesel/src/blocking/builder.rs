//! Transactions with options.

use diesel::PgConnection;
use diesel::connection::TransactionManager;
use diesel::result::Error;

use super::connection::RoutedConnection;
use super::transaction::{RoutedTransactionManager, begin};
use crate::transaction::TransactionBuilder;

impl RoutedConnection<PgConnection> {
    /// A transaction with options such as an isolation level.
    pub const fn build_transaction(&mut self) -> TransactionBuilder<'_, Self> {
        TransactionBuilder::new(self)
    }
}

impl TransactionBuilder<'_, RoutedConnection<PgConnection>> {
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
