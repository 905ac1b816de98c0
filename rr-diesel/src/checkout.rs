//! A connection of a node, taken out for a statement, a transaction or a session.
//!
//! Statements announce themselves ([`Checkout::statement`]) and say when they are done. A connection with a statement
//! that was given up half-way is not given back: the server is asked to stop, and the connection is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use diesel::QueryResult;
use diesel::result::Error;
use diesel_async::SimpleAsyncConnection;
use futures_util::future::Either;
use rr_core::Router;
use rr_core::adapter::{Ledger, Turn};
use rr_core::engine::Fault;
use rr_core::retry::Trouble;
use rr_core::route::{Outcome, Route};
use rr_core::sql::Dialect;
use rr_core::topology::{Epoch, NodeId, Role};

use crate::capture::MARK;
use crate::connector::{Connection, DieselConnector, NodePool, PooledConnection};
use crate::error;
use crate::instrument::{Heard, noting};

/// For a message to a server that may be gone.
const CANCEL_LIMIT: Duration = Duration::from_secs(1);

const READ_ONLY: &str = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY";

/// A connection of a node, and the route that led there. Dropping it gives the connection back.
pub(crate) struct Checkout {
    connection: Option<PooledConnection>,
    route: Option<Route<NodePool>>,
}

/// The statements of one connection. A connection runs them in order, so that the end of one proves the end of all
/// that began before it.
#[derive(Debug, Default)]
pub(crate) struct Work {
    begun: AtomicU64,
    ended: AtomicU64,
    /// The server refused to write.
    refused: AtomicBool,
    /// The error of the last statement that ended, as a [`Trouble`] and 0 for none that matters.
    trouble: AtomicU8,
}

impl Work {
    /// A statement begins; the number that it has.
    #[inline]
    pub(crate) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::Relaxed) + 1
    }

    #[inline]
    pub(crate) fn done(&self, number: u64) {
        self.note_trouble(None);
        self.ended(number);
    }

    #[inline]
    pub(crate) fn failed(&self, number: u64, error: &Error) {
        self.note_trouble(error::trouble(error));
        if error::is_lost(error) {
            return;
        }
        if error::refuses_to_write(error) {
            self.refused.store(true, Ordering::Relaxed);
        }
        self.ended(number);
    }

    /// Nothing more is to be heard of it, however it ended.
    #[inline]
    pub(crate) fn ended(&self, number: u64) {
        self.ended.fetch_max(number, Ordering::Relaxed);
    }

    #[inline]
    fn note_trouble(&self, trouble: Option<Trouble>) {
        let number = trouble.map_or(0, |trouble| match trouble {
            Trouble::Lost => 1,
            Trouble::Demoted => 2,
            _ => 3,
        });
        self.trouble.store(number, Ordering::Relaxed);
    }

    /// Why the last statement failed, if that is reason to run its transaction again.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        match self.trouble.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Trouble::Lost),
            2 => Some(Trouble::Demoted),
            _ => Some(Trouble::Conflict),
        }
    }

    /// Whether the server may still be at work.
    #[inline]
    fn is_under_way(&self) -> bool {
        self.ended.load(Ordering::Relaxed) < self.begun.load(Ordering::Relaxed)
    }
}

/// A statement under way. Clones are the same statement.
#[derive(Clone)]
pub(crate) struct Statement {
    work: Arc<Work>,
    number: u64,
}

impl Statement {
    /// The server has answered to the end.
    #[inline]
    pub(crate) fn done(&self) {
        self.work.done(self.number);
    }

    /// The server has answered with this error, or was lost.
    #[inline]
    pub(crate) fn failed(&self, error: &Error) {
        self.work.failed(self.number, error);
    }

    /// Nothing more is to be heard of it, however it ended.
    pub(crate) fn given_up(&self) {
        self.work.ended(self.number);
    }
}

impl Checkout {
    #[inline]
    pub(crate) fn new(connection: PooledConnection, mut route: Route<NodePool>) -> Self {
        route.begin();
        Self { connection: Some(connection), route: Some(route) }
    }

    /// For statements that write on behalf of this ledger.
    pub(crate) fn writing(mut self, ledger: &Ledger<DieselConnector>) -> Self {
        self.connection_mut().writes = Some(ledger.bound());
        self
    }

    #[inline]
    pub(crate) fn connection(&self) -> &Connection {
        match &self.connection {
            Some(connection) => connection,
            None => unreachable!("a checkout has its connection until it is dropped"),
        }
    }

    #[inline]
    pub(crate) fn connection_mut(&mut self) -> &mut Connection {
        match &mut self.connection {
            Some(connection) => connection,
            None => unreachable!("a checkout has its connection until it is dropped"),
        }
    }

    #[inline]
    pub(crate) fn route(&self) -> &Route<NodePool> {
        match &self.route {
            Some(route) => route,
            None => unreachable!("a checkout has its route until it is finished"),
        }
    }

    /// Which node was chosen, and when.
    pub(crate) fn chosen(&self) -> (NodeId, Epoch) {
        (self.route().node(), self.route().epoch())
    }

    /// The statements of its connection.
    #[inline]
    pub(crate) fn work(&self) -> &Work {
        &self.connection().work
    }

    /// Announces a statement.
    #[inline]
    pub(crate) fn statement(&self) -> Statement {
        Statement { work: Arc::clone(&self.connection().work), number: self.work().begin() }
    }

    /// Gives the connection back and says how its node did.
    #[inline]
    pub(crate) fn finish(mut self, outcome: Outcome) {
        self.report(outcome);
    }

    /// Says how the node did; the connection goes back when this is dropped.
    #[inline]
    pub(crate) fn report(&mut self, outcome: Outcome) {
        let refused = self.connection().work.refused.load(Ordering::Relaxed);
        let Some(route) = self.route.take() else { return };
        if refused {
            self.connection().work.refused.store(false, Ordering::Relaxed);
        }
        // Told at the end of a transaction: the primary may be none any more.
        let was_deposed = refused && outcome == Outcome::Answered && route.role() == Role::Primary;
        route.finish(if was_deposed { Outcome::Failed(Fault::ReadOnly) } else { outcome });
    }

    /// Gives up a connection that was dead before anything happened on it.
    pub(crate) fn broke(mut self, router: &Router<DieselConnector>, turn: &mut Turn) {
        if let Some(route) = self.route.take() {
            turn.broke(router, route, Fault::Lost);
        }
    }

    /// Runs something on the connection within the node's limit.
    #[inline]
    pub(crate) fn within<T>(
        &self,
        work: impl Future<Output = QueryResult<T>>,
    ) -> impl Future<Output = QueryResult<T>> {
        let Some(limit) = self.connection().node.statement_timeout else { return Either::Left(work) };
        let limited = async move {
            let in_time = tokio::time::timeout(limit, work).await;
            in_time.unwrap_or_else(|_| Err(error::too_slow(self.route().name(), limit)))
        };
        Either::Right(Box::pin(limited))
    }

    /// Makes the server refuse whatever writes. The connection is not given to anybody else.
    pub(crate) async fn refuse_writes(&self) -> QueryResult<()> {
        self.discard();
        let statement = self.statement();
        let mut conn = &self.connection().conn;
        let told = self.within(conn.batch_execute(READ_ONLY)).await;
        match &told {
            Ok(()) => statement.done(),
            Err(error) => statement.failed(error),
        }
        told
    }

    /// Lends the connection to code that does with it as it likes, and tells of its statements by events. Nobody else gets it
    /// afterwards, and what is given up on it is stopped. On a primary, what is written is noted for the ledger.
    pub(crate) fn lend(&self, ledger: Option<&Ledger<DieselConnector>>) {
        self.discard();
        let work = Arc::clone(&self.connection().work);
        let noting = ledger.map(|ledger| noting(ledger, Dialect::Postgres));
        self.connection().relay.lend(Arc::new(move |heard| {
            let count = if matches!(heard, Heard::Began) { &work.begun } else { &work.ended };
            count.fetch_add(1, Ordering::Relaxed);
            noting.iter().for_each(|noting| noting(heard));
        }));
    }

    /// Closes the connection instead of giving it back.
    pub(crate) fn discard(&self) {
        self.connection().discard();
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        connection.tell(None);
        let writes = connection.writes.take();
        if connection.work.is_under_way() {
            stop(connection, writes);
        }
    }
}

/// Asks the server to stop working for the connection, and closes it.
fn stop(connection: PooledConnection, writes: Option<Ledger<DieselConnector>>) {
    connection.discard();
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let (token, tls) = (connection.conn.cancel_token(), connection.tls.clone());
    let writing = writes.map(|ledger| (ledger, connection));
    drop(runtime.spawn(async move {
        if !matches!(tokio::time::timeout(CANCEL_LIMIT, tls.cancel(&token)).await, Ok(Ok(()))) {
            tracing::debug!(target: "rr", "a statement that nobody waits for could not be cancelled");
        }
        if let Some((ledger, connection)) = writing {
            // It may have come too late. The answer to this comes behind the end of the write.
            let mut conn = &connection.conn;
            drop(tokio::time::timeout(CANCEL_LIMIT, conn.batch_execute(MARK)).await);
            ledger.wrote(None);
        }
    }));
}
