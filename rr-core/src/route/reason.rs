//! Why statements go where they go.

use std::fmt;

/// Why a statement went where it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RouteReason {
    /// It writes, or may write.
    Write,
    /// It needs the state of its connection.
    SessionState,
    /// The read's consistency level or a hint asks for the primary.
    PrimaryRequired,
    /// The read preference asks for the primary.
    PrimaryPreferred,
    /// A replica that may serve.
    Replica,
    /// A replica of the group that was asked for.
    Group,
    /// The nearest node, whatever its role.
    Nearest,
    /// A replica that caught up while the read waited.
    CaughtUp,
    /// The primary: there are no replicas.
    NoReplicas,
    /// The primary: no replica stands in the rotation.
    ReplicasDown,
    /// The primary: no replica has applied what the read must see.
    ReplicasBehind,
    /// A replica that has not applied what the read must see, because the configuration prefers that to the primary.
    Stale,
}

impl RouteReason {
    /// How many reasons there are.
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::Write,
        Self::SessionState,
        Self::PrimaryRequired,
        Self::PrimaryPreferred,
        Self::Replica,
        Self::Group,
        Self::Nearest,
        Self::CaughtUp,
        Self::NoReplicas,
        Self::ReplicasDown,
        Self::ReplicasBehind,
        Self::Stale,
    ];

    /// Its name in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::SessionState => "session_state",
            Self::PrimaryRequired => "primary_required",
            Self::PrimaryPreferred => "primary_preferred",
            Self::Replica => "replica",
            Self::Group => "group",
            Self::Nearest => "nearest",
            Self::CaughtUp => "caught_up",
            Self::NoReplicas => "no_replicas",
            Self::ReplicasDown => "replicas_down",
            Self::ReplicasBehind => "replicas_behind",
            Self::Stale => "stale",
        }
    }

    /// Whether it is a read that wanted a replica and got the primary.
    #[must_use]
    pub const fn is_fallback(self) -> bool {
        matches!(self, Self::ReplicasDown | Self::ReplicasBehind)
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for RouteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
