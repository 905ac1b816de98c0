//! What sessions carry from one process to another, and what becomes of reads that cannot see what they must.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::secret::Secret;

/// Where a read goes when no replica has what it must see, after it has waited for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CausalElse {
    /// To the primary, within the budget of `primary_reads`.
    #[default]
    Primary,
    /// To a replica all the same: it may not see what its session wrote. The primary only where no replica serves.
    Stale,
    /// Nowhere: it fails.
    Error,
}

/// What becomes of a session that wrote something which a failover has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LostWrites {
    /// Its tokens are refused and its reads fail, until somebody has [taken note](crate::Session::accept_loss).
    #[default]
    Error,
    /// A warning is logged and counted, and the session goes on with what was kept.
    Warn,
}

/// Whether a driver that can is to ask behind a write where that ended, which costs its server a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AskPositions {
    /// As long as somebody wants to know it: behind the thousand writes after a read that must see one, or a token for one.
    #[default]
    Wanted,
    /// Behind each.
    Always,
    /// Never, and samples of the primary tell; except where diesel-async learns by the answer that all rows of a long result were
    /// sent.
    Never,
}

/// Sessions: tokens, and sticking to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SessionConfig {
    /// The keys that tokens are signed with, at least 32 characters each: the first one signs, all of them are accepted.
    /// Default: none, and there are no tokens.
    pub keys: Vec<Secret>,
    /// How long a token is accepted. Default: 1 day.
    #[serde(with = "duration::plain")]
    pub token_lifetime: Duration,
    /// How long a session's reads stay on the node that served the last one, where that node may serve them.
    /// Default: `"none"`, they are balanced one by one.
    #[serde(with = "duration::or_none")]
    pub affinity: Option<Duration>,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self { keys: Vec::new(), token_lifetime: Duration::from_secs(24 * 60 * 60), affinity: None }
    }
}
