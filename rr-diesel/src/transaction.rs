//! Transactions: one connection from begin to end, by default the primary's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use diesel::QueryResult;
use diesel::connection::{CacheSize, Instrumentation, TransactionManagerStatus};
use diesel::pg::Pg;
use diesel::query_builder::{AsQuery, QueryFragment, QueryId};
use diesel::result::Error;
use diesel::{ConnectionError, ConnectionResult};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncConnectionCore, AsyncPgConnection, SimpleAsyncConnection,
    TransactionManager,
};
use futures_util::future::join;
use rr_core::engine::Fault;
use rr_core::route::{Access, Outcome};

use crate::checkout::Checkout;
use crate::connection::RoutedPgConnection;
use crate::connector::Connection;
use crate::{capture, error};

mod builder;
mod options;

pub use builder::{AsyncBody, TransactionBuilder};
#[cfg(feature = "blocking")]
pub(crate) use options::{Isolation, Options};

/// Keeps a handle on one connection while a transaction is open, and lets Diesel's own manager do the rest there.
#[derive(Debug)]
pub struct RoutedTransactionManager;

impl TransactionManager<RoutedPgConnection> for RoutedTransactionManager {
    type TransactionStateData = TransactionManagerStatus;

    async fn begin_transaction(conn: &mut RoutedPgConnection) -> QueryResult<()> {
        if conn.pin_mut().get().is_none() {
            return match conn.reads_only() {
                false => begin_on_primary(conn, None).await,
                true => builder::begin_on_replica(conn, "BEGIN READ ONLY").await,
            };
        }
        on_pin(conn, async |connection| AnsiTransactionManager::begin_transaction(connection).await).await?;
        note_depth(conn);
        Ok(())
    }

    async fn rollback_transaction(conn: &mut RoutedPgConnection) -> QueryResult<()> {
        let rolled_back =
            on_pin(conn, async |connection| AnsiTransactionManager::rollback_transaction(connection).await)
                .await;
        note_depth(conn);
        conn.release(outcome(&rolled_back));
        rolled_back
    }

    async fn commit_transaction(conn: &mut RoutedPgConnection) -> QueryResult<()> {
        let ledger = conn.ledger().clone();
        let is_last = conn.depth() == 1;
        let wrote = is_last && conn.pin_mut().get().is_some_and(|pin| pin.hold.wrote.load(Ordering::Relaxed));
        let suspect = wrote.then(|| ledger.suspect());
        let mut place = None;
        let committed = on_pin(conn, async |connection| {
            connection.capture = wrote;
            let committed = AnsiTransactionManager::commit_transaction(connection).await;
            connection.capture = false;
            place = connection.captured.take().flatten();
            committed
        })
        .await;
        match (suspect, &committed) {
            (Some(suspect), Ok(())) => suspect.wrote(place.as_ref()),
            (Some(suspect), Err(error)) if !error::is_lost(error) => suspect.cleared(),
            // Whether it was committed is not known: dropped, it counts as done.
            (suspect, _) => drop(suspect),
        }
        note_depth(conn);
        conn.release(outcome(&committed));
        committed
    }

    fn transaction_manager_status_mut(conn: &mut RoutedPgConnection) -> &mut TransactionManagerStatus {
        conn.status()
    }

    fn is_broken_transaction_manager(conn: &mut RoutedPgConnection) -> bool {
        match conn.pin_mut().get_mut() {
            // Kept for its session, or in the middle of a transaction that is no test's.
            Some(pin) => {
                let connection = pin.checkout.connection_mut();
                let broken = AnsiTransactionManager::is_broken_transaction_manager(connection);
                broken || !pin.hold.in_transaction.load(Ordering::Relaxed)
            }
            None => false,
        }
    }
}

fn outcome(ended: &QueryResult<()>) -> Outcome {
    ended.as_ref().err().map_or(Outcome::Answered, error::outcome)
}

/// Does something with the connection that the handle keeps.
async fn on_pin<T>(
    conn: &mut RoutedPgConnection,
    work: impl AsyncFnOnce(&mut Connection) -> QueryResult<T>,
) -> QueryResult<T> {
    let pin = conn.pin_mut().get_mut().ok_or(Error::NotInTransaction)?;
    let statement = pin.checkout.statement();
    let name = Arc::clone(pin.checkout.route().name());
    let connection = pin.checkout.connection_mut();
    let done = match connection.node.statement_timeout {
        None => work(connection).await,
        // Given up half-way, the connection's own manager knows that it is broken.
        Some(limit) => match tokio::time::timeout(limit, work(connection)).await {
            Ok(done) => done,
            Err(_) => Err(error::too_slow(&name, limit)),
        },
    };
    if !done.as_ref().is_err_and(error::is_lost) {
        statement.done();
    }
    done
}

fn note_depth(conn: &mut RoutedPgConnection) {
    let open = conn.depth() > 0;
    if let Some(pin) = conn.pin_mut().get() {
        pin.hold.note_transaction(open);
    }
}

/// Begins a transaction on a connection to the primary, and keeps it. A connection that turns out to be dead is replaced:
/// nothing has happened on it.
async fn begin_on_primary(conn: &mut RoutedPgConnection, sql: Option<&str>) -> QueryResult<()> {
    let mut patience = conn.write_patience();
    loop {
        let mut checkout = conn.on_the_primary(Access::Write, &mut patience).await?;
        let chosen = checkout.chosen();
        match begin(&mut checkout, sql).await {
            Ok(()) => {
                conn.keep(checkout);
                note_depth(conn);
                return Ok(());
            }
            Err(error) if error::is_lost(&error) => {
                checkout.discard();
                checkout.finish(Outcome::Failed(Fault::Lost));
                if !patience.pause().await {
                    return Err(error);
                }
            }
            Err(error) => {
                checkout.finish(error::write_outcome(&error));
                if !conn.is_deposed(chosen, &error, &mut patience).await {
                    return Err(error);
                }
            }
        }
    }
}

async fn begin(checkout: &mut Checkout, sql: Option<&str>) -> QueryResult<()> {
    let statement = checkout.statement();
    let connection = checkout.connection_mut();
    let begun = match sql {
        Some(sql) => AnsiTransactionManager::begin_transaction_sql(connection, sql).await,
        None => AnsiTransactionManager::begin_transaction(connection).await,
    };
    if !begun.as_ref().is_err_and(error::is_lost) {
        statement.done();
    }
    begun
}

/// A node's connection as Diesel's transaction manager sees it: the plain one, except that the last commit of a
/// transaction that wrote is followed by the question where it ended.
impl SimpleAsyncConnection for Connection {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        if !self.capture || query != "COMMIT" {
            return self.conn.batch_execute(query).await;
        }
        let mut conn = &self.conn;
        let (committed, position) = join(conn.batch_execute(query), capture::position(self)).await;
        self.captured = Some(position);
        committed
    }
}

impl AsyncConnectionCore for Connection {
    type ExecuteFuture<'conn, 'query> =
        <AsyncPgConnection as AsyncConnectionCore>::ExecuteFuture<'conn, 'query>;
    type LoadFuture<'conn, 'query> = <AsyncPgConnection as AsyncConnectionCore>::LoadFuture<'conn, 'query>;
    type Stream<'conn, 'query> = <AsyncPgConnection as AsyncConnectionCore>::Stream<'conn, 'query>;
    type Row<'conn, 'query> = <AsyncPgConnection as AsyncConnectionCore>::Row<'conn, 'query>;
    type Backend = Pg;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Self::Backend> + QueryId + 'query,
    {
        self.conn.load(source)
    }

    fn execute_returning_count<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Self::Backend> + QueryId + 'query,
    {
        self.conn.execute_returning_count(source)
    }
}

impl AsyncConnection for Connection {
    type TransactionManager = AnsiTransactionManager;

    async fn establish(_: &str) -> ConnectionResult<Self> {
        Err(ConnectionError::BadConnection("only pools open these connections".to_owned()))
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        self.conn.transaction_state()
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        &mut self.relay
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.conn.set_instrumentation(instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.set_cache(size);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
