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
use futures_util::future::join3;
use rr_core::engine::Fault;
use rr_core::outcome::Unanswered;
use rr_core::route::{Access, Outcome};
use tokio::sync::OnceCell;

use crate::checkout::Checkout;
use crate::connection::{Pin, RoutedPgConnection};
use crate::connector::{Commit, Connection};
use crate::{capture, early, error};

mod builder;
mod options;

pub use builder::AsyncBody;
pub use options::TransactionBuilder;

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
        let is_last = conn.depth() == 1;
        let wrote = |pin: &Pin| is_last && pin.hold.wrote.load(Ordering::Relaxed);
        if is_last && let Some(Err(deposed)) = conn.pin_mut().get().map(|pin| pin.check()) {
            // What is committed there is lost as soon as it is.
            drop(Self::rollback_transaction(conn).await);
            return Err(deposed);
        }
        let committed = match conn.pin_mut().get() {
            Some(pin) if wrote(pin) => commit_and_place(conn).await,
            _ => on_pin(conn, AnsiTransactionManager::commit_transaction).await,
        };
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
    on(&mut pin.checkout, work).await
}

async fn on<T>(
    checkout: &mut Checkout,
    work: impl AsyncFnOnce(&mut Connection) -> QueryResult<T>,
) -> QueryResult<T> {
    let statement = checkout.statement();
    let name = Arc::clone(checkout.route().name());
    let connection = checkout.connection_mut();
    let done = match connection.node.statement_timeout {
        None => work(connection).await,
        Some(limit) => {
            let in_time = Box::pin(tokio::time::timeout(limit, work(connection))).await;
            in_time.unwrap_or_else(|_| {
                // Where the transaction stands, nobody knows, nor does its manager. It is over.
                AnsiTransactionManager::transaction_manager_status_mut(connection).set_in_error();
                Err(error::too_slow(&name, limit))
            })
        }
    };
    if !done.as_ref().is_err_and(error::is_lost) {
        statement.done();
    }
    done
}

/// Commits what was written, and asks behind it where that ended if anybody wants to know. The caller need not wait for that,
/// unless the handle keeps the connection.
async fn commit_and_place(conn: &mut RoutedPgConnection) -> QueryResult<()> {
    let identify = conn.router().config().failover.resolve_outcomes;
    let mut pin = conn.pin_mut().take().ok_or(Error::NotInTransaction)?;
    let suspect = conn.ledger().suspect(Some(pin.checkout.route()));
    let hands_over = !pin.stays() && suspect.is_wanted();
    let (pin, committed) = if hands_over {
        let committing = move |handover| async move {
            let (committed, is_told) =
                commit(&mut pin, Commit { suspect, handover: Some(handover), identify }).await;
            if is_told {
                pin.hold.note_transaction(false);
                pin.end(Outcome::Answered);
                return None;
            }
            Some((Some(pin), committed))
        };
        early::answered(committing).await
    } else {
        let (committed, _) = commit(&mut pin, Commit { suspect, handover: None, identify }).await;
        (Some(pin), committed)
    };
    *conn.pin_mut() = OnceCell::new_with(pin);
    committed
}

/// Commits what was written on this connection. Whether whoever waits for it has been told.
async fn commit(pin: &mut Pin, told: Commit) -> (QueryResult<()>, bool) {
    pin.checkout.connection_mut().commit = Some(told);
    let committed = on(&mut pin.checkout, AnsiTransactionManager::commit_transaction).await;
    // The manager may have found out before that there is nothing to commit; nobody has been told anything then.
    let unsent = pin.checkout.connection_mut().commit.take();
    let committed = committed.map_err(|error| {
        if unsent.is_some() || !error::is_lost_at_commit(&error) {
            return error;
        }
        let name = pin.checkout.route().name();
        let transaction = pin.checkout.connection().learned();
        let router = &pin.ledger.router;
        error::not_answered(&router.unanswered(name, Unanswered::Commit, transaction), &error)
    });
    let is_told = committed.is_ok() && unsent.is_none();
    if let Some(unsent) = unsent {
        unsent.suspect.settle(error::ended(committed.as_ref().err()), None);
    }
    (committed, is_told)
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
    let mut turn = conn.turn();
    loop {
        let mut checkout = conn.on_the_primary(Access::Write, &mut turn).await?;
        let chosen = checkout.chosen();
        match begin(&mut checkout, sql).await {
            Ok(()) => {
                conn.keep(checkout);
                note_depth(conn);
                return Ok(());
            }
            Err(error) if error::is_lost(&error) => {
                checkout.discard();
                if turn.left().is_zero() {
                    checkout.finish(Outcome::Failed(Fault::Lost));
                    return Err(error);
                }
                checkout.broke(conn.router(), &mut turn);
            }
            Err(error) => {
                checkout.finish(error::write_outcome(&error));
                if !conn.is_deposed(chosen, &error, &mut turn).await {
                    return Err(error);
                }
            }
        }
    }
}

async fn begin(checkout: &mut Checkout, sql: Option<&str>) -> QueryResult<()> {
    checkout.route().runs(sql.unwrap_or("BEGIN"));
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

/// A node's connection as Diesel's transaction manager sees it: the plain one, except that it tells how the last commit of a
/// transaction that wrote has ended.
impl SimpleAsyncConnection for Connection {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        let commit = if query == "COMMIT" { self.commit.take() } else { None };
        let settling = match commit {
            None => None,
            Some(Commit { suspect, handover: None, identify: false }) if !suspect.is_wanted() => {
                Some(suspect)
            }
            // Boxed: every begin and rollback would have to carry it along.
            Some(commit) => return Box::pin(self.commit_and_ask(commit)).await,
        };
        let ended = (&self.conn).batch_execute(query).await;
        if let Some(suspect) = settling {
            suspect.settle(error::ended(ended.as_ref().err()), None);
        }
        ended
    }
}

impl Connection {
    /// Commits, and asks behind that where it ended.
    async fn commit_and_ask(&mut self, commit: Commit) -> QueryResult<()> {
        let Commit { suspect, handover, identify } = commit;
        self.forget();
        // Before it is prepared on this connection it would be overtaken by the commit.
        let is_prepared = identify && self.identifies.swap(true, Ordering::Relaxed);
        if identify && !is_prepared {
            capture::transaction(self).await;
        }
        let identifying = async {
            if is_prepared {
                capture::transaction(self).await;
            }
        };
        let is_wanted = suspect.is_wanted();
        let committing = async {
            let committed = (&self.conn).batch_execute("COMMIT").await;
            match &committed {
                Ok(()) => {
                    let unplaced = suspect.answered();
                    if let Some(handover) = handover {
                        drop(handover.send((None, Ok(()))));
                    }
                    (committed, Some(unplaced))
                }
                Err(error) => {
                    suspect.settle(error::ended(Some(error)), None);
                    (committed, None)
                }
            }
        };
        let asking = async { if is_wanted { capture::position(self).await } else { None } };
        let ((), (committed, unplaced), position) = join3(identifying, committing, asking).await;
        if let Some(unplaced) = unplaced {
            unplaced.placed(position.as_ref());
        }
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
