//! What differs between database engines: the SQL that the monitor runs, what its answers mean, and what error
//! codes say about a node.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::position::{Lsn, Position, Timeline};
use crate::topology::Role;

pub mod postgres;

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

/// One row of text columns, as every driver can deliver it.
pub type TextRow = Vec<Option<String>>;

impl Engine {
    /// The statement that the monitor runs on every node. It needs no privilege and returns one row of text.
    ///
    /// `None` for an engine that this version cannot watch.
    #[must_use]
    pub const fn probe_sql(self) -> Option<&'static str> {
        match self {
            Self::Postgres => Some(postgres::PROBE),
            Self::MySql | Self::MariaDb | Self::Sqlite => None,
        }
    }

    /// What the answer to [`Engine::probe_sql`] says.
    ///
    /// # Errors
    /// When the row is not what the statement returns: a proxy in between, or a server that is none.
    pub fn read_probe(self, row: &[Option<String>]) -> Result<Observation, UnreadableProbe> {
        match self {
            Self::Postgres => postgres::read_probe(row),
            Self::MySql | Self::MariaDb | Self::Sqlite => Err(UnreadableProbe { column: "engine" }),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::MySql => "MySQL",
            Self::MariaDb => "MariaDB",
            Self::Sqlite => "SQLite",
        })
    }
}

/// What one look at a node has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Observation {
    /// What it says it is.
    pub role: Role,
    /// The cluster it belongs to.
    pub system: Option<u64>,
    /// The database that its connections are in.
    pub database: Option<String>,
    /// When it was started, on whatever clock: two nodes of a cluster that say the same are one server.
    pub started: Option<u64>,
    /// Where it is in the log.
    pub log: Log,
    /// Whether it may be in the middle of something that it has received: a standby shows a commit a moment before its place
    /// in the log says so. `None` is unknown.
    pub applying: Option<bool>,
    /// Up to where it has the log on its disk, applied or not; absent where that is not known, and on a primary.
    pub received: Option<Lsn>,
    /// Whether it receives a primary's log; `None` is unknown.
    pub receiving: Option<bool>,
    /// The role that asked may not see everything that would help.
    pub unprivileged: bool,
}

impl Observation {
    /// A node of this role at this place in the log, with nothing left to apply.
    #[must_use]
    pub const fn new(role: Role, log: Log) -> Self {
        Self {
            role,
            system: None,
            database: None,
            started: None,
            log,
            applying: Some(false),
            received: None,
            receiving: None,
            unprivileged: false,
        }
    }
}

/// Where a node is in the log, in the terms of its engine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Log {
    /// A PostgreSQL server.
    Postgres {
        /// End of what it has written (primary) or applied (replica).
        lsn: Option<Lsn>,
        /// On a primary its timeline; on a replica one that it has certainly reached.
        timeline: Option<Timeline>,
        /// On a promoted primary: where its timeline forked off the one before.
        switch: Option<Lsn>,
    },
    /// A server whose positions say everything by themselves.
    Set(Option<Position>),
}

/// The answer to a probe cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the answer to the probe is unusable (column `{column}`); is this a database server of the configured engine?"
)]
#[non_exhaustive]
pub struct UnreadableProbe {
    /// The first column that makes no sense.
    pub column: &'static str,
}

/// What an error says about the node that it came from. Errors that say nothing about it (a constraint violation, a
/// syntax error) are no faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// No connection could be opened; nothing was sent.
    Refused,
    /// The connection broke.
    Lost,
    /// No answer in time.
    Timeout,
    /// The server is starting, stopping, or has cancelled its clients.
    ShuttingDown,
    /// The server takes no more connections, or those of the pool were all in use for too long. The node is busy, not ill.
    Overloaded,
    /// A write was refused because the node is a replica.
    ReadOnly,
    /// A read was cancelled because replay needed its rows.
    Conflict,
    /// A database or relation that the replica may not have yet.
    NotThereYet,
}

impl Fault {
    /// Whether it is held against the node when balancing.
    #[must_use]
    pub const fn counts(self) -> bool {
        matches!(self, Self::Refused | Self::Lost | Self::Timeout | Self::ShuttingDown)
    }

    /// Whether the server may have been restarted.
    #[must_use]
    pub const fn breaks_connections(self) -> bool {
        matches!(self, Self::Refused | Self::Lost | Self::ShuttingDown)
    }

    /// Whether it calls for a look at all nodes at once, because roles may have changed.
    #[must_use]
    pub const fn is_alarming(self) -> bool {
        matches!(self, Self::Refused | Self::Lost | Self::ShuttingDown | Self::ReadOnly)
    }

    /// Its name in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Lost => "lost",
            Self::Timeout => "timeout",
            Self::ShuttingDown => "shutting_down",
            Self::Overloaded => "overloaded",
            Self::ReadOnly => "read_only",
            Self::Conflict => "conflict",
            Self::NotThereYet => "not_there_yet",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
