//! The pool of one node in one role.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use rr_core::adapter::Waits;
use rr_core::config::PoolConfig;
use rr_core::connector::PoolState;
use rr_core::time::Moment;
use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::postgres::{PgPool, Postgres};
use sea_orm::{DatabaseConnection, SqlxPostgresConnector};
use tokio::time::timeout;

/// How often it is looked whether connections are missing that are to be kept open.
const LOOK: Duration = Duration::from_secs(1);

/// The pool of one node in one role. It connects when it is first used.
pub struct NodePool {
    pool: Arc<PgPool>,
    database: DatabaseConnection,
    statement_timeout: Option<Duration>,
    connect_timeout: Duration,
    /// Nothing is done with a connection before it is used.
    as_they_are: bool,
    waits: Waits,
    /// Those among them that wait for a connection which others use.
    queued: AtomicU32,
    /// Nanoseconds of the last break of the node that was noticed, and how many connections from before it have not been taken
    /// since. The driver hands out what has been idle for longest.
    broke: AtomicU64,
    in_doubt: AtomicU32,
}

impl NodePool {
    pub(super) fn state(&self) -> PoolState {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        self.waits.told(PoolState::of(self.pool.size(), idle))
    }

    /// Of connections that are used `as_they_are`, or may have a hook before it.
    pub(super) fn new(pool: Arc<PgPool>, config: &PoolConfig, as_they_are: bool) -> Self {
        let database = SqlxPostgresConnector::from_sqlx_postgres_pool(PgPool::clone(&pool));
        let PoolConfig { statement_timeout, connect_timeout, .. } = *config;
        Self {
            pool,
            database,
            statement_timeout,
            connect_timeout,
            as_they_are,
            waits: Waits::default(),
            queued: AtomicU32::new(0),
            broke: AtomicU64::new(0),
            in_doubt: AtomicU32::new(0),
        }
    }

    /// Keeps those connections open that are there when nothing is asked, as long as the pool is. It is told nothing of them: the
    /// driver (sqlx 0.9) opens one only in the place of one that it has closed itself, not of one that was given up, and it may
    /// go on knocking for five minutes after the pool was closed.
    pub(super) fn fill(pool: &Arc<PgPool>, config: &PoolConfig) {
        let PoolConfig { min, connect_timeout, .. } = *config;
        if min == 0 {
            return;
        }
        let pool = Arc::downgrade(pool);
        tokio::spawn(async move {
            while let Some(pool) = pool.upgrade().filter(|pool| !pool.is_closed()) {
                let mut held = Vec::new();
                while pool.size() < min {
                    match timeout(connect_timeout, pool.acquire()).await {
                        Ok(Ok(conn)) => held.push(conn),
                        _ => break,
                    }
                }
                // A server that does not answer any more keeps no place.
                let back = held.iter_mut().map(PoolConnection::return_to_pool);
                drop(timeout(connect_timeout, join_all(back)).await);
                let closed = pool.close_event();
                drop((held, pool));
                if timeout(LOOK, closed).await.is_ok() {
                    return;
                }
            }
        });
    }

    /// The pool as SeaORM's connection. What is written through it is not known to the router.
    #[must_use]
    pub const fn database(&self) -> &DatabaseConnection {
        &self.database
    }

    /// How many connections there are, and how many of them nobody uses.
    #[must_use]
    pub fn connections(&self) -> (u32, usize) {
        (self.pool.size(), self.pool.num_idle())
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A connection that nobody uses, if there is one that is used as it is. The driver's future of one that has to be waited for
    /// is 14 kB, which would be copied with each statement.
    pub(crate) fn idle(&self) -> Option<PoolConnection<Postgres>> {
        if self.as_they_are { self.pool.try_acquire() } else { None }
    }

    /// Those that wait for a connection.
    pub(crate) const fn waits(&self) -> &Waits {
        &self.waits
    }

    /// How long to wait for a connection, beside the pool's own limit, for the last of so many that are in flight on the node:
    /// where there are connections for all of them it does not have to queue, and what it waits for is being opened. One that is on
    /// its way back, as long as the server takes with what was given up, is in use and in nobody's flight; one that is on its way to
    /// the next in the queue is neither, for a moment.
    pub(crate) fn patience(&self, in_flight: u32) -> Option<Duration> {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        let used = self.pool.size().saturating_sub(idle).saturating_add(self.queued.load(Ordering::Relaxed));
        let max = self.pool.options().get_max_connections();
        (in_flight <= max && used < max).then_some(self.connect_timeout)
    }

    /// Whether a connection that was just taken may be from before the node's last break, which was noticed at that moment.
    pub(crate) fn is_in_doubt(&self, broke: Moment) -> bool {
        let known = self.broke.load(Ordering::Relaxed);
        let exchanged =
            |to| self.broke.compare_exchange(known, to, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if known < broke.as_nanos() && exchanged(broke.as_nanos()) {
            self.in_doubt.store(self.pool.size(), Ordering::Release);
        }
        let one_less = |left: u32| left.checked_sub(1);
        self.in_doubt.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).is_ok()
    }

    /// One more waits for a connection which others use, until this is dropped.
    pub(crate) fn queue(&self) -> Queued<'_> {
        self.queued.fetch_add(1, Ordering::Relaxed);
        Queued(self)
    }

    /// Limit for opening a connection.
    pub(crate) const fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// Limit for one statement, kept by us.
    pub(crate) const fn statement_timeout(&self) -> Option<Duration> {
        self.statement_timeout
    }
}

/// One that waits for a connection which others use.
#[derive(Debug)]
pub(crate) struct Queued<'a>(&'a NodePool);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Deref for NodePool {
    type Target = DatabaseConnection;
    fn deref(&self) -> &DatabaseConnection {
        &self.database
    }
}

impl fmt::Debug for NodePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, idle) = self.connections();
        f.debug_struct("NodePool").field("open", &open).field("idle", &idle).finish_non_exhaustive()
    }
}
