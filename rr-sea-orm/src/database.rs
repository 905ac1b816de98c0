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
}
