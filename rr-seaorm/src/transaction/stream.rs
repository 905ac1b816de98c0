//! The rows of a statement of a transaction, one by one.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use futures_util::{Stream, StreamExt};
use rr_core::adapter::{RowLimit, Suspect};
use sea_orm::{DbErr, QueryResult, Statement, StreamTrait, TransactionStream};

use super::savepoint::Turn;
use super::{Root, RoutedTransaction};
use crate::connector::SeaOrmConnector;
use crate::error;

/// The rows of a statement of a transaction.
///
/// The statement begins with the first poll. Nothing else of the transaction runs until this is dropped.
#[must_use = "streams do nothing unless polled"]
pub struct RoutedTransactionStream<'a> {
    /// There until they have ended.
    rows: Option<TransactionStream<'a>>,
    root: &'a Root,
    /// The server has begun to answer.
    answered: bool,
    waiting: RowLimit,
    /// There until they have ended.
    at_once: Option<Suspect<SeaOrmConnector>>,
    _turn: Turn<'a>,
}

impl RoutedTransaction {
    pub(super) async fn rows(
        &self,
        noted: Result<Statement, DbErr>,
    ) -> Result<RoutedTransactionStream<'_>, DbErr> {
        let statement = noted?;
        let turn = self.root.turn().await?;
        let at_once = self.root.at_once();
        let rows = Some(self.inner().stream_raw(statement).await?);
        let waiting = RowLimit::default();
        Ok(RoutedTransactionStream { rows, root: &self.root, answered: false, waiting, at_once, _turn: turn })
    }
}

impl Stream for RoutedTransactionStream<'_> {
    type Item = Result<QueryResult, DbErr>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(rows) = &mut this.rows else { return Poll::Ready(None) };
        let row = rows.poll_next_unpin(context).map(Option::transpose);
        let hangs = row.is_pending();
        let late = |limit| Err(error::too_slow(&this.root.node, limit));
        let answer = ready!(this.waiting.with(row, this.root.limit, late, context));
        this.root.hangs.store(hangs, Ordering::Relaxed);
        if !matches!(answer, Ok(Some(_))) {
            this.rows = None;
            this.at_once = None;
        }
        // The first row tells as much as all of them.
        let tells = !std::mem::replace(&mut this.answered, true) || answer.is_err();
        let answer = if tells { this.root.heard(answer) } else { answer };
        Poll::Ready(answer.transpose())
    }
}

impl fmt::Debug for RoutedTransactionStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoutedTransactionStream").field("ended", &self.rows.is_none()).finish_non_exhaustive()
    }
}
