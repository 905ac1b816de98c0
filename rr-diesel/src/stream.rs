//! The rows of a routed statement.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use diesel::QueryResult;
use diesel::result::Error;
use diesel_async::{AsyncConnectionCore, AsyncPgConnection};
use futures_util::{Stream, StreamExt};
use rr_core::adapter::{RowLimit, Unplaced, Unread};
use rr_core::route::Outcome;

use crate::checkout::{Checkout, Statement};
use crate::connector::DieselConnector;
use crate::error;
use crate::lower::Rows;

/// A row, as diesel-async has it.
pub(crate) type PgRow = <AsyncPgConnection as AsyncConnectionCore>::Row<'static, 'static>;

/// A stream that is dropped early gets this long to run dry before its connection is closed.
const DRAIN: Duration = Duration::from_millis(20);

/// The rows of a statement, and the connection that they come from.
///
/// The connection goes back to its pool with the last row, not with the end of the stream's life.
#[must_use = "streams do nothing unless polled"]
pub struct RoutedStream {
    rows: Option<Rows>,
    ahead: Option<QueryResult<PgRow>>,
    /// Of a write.
    unread: Option<Unread<DieselConnector>>,
    /// Of one on a connection of the handle's.
    write: Option<Box<KeptWrite>>,
    statement: Statement,
    /// `None` when the connection belongs to the handle.
    checkout: Option<Checkout>,
    waiting: RowLimit,
}

struct KeptWrite {
    /// Rows that were read before it was known where it ended.
    first: VecDeque<PgRow>,
    /// Where that is still not known.
    unplaced: Option<Unplaced<DieselConnector>>,
}

impl RoutedStream {
    pub(crate) fn new(rows: Rows, statement: Statement, checkout: Option<Checkout>) -> Self {
        let waiting = RowLimit::default();
        Self { rows: Some(rows), ahead: None, unread: None, write: None, statement, checkout, waiting }
    }

    /// The rows of a write on a connection of the handle's: the first of them, and the rest if there are more.
    pub(crate) fn of_write(first: VecDeque<PgRow>, rows: Option<Rows>, statement: Statement) -> Self {
        if rows.is_none() {
            statement.done();
        }
        let write = Some(Box::new(KeptWrite { first, unplaced: None }));
        Self {
            rows,
            ahead: None,
            unread: None,
            write,
            statement,
            checkout: None,
            waiting: RowLimit::default(),
        }
    }

    /// Of a write that may go on behind its rows.
    pub(crate) fn writing(mut self, unread: Unread<DieselConnector>) -> Self {
        self.unread = Some(unread);
        self
    }

    /// Of a write that is not placed before its last row was read.
    pub(crate) fn placing(mut self, unplaced: Unplaced<DieselConnector>) -> Self {
        if let Some(write) = &mut self.write {
            write.unplaced = Some(unplaced);
        }
        self
    }

    /// Waits for the first row or the end: whatever is wrong with the statement itself shows by then.
    pub(crate) async fn peek(&mut self) -> QueryResult<()> {
        let Some(rows) = &mut self.rows else { return Ok(()) };
        match rows.next().await {
            None => self.end(),
            Some(Ok(row)) => self.ahead = Some(Ok(row)),
            Some(Err(error)) => {
                // The caller decides what the error says about the node.
                self.rows = None;
                self.statement.failed(&error);
                self.statement.given_up();
                return Err(error);
            }
        }
        Ok(())
    }

    pub(crate) fn hold(&mut self, checkout: Checkout) {
        if self.rows.is_some() {
            self.checkout = Some(checkout);
        } else {
            checkout.finish(Outcome::Answered);
        }
    }

    fn read(&self) {
        if let Some(unread) = &self.unread {
            unread.read();
        }
    }

    fn end(&mut self) {
        self.rows = None;
        // The server has committed.
        self.read();
        self.write = None;
        self.statement.done();
        if let Some(checkout) = self.checkout.take() {
            checkout.finish(Outcome::Answered);
        }
    }

    /// Ends with this error, and says how to tell it.
    fn fail(&mut self, error: Error) -> Error {
        self.rows = None;
        self.statement.failed(&error);
        self.statement.given_up();
        let name = self.node();
        if let Some(checkout) = self.checkout.take() {
            if error::is_lost(&error) {
                checkout.discard();
            }
            checkout.route().failed(error::word(&error));
            checkout.finish(error::outcome(&error));
        }
        match &self.unread {
            Some(unread) if error::is_lost(&error) => error::not_answered(&unread.unanswered(&name), &error),
            _ => error,
        }
    }

    fn node(&self) -> Arc<str> {
        self.checkout.as_ref().map_or_else(|| "?".into(), |checkout| Arc::clone(checkout.route().name()))
    }
}

impl Stream for RoutedStream {
    type Item = QueryResult<PgRow>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(row) = this.write.as_mut().and_then(|write| write.first.pop_front()) {
            return Poll::Ready(Some(Ok(row)));
        }
        let item = match (this.ahead.take(), &mut this.rows) {
            (Some(item), _) => Some(item),
            (None, Some(rows)) => {
                let row = rows.poll_next_unpin(context);
                let node = this.checkout.as_ref();
                let limit = node.and_then(|checkout| checkout.connection().node.statement_timeout);
                let late = |limit| {
                    let name = node.map_or("?", |checkout| checkout.route().name());
                    Some(Err(error::too_slow(name, limit)))
                };
                ready!(this.waiting.with(row, limit, late, context))
            }
            (None, None) => return Poll::Ready(None),
        };
        let item = match item {
            Some(Err(error)) => Some(Err(this.fail(error))),
            item => item,
        };
        match &item {
            None => this.end(),
            Some(Err(_)) => {}
            // Whoever wants one row drops the stream with it. Look whether it was the last one.
            Some(Ok(_)) => {
                this.read();
                if let Some(rows) = &mut this.rows
                    && let Poll::Ready(next) = rows.poll_next_unpin(context)
                {
                    match next {
                        None => this.end(),
                        next => this.ahead = next,
                    }
                }
            }
        }
        Poll::Ready(item)
    }
}

impl Drop for RoutedStream {
    fn drop(&mut self) {
        let (Some(mut rows), Some(checkout)) = (self.rows.take(), self.checkout.take()) else { return };
        // Without a runtime the checkout cancels and closes, as it does for a stream that does not run dry in time.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let statement = self.statement.clone();
        drop(runtime.spawn(async move {
            let drained = async { while let Some(Ok(_)) = rows.next().await {} };
            if tokio::time::timeout(DRAIN, drained).await.is_ok() {
                statement.done();
            }
            drop(checkout);
        }));
    }
}

impl fmt::Debug for RoutedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoutedStream").field("ended", &self.rows.is_none()).finish_non_exhaustive()
    }
}
