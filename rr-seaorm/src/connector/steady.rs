//! The primary as a plain `DatabaseConnection` that stays where it is.
//!
//! Code that asks for `&DatabaseConnection` gets this one. It is a pool of its own beside the nodes' pools, opens no
//! connection until it is used, and follows the primary in place: after a failover its new connections go to the new
//! primary, and its old ones are not handed out any more.
//!
//! Nobody tells us what is done with it. So a read that is to see everything written asks what the pool has been up to:
//! while a connection is out, something may be about to be committed; once all are back, everything that was has been.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sea_orm::{DatabaseConnection, SqlxPostgresConnector};

use crate::metric::Callback;

pub(crate) struct Steady {
    database: DatabaseConnection,
    pool: PgPool,
    /// The node that it leads to.
    node: Mutex<String>,
    shared: Arc<Shared>,
    /// Somebody has had a reference.
    lent: AtomicBool,
    /// What of its use has been told: how often it was used, and how many connections there were.
    told: AtomicU64,
}

#[derive(Default)]
struct Shared {
    /// How often a connection was taken, or a statement ended, as far as that can be seen.
    uses: AtomicU64,
    /// Since when connections lead to the present node.
    since: Mutex<Option<tokio::time::Instant>>,
    /// The application's own callback.
    callback: RwLock<Option<Callback>>,
}

/// What became of the pool since it was last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Nothing.
    None,
    /// A connection is out.
    Now,
    /// It was used, and all of it has ended.
    Past,
}

impl Steady {
    pub(super) fn open(node: &str, connect: &PgConnectOptions, options: &PgPoolOptions) -> Self {
        let shared = Arc::new(Shared::default());
        let watching = Arc::clone(&shared);
        // A hook of the application's that was set here does not run for this pool: there is room for one.
        let options = options.clone().min_connections(0).before_acquire(move |_, connection| {
            watching.uses.fetch_add(1, Ordering::AcqRel);
            let fresh = watching.leads_to_present_node(connection.age);
            Box::pin(async move { Ok(fresh) })
        });
        let pool = options.connect_lazy_with(connect.clone());
        let mut database = SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone());
        let counting = Arc::clone(&shared);
        database.set_metric_callback(move |info| {
            counting.uses.fetch_add(1, Ordering::AcqRel);
            let callback = counting.callback.read().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(callback) = callback {
                callback(info);
            }
        });
        Self {
            database,
            pool,
            node: Mutex::new(node.to_owned()),
            shared,
            lent: AtomicBool::new(false),
            told: AtomicU64::new(0),
        }
    }

    /// Leads to this node from now on.
    pub(super) fn follow(&self, node: &str, connect: &PgConnectOptions) {
        let mut present = self.node.lock().unwrap_or_else(PoisonError::into_inner);
        if *present != node {
            node.clone_into(&mut present);
            self.pool.set_connect_options(connect.clone());
            *self.shared.since.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(tokio::time::Instant::now());
        }
    }

    /// A reference for somebody who does with it what he likes.
    pub(crate) fn lend(&self) -> &DatabaseConnection {
        if !self.lent.load(Ordering::Relaxed) {
            self.lent.store(true, Ordering::Release);
        }
        &self.database
    }

    pub(crate) const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Calls this for every statement as well.
    pub(crate) fn report_to(&self, callback: Callback) {
        *self.shared.callback.write().unwrap_or_else(PoisonError::into_inner) = Some(callback);
    }

    /// Whether it is worth asking for its use.
    pub(crate) fn is_lent(&self) -> bool {
        self.lent.load(Ordering::Relaxed)
    }

    /// What became of it since this was last asked. [`Use::Past`] is said once, to one of those who ask at the same time:
    /// it must be noted before anybody else acts on `None`, which `note` is for.
    pub(crate) fn used(&self, note: impl FnOnce()) -> Use {
        let told = self.told.load(Ordering::Acquire);
        // Counted before the look at what is out: what begins in between is out, or is counted the next time.
        let now = self.fingerprint();
        if (self.pool.size() as usize) > self.pool.num_idle() {
            return Use::Now;
        }
        if now == told {
            return Use::None;
        }
        note();
        self.told.store(now, Ordering::Release);
        Use::Past
    }

    /// Changes whenever it was used: taking a connection is counted, opening one changes their number.
    fn fingerprint(&self) -> u64 {
        let uses = self.shared.uses.load(Ordering::Acquire);
        (uses << 16) | u64::from(self.pool.size() & 0xffff)
    }
}

impl Shared {
    fn leads_to_present_node(&self, age: Duration) -> bool {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_none_or(|since| age < since.elapsed())
    }
}

impl fmt::Debug for Steady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steady").field("lent", &self.is_lent()).finish_non_exhaustive()
    }
}
