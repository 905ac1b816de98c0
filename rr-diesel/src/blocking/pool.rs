//! The pool that an application takes instead of its own, and what makes another pool one of handles.

use std::fmt;

use diesel::r2d2::{self, R2D2Connection};
use rr_core::Router;
use rr_core::config::Config;
use rr_core::router::Builder;

use super::backend::Routable;
use super::connection::RoutedConnection;
use super::connector::NodeConnector;
use super::runtime;
use crate::pool::PoolError;

/// A pool for a primary and its replicas. Clones are the same pool.
///
/// There is a pool behind it for every node. They live as long as any clone or handle does.
pub struct RoutedPool<C: Routable> {
    router: Router<NodeConnector<C>>,
}

impl<C: Routable> RoutedPool<C> {
    /// Starts with this configuration. Connects to nothing that it does not need: no node has to be up.
    ///
    /// # Errors
    /// When the settings are wrong.
    pub fn start(config: Config) -> Result<Self, PoolError> {
        Self::start_with(NodeConnector::new()?, config)
    }

    /// Starts with a connector of one's own making; see [`NodeConnector::before_connect`].
    ///
    /// # Errors
    /// When the settings are wrong.
    pub fn start_with(connector: NodeConnector<C>, config: Config) -> Result<Self, PoolError> {
        Self::started(connector, config, |router| router)
    }

    /// Starts with a router that `build` has had its say in: notifiers, a balancer of one's own.
    ///
    /// # Errors
    /// When the settings are wrong.
    pub fn start_as(
        config: Config,
        build: impl FnOnce(Builder<NodeConnector<C>>) -> Builder<NodeConnector<C>>,
    ) -> Result<Self, PoolError> {
        Self::started(NodeConnector::new()?, config, build)
    }

    fn started(
        connector: NodeConnector<C>,
        config: Config,
        build: impl FnOnce(Builder<NodeConnector<C>>) -> Builder<NodeConnector<C>>,
    ) -> Result<Self, PoolError> {
        let runtime = connector.runtime().clone();
        let builder = build(Router::builder(connector).config(config));
        Ok(Self { router: runtime::wait(&runtime, builder.start())? })
    }

    /// Starts with these nodes, and everything else by default.
    ///
    /// # Errors
    /// When a URL cannot be used.
    pub fn from_urls<R: AsRef<str>>(
        primary: &str,
        replicas: impl IntoIterator<Item = R>,
    ) -> Result<Self, PoolError> {
        let config = Config::builder().primary(primary);
        let config = replicas.into_iter().fold(config, |config, url| config.replica(url.as_ref()));
        Self::start(config.build()?)
    }

    /// Starts with what the environment says; see [`Config::overlay_env`].
    ///
    /// # Errors
    /// When the environment says nothing usable.
    pub fn from_env() -> Result<Self, PoolError> {
        Self::start(Config::from_env()?)
    }

    /// A handle. Nothing is taken out of any pool before it is used, so this neither waits nor fails; it gives a result
    /// because other pools' `get` does.
    ///
    /// # Errors
    /// None at present.
    pub fn get(&self) -> Result<RoutedConnection<C>, PoolError> {
        Ok(self.handle())
    }

    /// A handle.
    #[must_use]
    pub fn handle(&self) -> RoutedConnection<C> {
        RoutedConnection::new(self.router.clone())
    }

    /// The router.
    #[must_use]
    pub const fn router(&self) -> &Router<NodeConnector<C>> {
        &self.router
    }

    /// Stops watching the nodes, and waits until that has ended. Handles go on with what was known last.
    pub fn shutdown(&self) {
        runtime::wait(self.router.connector().runtime(), self.router.shutdown());
    }
}

impl<C: Routable> Clone for RoutedPool<C> {
    fn clone(&self) -> Self {
        Self { router: self.router.clone() }
    }
}

impl<C: Routable> fmt::Debug for RoutedPool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoutedPool").field("router", &self.router).finish()
    }
}

/// Makes an [`r2d2::Pool`] one of handles: for code that names that type.
///
/// Its handles hold no connections while they are idle, so that the pool's own checks and timeouts have nothing to do, and
/// its size limits only how many threads have a handle at a time.
#[derive(Clone, Debug)]
pub struct RoutedManager<C: Routable> {
    pool: RoutedPool<C>,
}

impl<C: Routable> RoutedManager<C> {
    /// Gives out handles of this pool.
    #[must_use]
    pub const fn new(pool: RoutedPool<C>) -> Self {
        Self { pool }
    }

    /// Starts a pool with this configuration.
    ///
    /// # Errors
    /// When the settings are wrong.
    pub fn start(config: Config) -> Result<Self, PoolError> {
        RoutedPool::start(config).map(Self::new)
    }
}

impl<C: Routable> From<RoutedPool<C>> for RoutedManager<C> {
    fn from(pool: RoutedPool<C>) -> Self {
        Self::new(pool)
    }
}

impl<C: Routable> r2d2::ManageConnection for RoutedManager<C> {
    type Connection = RoutedConnection<C>;
    type Error = r2d2::Error;

    fn connect(&self) -> Result<RoutedConnection<C>, r2d2::Error> {
        Ok(self.pool.handle())
    }

    fn is_valid(&self, handle: &mut RoutedConnection<C>) -> Result<(), r2d2::Error> {
        handle.ping().map_err(r2d2::Error::QueryError)
    }

    fn has_broken(&self, handle: &mut RoutedConnection<C>) -> bool {
        std::thread::panicking() || handle.is_broken()
    }
}
