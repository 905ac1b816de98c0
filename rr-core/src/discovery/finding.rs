//! What discovery tells people.

use std::fmt;
use std::sync::Arc;

/// Something that a [`Discovery`](super::Discovery) brought about. Each is told once, not with every answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A node was found, and joins.
    Found {
        /// The node.
        node: Arc<str>,
        /// Where it is.
        endpoint: Arc<str>,
    },
    /// A node is no longer found: it gets nothing new, and leaves.
    Vanished {
        /// The node.
        node: Arc<str>,
    },
    /// A node is somewhere else now: the old server is drained, then the new one joins.
    Moved {
        /// The node.
        node: Arc<str>,
        /// Where it is now.
        endpoint: Arc<str>,
    },
    /// The primary is no longer found. It stays.
    PrimaryNotFound {
        /// The primary.
        node: Arc<str>,
    },
    /// What was found does not join.
    Refused {
        /// Its name.
        node: Arc<str>,
        /// Why not.
        why: Refusal,
    },
    /// There is no answer. The nodes that were found last stay.
    Failed {
        /// Why not.
        error: Arc<str>,
    },
    /// There are answers again.
    Recovered,
}

/// Why something that was found does not join.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Refusal {
    /// There is another node of this name.
    NameTaken,
    /// The answer has this name twice.
    Twice,
    /// There are as many nodes as there can be.
    TooMany,
    /// No rule says where it is.
    NoPlace,
    /// Its name or place cannot be used.
    Unusable(String),
}

impl Finding {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Found { .. } => "discovery_found",
            Self::Vanished { .. } => "discovery_vanished",
            Self::Moved { .. } => "discovery_moved",
            Self::PrimaryNotFound { .. } => "discovery_primary_not_found",
            Self::Refused { .. } => "discovery_refused",
            Self::Failed { .. } => "discovery_failed",
            Self::Recovered => "discovery_recovered",
        }
    }

    /// The node that it is about; `None`: whether there are answers.
    pub(crate) const fn node(&self) -> Option<&Arc<str>> {
        match self {
            Self::Found { node, .. }
            | Self::Vanished { node }
            | Self::Moved { node, .. }
            | Self::PrimaryNotFound { node }
            | Self::Refused { node, .. } => Some(node),
            Self::Failed { .. } | Self::Recovered => None,
        }
    }

    pub(crate) const fn is_warning(&self) -> bool {
        match self {
            Self::PrimaryNotFound { .. } | Self::Refused { .. } | Self::Failed { .. } => true,
            Self::Found { .. } | Self::Vanished { .. } | Self::Moved { .. } | Self::Recovered => false,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found { node, endpoint } => write!(f, "`{node}` was found at {endpoint}"),
            Self::Vanished { node } => write!(f, "`{node}` is no longer found, and leaves"),
            Self::Moved { node, endpoint } => write!(f, "`{node}` is found at {endpoint} now"),
            Self::PrimaryNotFound { node } => {
                write!(f, "`{node}` is not found; it is the primary, and stays")
            }
            Self::Refused { node, why } => write!(f, "`{node}` was found and does not join: {why}"),
            Self::Failed { error } => write!(f, "failed, and the nodes that were found last stay: {error}"),
            Self::Recovered => f.write_str("answers again"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameTaken => f.write_str("another node has this name; rename one of them"),
            Self::Twice => f.write_str("the answer has this name twice; give each server a name of its own"),
            Self::TooMany => {
                write!(f, "there are {} nodes, and more are not possible", crate::config::MAX_NODES)
            }
            Self::NoPlace => {
                f.write_str("no rule says where it is; check `discovery.map` and `discovery.host`")
            }
            Self::Unusable(why) => f.write_str(why),
        }
    }
}
