//! One node: its identity, its role and state, and what was known of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::position::Position;
use crate::time::Moment;

/// Names a node for the life of a router; never given to another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

impl NodeId {
    /// The id with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number of this id.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Counts changes of the primary. A connection of an older epoch must not be used for writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of this epoch.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The epoch after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a server is at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It replays the primary's writes.
    Replica,
}

impl Role {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How well a node does, seen from here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HealthState {
    /// Not looked at yet.
    #[default]
    Unknown,
    /// All is well.
    Healthy,
    /// In the rotation with a reduced weight: it failed lately, or is back on probation.
    Degraded,
    /// Out of the rotation: it does not answer.
    Unhealthy,
}

impl fmt::Display for HealthState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        })
    }
}

/// Why a node that answers is kept away from all traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Quarantine {
    /// It belongs to another database cluster (system identifier).
    ForeignCluster,
    /// Its connections are in another database of the cluster.
    ForeignDatabase,
    /// It is the server of another node, under a second name.
    SameServer,
    /// It takes writes on a timeline that another primary has left behind.
    StalePrimary,
    /// It takes writes, and so does another node, and nothing tells which of them is right.
    RivalPrimary,
    /// It went past the point where the present primary's history forked off, or may have.
    BeyondFork,
}

impl fmt::Display for Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ForeignCluster => "it belongs to another cluster (system identifier differs)",
            Self::ForeignDatabase => "its connections are in another database",
            Self::SameServer => "it is the server of another node, under a second name",
            Self::StalePrimary => "it still takes writes on an abandoned timeline",
            Self::RivalPrimary => "it takes writes and so does another node",
            Self::BeyondFork => "it is past the point where the primary's history forked off",
        })
    }
}

/// One node as it was known when the topology was published.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Where it is (`host:port`); never a secret.
    pub endpoint: Arc<str>,
    /// What it is; until it has been seen, what the configuration says.
    pub role: Role,
    /// How well it does.
    pub health: HealthState,
    /// Out of the rotation for a while because statements failed on it although it answers probes.
    pub ejected: bool,
    /// It finishes what it has and gets nothing new.
    pub draining: bool,
    /// Why it is kept away from traffic.
    pub quarantine: Option<Quarantine>,
    /// What it has certainly applied: what its reads certainly see.
    pub applied: Option<Position>,
    /// What its reads may have seen up to then, as far as the present history goes: what a session
    /// [saw](crate::session::Session::saw). More than `applied` where it is not known which timeline it has reached, and where
    /// it is in the middle of applying something; absent where that cannot be told.
    pub ceiling: Option<Position>,
    /// A moment, and what its reads may have seen up to then, all of which it has itself.
    pub shown: Option<(Moment, Position)>,
    /// When the sample in `applied` and `ceiling` was asked for.
    pub sampled_at: Option<Moment>,
    /// Probes that it did not answer since the last one that it did.
    pub failures: u32,
    /// It has been up without a break since then, as far as is known: it has not gone back to an earlier state.
    pub steady_since: Moment,
    /// Its data was current at this moment.
    pub fresh_as_of: Option<Moment>,
    /// How far its log is behind the primary's.
    pub lag_bytes: Option<u64>,
    /// Its share of the traffic at present, slow start and degradation included; never 0.
    pub weight: u32,
    /// How far away its region is; 0 is nearest.
    pub tier: u8,
    /// Within a tier: 0 serves first, higher numbers are spares.
    pub priority: u8,
    /// Reads that do not say otherwise refuse it when it is staler than this.
    pub max_lag: Option<Duration>,
    /// The groups it belongs to: bit *i* is `Topology::groups()[i]`.
    pub groups: u64,
}

/// What stands a node in the way of traffic, in one word: the first that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// It answers, and is kept away from all traffic.
    Quarantined,
    /// It does not answer.
    Unhealthy,
    /// It is being taken out of service.
    Draining,
    /// Statements failed on it although it answers.
    Ejected,
    /// It was not looked at yet.
    Unknown,
    /// It serves with a reduced weight.
    Degraded,
    /// All is well.
    Healthy,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Quarantined,
        Self::Unhealthy,
        Self::Draining,
        Self::Ejected,
        Self::Unknown,
        Self::Degraded,
        Self::Healthy,
    ];

    /// Its name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quarantined => "quarantined",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
            Self::Ejected => "ejected",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
            Self::Healthy => "healthy",
        }
    }
}

impl Node {
    /// What stands in its way, in one word.
    #[must_use]
    pub const fn state(&self) -> State {
        match self.health {
            _ if self.quarantine.is_some() => State::Quarantined,
            HealthState::Unhealthy => State::Unhealthy,
            _ if self.draining => State::Draining,
            _ if self.ejected => State::Ejected,
            HealthState::Unknown => State::Unknown,
            HealthState::Degraded => State::Degraded,
            HealthState::Healthy => State::Healthy,
        }
    }

    /// A node of which nothing is known but its name, place and expected role.
    #[must_use]
    pub fn new(id: NodeId, name: &str, endpoint: &str, role: Role) -> Self {
        Self {
            id,
            name: name.into(),
            endpoint: endpoint.into(),
            role,
            health: HealthState::Unknown,
            ejected: false,
            draining: false,
            quarantine: None,
            applied: None,
            ceiling: None,
            shown: None,
            sampled_at: None,
            failures: 0,
            steady_since: Moment::ORIGIN,
            fresh_as_of: None,
            lag_bytes: None,
            weight: 100,
            tier: 0,
            priority: 0,
            max_lag: None,
            groups: 0,
        }
    }

    /// An upper bound of how old its data is; `None` when that is unknown.
    #[must_use]
    pub fn staleness(&self, now: Moment) -> Option<Duration> {
        self.fresh_as_of.map(|fresh| now.since(fresh))
    }
}
