//! The rows of a statement of a transaction, one by one.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use sea_orm::{DbErr, QueryResult, Statement, StreamTrait, TransactionStream};

use super::RoutedTransaction;
use super::savepoint::Turn;

/// The rows of a statement of a transaction.
///
/// The statement begins with the first poll. Nothing else of the transaction runs until this is dropped.
#[must_use = "streams do nothing unless polled"]
pub struct RoutedTransactionStream<'a> {
    rows: TransactionStream<'a>,
    _turn: Turn<'a>,
}

impl RoutedTransaction {
    pub(super) async fn rows(
        &self,
        noted: Result<Statement, DbErr>,
    ) -> Result<RoutedTransactionStream<'_>, DbErr> {
        let statement = noted?;
        let turn = self.root.turn().await?;
        let rows = self.inner().stream_raw(statement).await?;
        Ok(RoutedTransactionStream { rows, _turn: turn })
    }
}

impl Stream for RoutedTransactionStream<'_> {
    type Item = Result<QueryResult, DbErr>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.rows).poll_next(context)
    }
}

impl fmt::Debug for RoutedTransactionStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoutedTransactionStream").finish_non_exhaustive()
    }
}
