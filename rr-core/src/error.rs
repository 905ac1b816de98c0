//! What can go wrong when a router is started or its nodes are changed.

use std::path::PathBuf;

use crate::config::{ConfigError, ConfigErrors};
use crate::engine::Engine;
use crate::notify::SettingsError;
pub use crate::outcome::OutcomeUnknown;
use crate::world::UnreadableMemory;

/// A router cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The configuration cannot be read.
    #[error(transparent)]
    Invalid(#[from] ConfigError),
    /// This version cannot watch this engine.
    #[error("{0} cannot be watched by this version; use a postgres:// URL")]
    Engine(Engine),
    /// A notifier cannot be made from its settings.
    #[error(transparent)]
    Notify(#[from] SettingsError),
    /// What was kept of an earlier process cannot be used.
    #[error("failover.state_file: {}: {source}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: StateError,
    },
    /// Two processes could promote two replicas.
    #[error(
        "failover.mode: `automatic` needs a lease that all processes with this router see (`Builder::lease`); where this \
         is the only one, set failover.single_process = true"
    )]
    Lease,
    /// The role that is to promote may not.
    #[error(
        "failover.mode: the promotion's user (failover.user, or else the URL's) lacks on `{node}`: {}; see \
         docs/guide/failover.md for the GRANTs", .lacking.join(", ")
    )]
    Privileges {
        /// The node.
        node: String,
        /// What it lacks.
        lacking: Vec<&'static str>,
    },
    /// A pool cannot be made from the settings of a node.
    #[error("`{node}`: its pool cannot be made from these settings")]
    Pool {
        /// The node.
        node: String,
        /// The driver's own error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What was kept of an earlier process cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// It cannot be read.
    #[error("cannot be read ({0}); check the path and its permissions")]
    Unreadable(#[source] std::io::Error),
    /// There is no folder to keep it in.
    #[error("its folder is not there; create it, or name another file")]
    NoFolder,
    /// It is not what was written.
    #[error("{0}; remove it if no failover has happened that this process must know of, else restore it")]
    Malformed(#[from] UnreadableMemory),
}

/// The nodes cannot be changed as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// There is no such node.
    #[error("there is no node `{0}`")]
    Unknown(String),
    /// The name is taken.
    #[error("there is already a node `{0}`")]
    Duplicate(String),
    /// The primary cannot be taken away.
    #[error("`{0}` is the primary; fail over first")]
    IsPrimary(String),
    /// The configuration with this node in it is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// A pool cannot be made from the node's settings.
    #[error("`{node}`: its pool cannot be made from these settings")]
    Pool {
        /// The node.
        node: String,
        /// The driver's own error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The router has been shut down.
    #[error("the router has been shut down")]
    Closed,
}

/// A failover cannot be begun as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FailoverError {
    /// The router promotes nobody.
    #[error("failover.mode is `follow`: somebody else promotes; use `manual`, `supervised` or `automatic`")]
    Follows,
    /// One is under way.
    #[error("a promotion is under way")]
    InProgress,
    /// A node was told to take over and nobody knows whether it has.
    #[error(
        "a node was told to take over and nobody knows whether it has; look at it, then use `clear_doubt`"
    )]
    InDoubt,
    /// No primary was ever accepted, or two nodes take writes, or somebody has begun to promote another one.
    #[error(
        "there is no primary that another node could take over from; see whether two nodes take writes, or one is being \
         promoted (if that never ends: `clear_doubt`)"
    )]
    NoPrimary,
    /// There is no such node.
    #[error("there is no node `{0}`")]
    UnknownNode(String),
    /// The target is the primary.
    #[error("`{0}` is the primary already")]
    IsPrimary(String),
    /// There is no such proposal, or it has expired, or its reason is gone.
    #[error("there is no proposal {0} (any more); see `proposal()`")]
    NoProposal(u64),
    /// The router has been shut down.
    #[error("the router has been shut down")]
    Closed,
}
