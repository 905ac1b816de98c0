//! The pool that an application takes instead of its own.

use std::fmt;

use rr_core::Router;
use rr_core::config::{Config, ConfigErrors};
use rr_core::error::StartError;
use rr_core::router::Builder;

use crate::connection::RoutedPgConnection;
use crate::connector::DieselConnector;

/// A pool for a primary and its replicas. Clones are the same pool.
///
/// There is a pool behind it for every node. They live as long as any clone or handle does.
#[derive(Clone, Debug)]
pub struct RoutedPool {
    router: Router<DieselConnector>,
}

/// A pool cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The settings cannot be used.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The thread that watches the nodes of blocking code cannot be started.
    #[error("the thread that watches the nodes cannot be started")]
    Thread(#[source] std::io::Error),
}

impl RoutedPool {
    /// Starts with this configuration. Connects to nothing that it does not need: no node has to be up.
    ///
    /// # Errors
    /// When the settings are wrong.
    pub async fn start(config: Config) -> Result<Self, PoolError> {
        Self::start_with(DieselConnector::new(), config).await
    }

    /// Starts with a connector of one's own making; see [`DieselConnector::before_connect`].
    ///
    /// # Errors
    /// When the settings are wrong.
    pub async fn start_with(connector: DieselConnector, config: Config) -> Result<Self, PoolError> {
        Ok(Self { router: Router::builder(connector).config(config).start().await? })
    }

    /// Starts with a router that `build` has had its say in: notifiers, a balancer of one's own.
    ///
    /// ```no_run
    /// # async fn f(config: rr_core::Config) -> Result<(), rr_diesel::PoolError> {
    /// let pool = rr_diesel::RoutedPool::start_as(config, |router| {
    ///     router.on_notice(|told| eprintln!("{}: {}", told.severity, told.text))
    /// })
    /// .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the settings are wrong.
    pub async fn start_as(
        config: Config,
        build: impl FnOnce(Builder<DieselConnector>) -> Builder<DieselConnector>,
    ) -> Result<Self, PoolError> {
        let router = build(Router::builder(DieselConnector::new()).config(config));
        Ok(Self { router: router.start().await? })
    }

    /// Starts with these nodes, and everything else by default.
    ///
    /// # Errors
    /// When a URL cannot be used.
    pub async fn from_urls<R: AsRef<str>>(
        primary: &str,
        replicas: impl IntoIterator<Item = R>,
    ) -> Result<Self, PoolError> {
        let mut config = Config::builder().primary(primary);
        for replica in replicas {
            config = config.replica(replica.as_ref());
        }
        Self::start(config.build()?).await
    }

    /// Starts with what the environment says; see [`Config::overlay_env`].
    ///
    /// # Errors
    /// When the environment says nothing usable.
    pub async fn from_env() -> Result<Self, PoolError> {
        Self::start(Config::from_env()?).await
    }

    /// A handle. Nothing is taken out of any pool before it is used, so this neither waits nor fails; it is asynchronous
    /// because other pools' are.
    ///
    /// # Errors
    /// None at present.
    #[expect(clippy::unused_async, reason = "takes the place of a pool's `get`")]
    pub async fn get(&self) -> Result<RoutedPgConnection, PoolError> {
        Ok(self.handle())
    }

    /// A handle.
    #[must_use]
    #[inline]
    pub fn handle(&self) -> RoutedPgConnection {
        RoutedPgConnection::new(self.router.clone())
    }

    /// The router.
    #[must_use]
    pub const fn router(&self) -> &Router<DieselConnector> {
        &self.router
    }
}

impl From<Router<DieselConnector>> for RoutedPool {
    fn from(router: Router<DieselConnector>) -> Self {
        Self { router }
    }
}

#[expect(dead_code, reason = "shows that handles can be sent and shared")]
fn handles_are_sent_and_shared(handle: RoutedPgConnection) -> impl Send + Sync + fmt::Debug {
    handle
}
