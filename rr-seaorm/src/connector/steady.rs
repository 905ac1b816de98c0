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

use rr_core::connector::Lent;
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
}

struct Shared {
    /// How often a connection was taken, or a statement ended, as far as that can be seen.
    uses: AtomicU64,
    /// Since when connections lead to the present node.
    since: Mutex<Option<tokio::time::Instant>>,
    /// How long one may take to be opened: until then one may have been begun before.
    opening: Duration,
    /// The application's own callback.
    callback: RwLock<Option<Callback>>,
}

impl Steady {
    pub(super) fn open(node: &str, connect: &PgConnectOptions, options: &PgPoolOptions) -> Self {
        let shared = Arc::new(Shared {
            uses: AtomicU64::new(0),
            since: Mutex::default(),
            opening: options.get_acquire_timeout(),
            callback: RwLock::default(),
        });
        let (watching, returning) = (Arc::clone(&shared), Arc::clone(&shared));
        // Hooks of the application's that were set here and below do not run for this pool: there is room for one of each.
        let options = options.clone().min_connections(0).before_acquire(move |_, connection| {
            watching.uses.fetch_add(1, Ordering::AcqRel);
            let fresh = watching.leads_to_present_node(connection.age);
            Box::pin(async move { Ok(fresh) })
        });
        // One that is opened in place of a dead one is counted here only, while it still is out.
        let options = options.after_release(move |_, _| {
            returning.uses.fetch_add(1, Ordering::AcqRel);
            Box::pin(async move { Ok(true) })
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
        Self { database, pool, node: Mutex::new(node.to_owned()), shared, lent: AtomicBool::new(false) }
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

    /// How far it has been used, once somebody has had a reference: taking a connection is counted, and so is giving one back.
    pub(crate) fn lent(&self) -> Option<Lent> {
        if !self.lent.load(Ordering::Relaxed) {
            return None;
        }
        let uses = self.shared.uses.load(Ordering::Acquire);
        let uses = (uses << 16) | u64::from(self.pool.size() & 0xffff);
        // The driver counts an idle connection a moment after it can be taken: for that moment there seem to be more than there are.
        Some(Lent::new(uses, (self.pool.size() as usize) != self.pool.num_idle()))
    }
}

impl Shared {
    fn leads_to_present_node(&self, age: Duration) -> bool {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_none_or(|since| age.saturating_add(self.opening) < since.elapsed())
    }
}

impl fmt::Debug for Steady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steady").field("lent", &self.lent()).finish_non_exhaustive()
    }
}
