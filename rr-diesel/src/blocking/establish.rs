//! Handles without a pool of ours: `establish`, and the foreign pools of handles that are built on it.
//!
//! Handles of the same nodes share one router, as long as there is any of them.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use diesel::{ConnectionError, ConnectionResult};

use super::backend::Routable;
use super::connection::RoutedConnection;
use super::pool::RoutedPool;
use crate::establish::config;

/// Held while a pool is started, so that it is started once.
type Place = Arc<Mutex<Option<Weak<dyn Any + Send + Sync>>>>;

static POOLS: LazyLock<Mutex<HashMap<(TypeId, String), Place>>> = LazyLock::new(Mutex::default);

/// A handle for the nodes in `urls`: the primary, and replicas after it.
pub(super) fn establish<C: Routable>(urls: &str) -> ConnectionResult<RoutedConnection<C>> {
    let place = place(TypeId::of::<C>(), urls);
    let mut pool = place.lock().unwrap_or_else(PoisonError::into_inner);
    let shared = pool.as_ref().and_then(Weak::upgrade).and_then(|pool| pool.downcast().ok());
    let shared: Arc<RoutedPool<C>> = match shared {
        Some(shared) => shared,
        None => {
            let started = config(urls).map_err(|error| bad(&error))?;
            let started = Arc::new(RoutedPool::start(started).map_err(|error| bad(&error))?);
            let erased: Arc<dyn Any + Send + Sync> = Arc::clone(&started) as _;
            *pool = Some(Arc::downgrade(&erased));
            started
        }
    };
    Ok(RoutedConnection::of(shared))
}

fn bad(error: &dyn std::error::Error) -> ConnectionError {
    ConnectionError::BadConnection(error.to_string())
}

fn place(of: TypeId, urls: &str) -> Place {
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    // Those that are gone; one that is being started is held by somebody.
    pools.retain(|_, place| {
        Arc::strong_count(place) > 1
            || place.try_lock().is_ok_and(|pool| pool.as_ref().is_some_and(|pool| pool.strong_count() > 0))
    });
    Arc::clone(pools.entry((of, urls.to_owned())).or_default())
}
