//! What differs between database engines: the SQL that the monitor runs and what its answers mean.

use serde::{Deserialize, Serialize};

/// A family of database servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Engine {
    /// PostgreSQL 12 or newer.
    Postgres,
    /// MySQL 8 or newer.
    MySql,
    /// MariaDB 10.5 or newer.
    MariaDb,
    /// SQLite 3.
    Sqlite,
}
