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
    source: Source,
    waiting: RowLimit,
}

/// Where rows come from.
enum Source {
    /// A connection that goes back when there are no more, and the number of the statement there.
    Own(Checkout, u64),
    /// One that belongs to somebody else, whose statement this is.
    Foreign(Statement),
    /// There are no more.
    Returned,
}

struct KeptWrite {
    /// Rows that were read before it was known where it ended.
    first: VecDeque<PgRow>,
    /// Where that is still not known.
    unplaced: Option<Unplaced<DieselConnector>>,
}

impl RoutedStream {
    #[inline]
    fn of(rows: Option<Rows>, ahead: Option<PgRow>, source: Source) -> Self {
        let ahead = ahead.map(Ok);
        Self { rows, ahead, unread: None, write: None, source, waiting: RowLimit::default() }
    }

    /// On a connection that belongs to somebody else.
    pub(crate) fn new(rows: Rows, statement: Statement) -> Self {
        Self::of(Some(rows), None, Source::Foreign(statement))
    }

    /// Of a read on a connection of its own, the first row of which is there.
    #[inline]
    pub(crate) fn of_read(rows: Rows, first: PgRow, checkout: Checkout, number: u64) -> Self {
        Self::of(Some(rows), Some(first), Source::Own(checkout, number))
    }

    /// Of a read that found nothing.
    pub(crate) fn empty() -> Self {
        Self::of(None, None, Source::Returned)
    }

    /// The rows of a write on a connection of the handle's: the first of them, and the rest if there are more.
    pub(crate) fn of_write(first: VecDeque<PgRow>, rows: Option<Rows>, statement: Statement) -> Self {
        if rows.is_none() {
            statement.done();
        }
        let mut stream = Self::of(rows, None, Source::Foreign(statement));
        stream.write = Some(Box::new(KeptWrite { first, unplaced: None }));
        stream
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
                self.source.failed(&error);
                return Err(error);
            }
        }
        Ok(())
    }

    #[inline]
    fn read(&self) {
        if let Some(unread) = &self.unread {
            unread.read();
        }
    }

    #[inline]
    fn end(&mut self) {
        self.rows = None;
        // The server has committed.
        self.read();
        self.write = None;
        self.source.done();
    }

    /// Ends with this error, and says how to tell it.
    fn fail(&mut self, error: Error) -> Error {
        self.rows = None;
        self.source.failed(&error);
        let name = self.source.checkout().map_or_else(|| "?".into(), |own| Arc::clone(own.route().name()));
        if let Source::Own(checkout, _) = self.source.take() {
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
}

impl Source {
    #[inline]
    const fn checkout(&self) -> Option<&Checkout> {
        if let Self::Own(checkout, _) = self { Some(checkout) } else { None }
    }

    #[inline]
    const fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Returned)
    }

    /// The server has answered to the end.
    #[inline]
    fn done(&mut self) {
        match self.take() {
            Self::Own(checkout, number) => {
                checkout.work().done(number);
                checkout.finish(Outcome::Answered);
            }
            Self::Foreign(statement) => statement.done(),
            Self::Returned => {}
        }
    }

    /// The server has answered with this error, or was lost. Nothing more is to be heard of the statement.
    fn failed(&self, error: &Error) {
        match self {
            Self::Own(checkout, number) => {
                checkout.work().failed(*number, error);
                checkout.work().ended(*number);
            }
            Self::Foreign(statement) => {
                statement.failed(error);
                statement.given_up();
            }
            Self::Returned => {}
        }
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
                let node = this.source.checkout();
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
        let (Some(mut rows), Source::Own(checkout, number)) = (self.rows.take(), self.source.take()) else {
            return;
        };
        // Without a runtime the checkout cancels and closes, as it does for a stream that does not run dry in time.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        drop(runtime.spawn(async move {
            let drained = async { while let Some(Ok(_)) = rows.next().await {} };
            if tokio::time::timeout(DRAIN, drained).await.is_ok() {
                checkout.work().done(number);
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
