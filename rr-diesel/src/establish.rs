//! Handles without a pool of ours: `establish`, and the foreign pools of handles that are built on it.
//!
//! Handles of the same nodes share one router, as long as there is any of them and within one runtime: a pool of a hundred
//! handles is watched by one monitor and has one pool per node.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use diesel::{ConnectionError, ConnectionResult};
use rr_core::config::{Config, ConfigErrors};
use tokio::runtime::{Handle, Id};

use crate::connection::RoutedPgConnection;
use crate::pool::RoutedPool;

/// Held while a pool is started, so that it is started once.
type Place = Arc<tokio::sync::Mutex<Weak<RoutedPool>>>;

static POOLS: LazyLock<Mutex<HashMap<(Id, String), Place>>> = LazyLock::new(Mutex::default);

/// A handle for the nodes in `urls`: the primary, and replicas after it.
pub(crate) async fn establish(urls: &str) -> ConnectionResult<RoutedPgConnection> {
    let mut pool = place(urls).lock_owned().await;
    let shared = match pool.upgrade() {
        Some(shared) => shared,
        None => {
            let config = config(urls).map_err(|error| bad(&error))?;
            let started = Arc::new(RoutedPool::start(config).await.map_err(|error| bad(&error))?);
            *pool = Arc::downgrade(&started);
            started
        }
    };
    Ok(RoutedPgConnection::of(shared))
}

fn bad(error: &dyn std::error::Error) -> ConnectionError {
    ConnectionError::BadConnection(error.to_string())
}

fn place(urls: &str) -> Place {
    let key = (Handle::current().id(), urls.to_owned());
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    // Those of runtimes and pools that are gone; one that is being started is held by somebody.
    pools.retain(|_, place| {
        Arc::strong_count(place) > 1 || place.try_lock().is_ok_and(|pool| pool.strong_count() > 0)
    });
    Arc::clone(pools.entry(key).or_default())
}

/// The environment's settings, with these nodes.
pub(crate) fn config(urls: &str) -> Result<Config, ConfigErrors> {
    Config::default().overlay_process_env_for(urls)
}
