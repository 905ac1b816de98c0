//! Where connections come from.

use plain_sea_orm::{ConnectOptions, DbErr};

use crate::DatabaseConnection;

/// Opens a [`DatabaseConnection`].
#[derive(Debug, Default)]
pub struct Database;

impl Database {
    /// Connects to the primary that the URL or the options name, and to the replicas that the environment names
    /// (`RR_REPLICA_URLS`). The options hold for all of them; what the environment says goes before the options.
    ///
    /// # Errors
    /// When the settings cannot be used, or the primary is not there (unless the options say `connect_lazy`).
    pub async fn connect<C>(options: C) -> Result<DatabaseConnection, DbErr>
    where
        C: Into<ConnectOptions>,
    {
        DatabaseConnection::connect(options).await
    }

    /// Makes a connection that asks `proxy` instead of a server: a plain one, as there is nothing to route.
    ///
    /// # Errors
    /// None at present.
    #[cfg(feature = "proxy")]
    pub async fn connect_proxy(
        backend: plain_sea_orm::DbBackend,
        proxy: std::sync::Arc<Box<dyn plain_sea_orm::ProxyDatabaseTrait>>,
    ) -> Result<plain_sea_orm::DatabaseConnection, DbErr> {
        plain_sea_orm::Database::connect_proxy(backend, proxy).await
    }
}
