//! Handles without a pool: `establish`, and the pools of handles that are built on it.

use diesel::{ConnectionError, ConnectionResult};
use rr_core::config::Config;

use crate::connection::RoutedPgConnection;
use crate::pool::RoutedPool;

/// A handle for the nodes in `urls`: the primary, and replicas after it.
pub(crate) async fn establish(urls: &str) -> ConnectionResult<RoutedPgConnection> {
    let bad = |error: &dyn std::error::Error| ConnectionError::BadConnection(error.to_string());
    let mut each = urls.split(',').map(str::trim).filter(|url| !url.is_empty());
    let mut config = Config::builder().primary(each.next().unwrap_or_default());
    for replica in each {
        config = config.replica(replica);
    }
    let config = config.build().map_err(|error| bad(&error))?;
    let pool = RoutedPool::start(config).await.map_err(|error| bad(&error))?;
    Ok(pool.handle())
}
