//! The rows of a routed statement, one by one.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use rr_core::adapter::{Ledger, RowLimit, Turn, Way, Wish};
use rr_core::route::{Access, Outcome, Route};
use rr_core::time::Moment;
use sea_orm::metric::Info;
use sea_orm::sqlx::Connection as _;
use sea_orm::{DbErr, QueryResult, Statement};

use crate::connection::{
    Attempts, Care, Checkout, Kind, RoutedConnection, Taken, Verdict, within, write_failed,
};
use crate::connector::{NodePool, SeaOrmConnector};
use crate::error;
use crate::job::{READ_ONLY, prepared};
use crate::metric::Callback;

type Rows = Pin<Box<dyn Stream<Item = Result<QueryResult, DbErr>> + Send>>;

/// The rows of a statement, with the connection that they come from.
///
/// A read has had its first row fetched when this is handed out. A statement that writes begins with the first poll.
#[must_use = "streams do nothing unless polled"]
pub struct RoutedStream {
    rows: Option<Rows>,
    ahead: Option<Result<QueryResult, DbErr>>,
    route: Option<Route<NodePool>>,
    /// Set for a statement that may write: who is to be told when it ends, or is given up.
    writes: Option<Ledger<SeaOrmConnector>>,
    report: Option<Report>,
    /// How long its server may take for the next row.
    limit: Option<Duration>,
    waiting: RowLimit,
}

/// What the metric callback is told in the end.
struct Report {
    callback: Callback,
    ledger: Ledger<SeaOrmConnector>,
    start: Moment,
    statement: Statement,
    failed: bool,
}

impl RoutedConnection {
    pub(crate) async fn rows(&self, kind: Kind, statement: Statement) -> Result<RoutedStream, DbErr> {
        match self.way(kind, &statement.sql) {
            (Way::Read, wish) => self.read_rows(wish, statement).await,
            (Way::Write, _) => self.write_rows(Access::Write, statement).await,
            (Way::Keep, _) => self.write_rows(Access::Session, statement).await,
        }
    }

    async fn read_rows(&self, wish: Wish, statement: Statement) -> Result<RoutedStream, DbErr> {
        let mut search = Attempts::new(self.router(), wish);
        loop {
            let Checkout { mut conn, route } = self.reader(&mut search).await?;
            let care = self.care(route.role(), &statement.sql);
            if care == Care::Write {
                drop((conn, route));
                return self.write_rows(Access::Write, statement).await;
            }
            route.runs(&statement.sql);
            let limit = self.deadline().or_else(|| route.pool().statement_timeout());
            let guarded = care == Care::Guard;
            conn.sends(limit);
            let (mut rows, held) = open(conn, statement.clone(), guarded);
            let first = within(limit, route.name(), async { rows.next().await.transpose() }).await;
            let error = match first {
                Ok(first) => {
                    self.ledger().served(&route);
                    let mut stream = RoutedStream::new(rows, route);
                    (stream.report, stream.limit) = (self.report(statement), limit);
                    match first {
                        Some(row) => stream.ahead = Some(Ok(row)),
                        None => stream.end(Outcome::Answered),
                    }
                    return Ok(stream);
                }
                Err(error) => error,
            };
            drop(rows);
            // The stream has put its connection back where it came from.
            let Some(mut conn) = held.await.ok() else { return Err(error) };
            conn.answered();
            match self.judge(&mut search, &error, Checkout { conn, route }, guarded) {
                Verdict::Again => {}
                Verdict::Tell => return Err(error),
                Verdict::Misrouted => {
                    self.connector().classes().learn_write(None, &statement.sql);
                    return self.write_rows(Access::Write, statement).await;
                }
            }
        }
    }

    async fn write_rows(&self, access: Access, statement: Statement) -> Result<RoutedStream, DbErr> {
        self.check_writes()?;
        let Checkout { mut conn, route } = self.writer(access, &mut Turn::new(self.router())).await?;
        route.runs(&statement.sql);
        let limit = route.pool().statement_timeout();
        conn.sends(limit);
        let report = self.report(statement.clone());
        let (rows, _) = open(conn, statement, false);
        let mut stream = RoutedStream::new(rows, route);
        (stream.report, stream.limit) = (report, limit);
        stream.writes = Some(self.ledger().bound());
        Ok(stream)
    }

    fn report(&self, statement: Statement) -> Option<Report> {
        let callback = self.callback()?.clone();
        let start = self.router().now();
        Some(Report { callback, ledger: self.ledger().clone(), start, statement, failed: false })
    }
}

/// The rows of a statement, and the connection as soon as they are dropped with an error as their last item.
fn open(conn: Taken, statement: Statement, guarded: bool) -> (Rows, tokio::sync::oneshot::Receiver<Taken>) {
    let (give_back, held) = tokio::sync::oneshot::channel();
    let rows = async_stream::stream! {
        let mut held = Held { conn: Some(conn), give_back: Some(give_back), begins: guarded };
        let Some(conn) = &mut held.conn else { return };
        if !guarded {
            {
                let mut rows = prepared(&statement).fetch(&mut **conn);
                while let Some(row) = rows.next().await {
                    yield row.map(QueryResult::from).map_err(error::query);
                }
            }
            conn.answered();
            return;
        }
        let ended = {
            let begun = conn.begin_with(READ_ONLY).await;
            held.begins = false;
            let mut transaction = match begun {
                Ok(transaction) => transaction,
                Err(error) => {
                    yield Err(error::query(error));
                    return;
                }
            };
            {
                let mut rows = prepared(&statement).fetch(&mut *transaction);
                while let Some(row) = rows.next().await {
                    yield row.map(QueryResult::from).map_err(error::query);
                }
            }
            transaction.commit().await
        };
        conn.answered();
        if let Err(error) = ended {
            yield Err(error::query(error));
        }
    };
    (Box::pin(rows), held)
}

/// A connection that goes to whoever waits for it, and else back to its pool.
struct Held {
    conn: Option<Taken>,
    give_back: Option<tokio::sync::oneshot::Sender<Taken>>,
    /// A BEGIN is not answered: the driver forgets it, and would hand the connection on with the transaction open.
    begins: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.as_mut().filter(|_| self.begins) {
            conn.close_on_drop();
        }
        if let (Some(conn), Some(give_back)) = (self.conn.take(), self.give_back.take()) {
            // Nobody waits: the connection comes back in the error, and goes to its pool.
            drop(give_back.send(conn));
        }
    }
}

impl RoutedStream {
    fn new(rows: Rows, route: Route<NodePool>) -> Self {
        let (rows, route) = (Some(rows), Some(route));
        let waiting = RowLimit::default();
        Self { rows, ahead: None, route, writes: None, report: None, limit: None, waiting }
    }

    /// Ends it with an error, which is told as that of any other statement of its kind.
    #[cold]
    fn fail(&mut self, error: DbErr) -> DbErr {
        if let Some(report) = &mut self.report {
            report.failed = true;
        }
        let Some(route) = &self.route else { return error };
        route.failed(&error::word(&error));
        let outcome = error::outcome(&error, route.role());
        let told = match &self.writes {
            Some(ledger) => write_failed(&ledger.router, route.name(), error),
            None => error,
        };
        self.end(outcome);
        told
    }

    fn end(&mut self, outcome: Outcome) {
        self.rows = None;
        if let Some(ledger) = self.writes.take() {
            ledger.wrote(None);
        }
        if let Some(route) = self.route.take() {
            route.finish(outcome);
        }
        if let Some(report) = self.report.take() {
            let elapsed = report.ledger.router.now().since(report.start);
            (report.callback)(&Info { elapsed, statement: &report.statement, failed: report.failed });
        }
    }
}

/// The server commits before or after it has sent the last row: whoever has seen a row must see all that was committed by then. With
/// each row, since what is sampled behind one of them need not have what is committed before the next.
fn may_have_committed(ledger: &Ledger<SeaOrmConnector>) {
    // One that is dropped counts as a write.
    drop(ledger.suspect(None));
}

impl Stream for RoutedStream {
    type Item = Result<QueryResult, DbErr>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(item) = this.ahead.take() {
            return Poll::Ready(Some(item));
        }
        let Some(rows) = &mut this.rows else { return Poll::Ready(None) };
        let row = rows.poll_next_unpin(context);
        let name = || this.route.as_ref().map_or("?", |route| &**route.name());
        let late = |limit| Some(Err(error::too_slow(name(), limit)));
        let item = ready!(this.waiting.with(row, this.limit, late, context));
        Poll::Ready(match item {
            Some(Ok(row)) => {
                if let Some(ledger) = &this.writes {
                    may_have_committed(ledger);
                }
                Some(Ok(row))
            }
            Some(Err(error)) => Some(Err(this.fail(error))),
            None => {
                this.end(Outcome::Answered);
                None
            }
        })
    }
}

impl Drop for RoutedStream {
    fn drop(&mut self) {
        self.end(Outcome::Answered);
    }
}

impl fmt::Debug for RoutedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoutedStream").field("ended", &self.rows.is_none()).finish_non_exhaustive()
    }
}
