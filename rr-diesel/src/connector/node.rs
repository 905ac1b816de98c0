//! The pool of one node in one role, and a connection of it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bb8::{ManageConnection, QueueStrategy};
use diesel::QueryResult;
use diesel::connection::CacheSize;
use diesel_async::pooled_connection::PoolableConnection;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use futures_util::FutureExt;
use rr_core::adapter::{Ledger, Suspect, Waits};
use rr_core::config::PoolConfig;
use rr_core::connector::PoolState;
use rr_core::outcome::TransactionId;
use rr_core::position::Timeline;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::NoTls;

use super::failures::Failures;
use super::{ConnectError, DieselConnector, Door, Tls};
use crate::checkout::Work;
use crate::connection::Pin;
use crate::early::Handover;
use crate::instrument::{Relay, Shared};

/// Whoever has a place asks the pool this often, however long it says nothing: it counts a connect that has failed as one under
/// way for a moment, and wakes one of two for whom connections came at once.
const LOOK: Duration = Duration::from_millis(100);

/// Connections that are unused or old are looked for this often, or more often where less time is allowed them.
const REAP: Duration = Duration::from_secs(30);

/// And those that are to be kept open and could not be opened, because their server was gone, this often.
const FILL: Duration = Duration::from_secs(5);

/// A connection out of a node's pool, for as long as its holder likes.
pub(crate) struct PooledConnection {
    connection: bb8::PooledConnection<'static, Manager>,
    /// Given back after the connection: whoever gets it next finds that one.
    _place: OwnedSemaphorePermit,
}

/// The pool of one node in one role. It connects when it is first asked for a connection.
pub struct NodePool {
    pool: bb8::Pool<Manager>,
    /// A place for each connection that there may be, first come, first served. The pool itself gives a connection to
    /// whoever asks at the right moment: under overload to those who have just had one, and never to others.
    places: Arc<Semaphore>,
    waits: Waits,
    node: Arc<Node>,
}

/// What all connections to a node in a role have in common.
pub(crate) struct Node {
    /// Size of the server's WAL segments, 0 until it is known. It never changes.
    pub(crate) segment: AtomicU64,
    /// Limit for one statement, kept by us.
    pub(crate) statement_timeout: Option<Duration>,
    connect_timeout: Duration,
    checkout_timeout: Duration,
    failures: Failures,
}

impl NodePool {
    pub(super) fn state(&self) -> PoolState {
        let (connections, idle) = self.connections();
        self.waits.told(PoolState::of(connections, idle))
    }

    pub(super) fn open(door: Door, config: &PoolConfig) -> Self {
        let node = Arc::new(Node {
            segment: AtomicU64::new(0),
            statement_timeout: config.statement_timeout,
            connect_timeout: config.connect_timeout,
            checkout_timeout: config.checkout_timeout,
            failures: Failures::default(),
        });
        let max = config.max.max(1);
        // A pool whose connections never get too old is not looked through at all.
        let eternal = (config.min > 0).then_some(Duration::MAX);
        let pool = bb8::Pool::builder()
            .max_size(max)
            .min_idle((config.min > 0).then_some(config.min.min(config.max)))
            .idle_timeout(config.idle_timeout.filter(|time| !time.is_zero()))
            .max_lifetime(config.max_lifetime.filter(|time| !time.is_zero()).or(eternal))
            .reaper_rate(reap(config))
            .connection_timeout(config.checkout_timeout.max(Duration::from_millis(1)))
            // Replay and `is_broken` cover what a ping would find, without its round trip.
            .test_on_check_out(false)
            // Who waits is told at once, and goes elsewhere.
            .retry_connection(false)
            // The most recently used connections have the warmest caches, and the others may go.
            .queue_strategy(QueueStrategy::Lifo)
            .build_unchecked(Manager { door, node: Arc::clone(&node) });
        let places = usize::try_from(max).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { pool, places: Arc::new(Semaphore::new(places)), waits: Waits::default(), node }
    }

    /// A connection that was usable when it was last looked at.
    pub(crate) async fn checkout(&self) -> Result<PooledConnection, Arc<ConnectError>> {
        let failed = self.node.failures.count();
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            // Most often there is nothing to wait for.
            Ok(place) => match self.usable().now_or_never() {
                Some(got) => return Ok(PooledConnection { connection: got?, _place: place }),
                None => Some(place),
            },
            Err(_) => None,
        };
        Box::pin(self.wait(place, failed)).await
    }

    /// As [`Self::checkout`], from the line on or from a place on, after so many failed connects.
    async fn wait(
        &self,
        place: Option<OwnedSemaphorePermit>,
        failed: u64,
    ) -> Result<PooledConnection, Arc<ConnectError>> {
        let waiting = self.waits.begin();
        let served = async {
            let (place, failed) = match place {
                Some(place) => (place, failed),
                None => (self.place(failed).await?, self.node.failures.count()),
            };
            Ok(PooledConnection { connection: self.connection(failed).await?, _place: place })
        };
        let got = tokio::time::timeout(self.node.checkout_timeout, served).await;
        let got = got.unwrap_or_else(|_| Err(self.exhausted()));
        match &got {
            Ok(_) => waiting.served(),
            Err(error) if error.is_exhausted() => waiting.in_vain(),
            Err(_) => drop(waiting),
        }
        got
    }

    /// A place, at the end of the line.
    async fn place(&self, failed: u64) -> Result<OwnedSemaphorePermit, Arc<ConnectError>> {
        tokio::select! {
            biased;
            error = self.failed(failed, false) => Err(error),
            // It is never closed.
            place = Arc::clone(&self.places).acquire_owned() => place.map_err(|_| self.exhausted()),
        }
    }

    /// A connection for whoever has a place.
    async fn connection(
        &self,
        failed: u64,
    ) -> Result<bb8::PooledConnection<'static, Manager>, Arc<ConnectError>> {
        let mut failed = pin!(self.failed(failed, true));
        loop {
            tokio::select! {
                biased;
                got = tokio::time::timeout(LOOK, self.usable()) => if let Ok(got) = got { return got },
                error = &mut failed => return Err(error),
            }
        }
    }

    /// There is a connection for whoever has a place, or room to open one. Those that died unused make room.
    async fn usable(&self) -> Result<bb8::PooledConnection<'static, Manager>, Arc<ConnectError>> {
        loop {
            let mut connection = self.pool.get_owned().await.map_err(|_| self.exhausted())?;
            if !connection.conn.is_broken() {
                return Ok(connection);
            }
        }
    }

    /// A failed connect, after so many, that concerns one who waits. While there are connections it says nothing about those
    /// in line, who wait for these; and of those who have a place it concerns one: the others' are being opened. Without any
    /// connection there is nothing to wait for.
    async fn failed(&self, mut seen: u64, has_place: bool) -> Arc<ConnectError> {
        let failures = &self.node.failures;
        loop {
            let mut told = pin!(failures.told());
            told.as_mut().enable();
            let count = failures.count();
            if count != seen {
                let error = match self.connections() {
                    (0, _) => failures.last(),
                    _ if has_place => failures.take(seen),
                    _ => None,
                };
                if let Some(error) = error {
                    return error;
                }
                seen = count;
            }
            told.await;
        }
    }

    fn exhausted(&self) -> Arc<ConnectError> {
        Arc::new(ConnectError::Exhausted(self.node.checkout_timeout))
    }

    /// How many connections there are, and how many of them nobody uses.
    #[must_use]
    pub fn connections(&self) -> (u32, u32) {
        let state = self.pool.state();
        (state.connections, state.idle_connections)
    }
}

/// Opens the connections of a pool.
pub(crate) struct Manager {
    door: Door,
    node: Arc<Node>,
}

impl Manager {
    async fn open(&self) -> Result<Box<Connection>, ConnectError> {
        let settings = self.door.settings().await?;
        let opened = match &self.door.tls {
            Tls::Off => {
                let (client, io) = settings.connect(NoTls).await.map_err(ConnectError::Refused)?;
                AsyncPgConnection::try_from_client_and_connection(client, io).await
            }
            Tls::On(tls) => {
                let (client, io) = settings.connect(tls.clone()).await.map_err(ConnectError::Refused)?;
                AsyncPgConnection::try_from_client_and_connection(client, io).await
            }
        };
        let mut conn = opened.map_err(ConnectError::SetUp)?;
        let relay = Relay::default();
        conn.set_instrumentation(relay.clone());
        Ok(Box::new(Connection {
            conn,
            node: Arc::clone(&self.node),
            tls: self.door.tls.clone(),
            relay,
            tells: false,
            cache: CacheSize::Unbounded,
            discard: AtomicBool::new(false),
            work: Arc::default(),
            timeline: OnceLock::new(),
            commit: None,
            transaction: Mutex::default(),
            identifies: AtomicBool::new(false),
            writes: None,
        }))
    }
}

/// How often connections are looked for that are unused, old or missing: as often as the shorter limit needs.
fn reap(config: &PoolConfig) -> Duration {
    let fill = (config.min > 0).then_some(FILL);
    let limits = [config.idle_timeout, config.max_lifetime, fill].into_iter().flatten();
    limits.filter(|time| !time.is_zero()).fold(REAP, Duration::min).max(LOOK)
}

impl ManageConnection for Manager {
    /// Boxed: it is moved about a lot, and large.
    type Connection = Box<Connection>;
    type Error = Arc<ConnectError>;

    async fn connect(&self) -> Result<Box<Connection>, Arc<ConnectError>> {
        let limit = self.node.connect_timeout;
        let opened = tokio::time::timeout(limit, self.open()).await;
        let error = match opened {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => Arc::new(error),
            Err(_) => Arc::new(ConnectError::Slow(limit)),
        };
        self.node.failures.note(Arc::clone(&error));
        Err(error)
    }

    async fn is_valid(&self, _: &mut Box<Connection>) -> Result<(), Arc<ConnectError>> {
        Ok(())
    }

    #[inline]
    fn has_broken(&self, connection: &mut Box<Connection>) -> bool {
        std::thread::panicking() || connection.discard.load(Ordering::Relaxed) || connection.conn.is_broken()
    }
}

/// Who is to hear of a commit.
pub(crate) struct Commit {
    pub(crate) suspect: Suspect<DieselConnector>,
    /// To be told before it is known where the commit ended.
    pub(crate) handover: Option<Handover<Committed>>,
    /// Whether the transaction is to learn its number before.
    pub(crate) identify: bool,
}

/// How a commit went, and the connection if it is needed again.
pub(crate) type Committed = (Option<Box<Pin>>, QueryResult<()>);

/// A connection of a node's pool.
pub(crate) struct Connection {
    pub(crate) conn: AsyncPgConnection,
    pub(crate) node: Arc<Node>,
    pub(crate) tls: Tls,
    /// Where its events go.
    pub(crate) relay: Relay,
    tells: bool,
    pub(crate) cache: CacheSize,
    discard: AtomicBool,
    /// The statements that ran on it.
    pub(crate) work: Arc<Work>,
    /// Its server's history, once the server has said that it is a primary: a session does not live to see another one.
    pub(crate) timeline: OnceLock<Timeline>,
    /// For the commit of a transaction that has written.
    pub(crate) commit: Option<Commit>,
    /// The transaction that is being committed, once it has learned its number.
    transaction: Mutex<Option<TransactionId>>,
    /// That question was asked on this connection before, so that it is sent without delay.
    pub(crate) identifies: AtomicBool,
    /// Who is to know when a write that was given up half-way has ended; while it is taken out for writing.
    pub(crate) writes: Option<Ledger<DieselConnector>>,
}

impl Connection {
    /// Closes it when it is given back.
    pub(crate) fn discard(&self) {
        self.discard.store(true, Ordering::Relaxed);
    }

    /// The number of the transaction that is being committed, if it was learned.
    pub(crate) fn learned(&self) -> Option<TransactionId> {
        self.transaction.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn learn(&self, transaction: Option<TransactionId>) {
        *self.transaction.lock().unwrap_or_else(PoisonError::into_inner) = transaction;
    }

    pub(crate) fn forget(&self) {
        self.learn(None);
    }

    /// Sends its events there; most connections have none to send.
    #[inline]
    pub(crate) fn tell(&mut self, to: Option<&Shared>) {
        if to.is_some() || self.tells {
            self.relay.connect(to);
            self.tells = to.is_some();
        }
    }

    #[inline]
    pub(crate) fn set_cache(&mut self, size: CacheSize) {
        if self.cache != size {
            self.conn.set_prepared_statement_cache_size(size);
            self.cache = size;
        }
    }
}

impl Deref for PooledConnection {
    type Target = Connection;
    #[inline]
    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for PooledConnection {
    #[inline]
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl fmt::Debug for NodePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (connections, idle) = self.connections();
        f.debug_struct("NodePool")
            .field("connections", &connections)
            .field("idle", &idle)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_old_and_missing_connections_are_looked_for_as_often_as_the_shorter_limit_needs() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (idle_timeout, max_lifetime, look) in [
            (None, None, REAP),
            (seconds(600), seconds(1800), REAP),
            (seconds(4), seconds(1800), Duration::from_secs(4)),
            (seconds(600), seconds(4), Duration::from_secs(4)),
            (seconds(0), seconds(5), Duration::from_secs(5)),
            (Some(Duration::from_millis(1)), None, LOOK),
        ] {
            let mut config = PoolConfig::default();
            (config.idle_timeout, config.max_lifetime) = (idle_timeout, max_lifetime);
            assert_eq!(reap(&config), look, "{idle_timeout:?} {max_lifetime:?}");
            config.min = 1;
            assert_eq!(reap(&config), look.min(FILL), "{idle_timeout:?} {max_lifetime:?}");
        }
    }
}
