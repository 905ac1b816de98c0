//! Why a token is refused.

use std::time::Duration;

use super::LONGEST;
use crate::position::Position;
use crate::topology::was_anywhere;

/// A write that was acknowledged is not part of the primary's history: a failover lost it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a write that was acknowledged {} lost: the history of the present primary left that timeline at {switch}; \
     check what the failover lost, and write again",
    if was_anywhere(.token, .switch) { "right before a failover may be".into() } else { format!("at {token} is") }
)]
#[non_exhaustive]
pub struct LostWrite {
    /// Where the write ended, as the session or its token has it. Where nobody has learned that before the failover, it is the
    /// greatest position of the timeline.
    pub token: Position,
    /// Up to where that timeline was kept.
    pub switch: Position,
}

/// Why a token is refused, or cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// There is no key to sign or check with.
    #[error("there is no key for session tokens; set `session.keys`")]
    NoKeys,
    /// Longer than a token can be.
    #[error("it has {length} characters, and a token at most {LONGEST}")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// It is no token, or a part of one.
    #[error("it is no token, or only a part of one")]
    Malformed,
    /// It is of a version that this one does not know.
    #[error("it is of version {0}, which is not known here; are all processes up to date?")]
    Version(u8),
    /// It was signed with a key that is not among ours.
    #[error(
        "it was signed with a key that is not in `session.keys`; a key is retired only when its tokens have expired"
    )]
    UnknownKey,
    /// Its signature is wrong.
    #[error("its signature is wrong")]
    Forged,
    /// It is too old.
    #[error("it expired {ago:?} ago (`session.token_lifetime`)")]
    Expired {
        /// How long ago.
        ago: Duration,
    },
    /// It belongs to another database cluster.
    #[error("it belongs to another database cluster (the system identifier differs)")]
    ForeignCluster,
    /// No node has answered yet, so that nobody knows which cluster this is.
    #[error("no node has said yet which cluster this is; is the database reachable?")]
    ClusterUnknown,
    /// It names a position that the primary has not reached: no token of this database can.
    #[error("it names a position that the primary has not reached; was the database restored from a backup?")]
    Future,
    /// It names a write that a failover lost.
    #[error(transparent)]
    LostWrite(#[from] LostWrite),
}

impl TokenError {
    /// How many kinds there are.
    pub(crate) const COUNT: usize = Self::KINDS.len();

    const KINDS: [&str; 11] = [
        "no_keys",
        "too_long",
        "malformed",
        "version",
        "unknown_key",
        "forged",
        "expired",
        "foreign_cluster",
        "cluster_unknown",
        "future",
        "lost_write",
    ];

    /// Its kind, as a label of few values.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        Self::KINDS[self.index()]
    }

    /// The kinds, in the order of their index.
    pub(crate) const fn kinds() -> [&'static str; Self::COUNT] {
        Self::KINDS
    }

    pub(crate) const fn index(&self) -> usize {
        match self {
            Self::NoKeys => 0,
            Self::TooLong { .. } => 1,
            Self::Malformed => 2,
            Self::Version(_) => 3,
            Self::UnknownKey => 4,
            Self::Forged => 5,
            Self::Expired { .. } => 6,
            Self::ForeignCluster => 7,
            Self::ClusterUnknown => 8,
            Self::Future => 9,
            Self::LostWrite(_) => 10,
        }
    }
}
