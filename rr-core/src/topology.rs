//! What is known about the nodes: pure data, published as a whole and never changed in place.
//!
//! A [`Topology`] is what [`World`](crate::world::World) knew at one moment. Whatever can be decided without
//! looking at a request is decided once, when it is assembled: which replicas stand in the rotation at all
//! ([`Topology::standing`] gives the reason for each one that does not), in which order regions and
//! priorities come, which groups they form. What is left for a request is a few bit operations and the
//! comparison of positions ([`select`](crate::select)).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{GroupFallback, Spill};
use crate::position::Position;
use crate::select::Rejection;
use crate::time::Moment;

mod set;

pub use set::{Members, NodeSet};

/// The most nodes that one topology can hold (one bit each in a [`NodeSet`]).
pub const MAX_NODES: usize = 64;

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
            Self::StalePrimary => "it still takes writes on an abandoned timeline",
            Self::RivalPrimary => "it takes writes and so does another node",
            Self::BeyondFork => "it is past the point where the primary's history forked off",
        })
    }
}

/// Why there is nowhere to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoPrimary {
    /// No node has said that it takes writes.
    #[error("no node takes writes; check that the primary is up and reachable")]
    NotFound,
    /// Two nodes take writes on the same history.
    #[error("`{first}` and `{second}` both take writes (split brain); stop one of them")]
    SplitBrain {
        /// One of them.
        first: Arc<str>,
        /// The other one.
        second: Arc<str>,
    },
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
    /// [saw](crate::session::Session::saw). More than `applied` where it is not known which timeline it has reached.
    pub ceiling: Option<Position>,
    /// When the sample in `applied` and `ceiling` was asked for.
    pub sampled_at: Option<Moment>,
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

impl Node {
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
            sampled_at: None,
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

/// A labelled set of nodes that a workload can ask for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Group {
    /// Its name.
    pub name: Arc<str>,
    /// Where its reads go when none of its nodes can serve.
    pub fallback: GroupFallback,
    /// Its nodes serve nobody else.
    pub exclusive: bool,
}

impl Group {
    /// A group with these rules.
    #[must_use]
    pub fn new(name: &str, fallback: GroupFallback, exclusive: bool) -> Self {
        Self { name: name.into(), fallback, exclusive }
    }
}

/// The rules of choosing that come from the configuration and do not change with the nodes.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Rules {
    /// The labelled groups; at most 64.
    pub groups: Arc<[Group]>,
    /// When nodes of a farther region are used.
    pub spill: Spill,
    /// When less than this share (in percent) of the replicas that answer is left in the rotation, those
    /// that were ejected serve again: an outlier is only worth avoiding while it is one.
    pub panic_threshold: u8,
}

impl Rules {
    /// These rules.
    #[must_use]
    pub const fn new(groups: Arc<[Group]>, spill: Spill, panic_threshold: u8) -> Self {
        Self { groups, spill, panic_threshold }
    }
}

/// All nodes as they were known at one moment.
#[derive(Clone, Debug)]
pub struct Topology {
    epoch: Epoch,
    nodes: Box<[Node]>,
    rules: Rules,
    primary: Result<usize, NoPrimary>,
    panicking: bool,
    /// Replicas in the rotation, whoever asks.
    serving: NodeSet,
    /// Of these, the ones that serve requests without a group.
    general: NodeSet,
    /// The nodes of each (tier, priority), in order of preference.
    ranks: Box<[Rank]>,
    /// Some node has a staleness limit, so that every read needs the time.
    timed: bool,
}

/// The nodes of one region tier and priority.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rank {
    pub(crate) tier: u8,
    pub(crate) members: NodeSet,
}

impl Topology {
    /// Assembles a topology. `primary` names the accepted primary, or says why there is none.
    ///
    /// # Panics
    /// Never: nodes beyond [`MAX_NODES`] are left out (configuration refuses them first), and a primary that is
    /// not among the nodes counts as not found.
    #[must_use]
    pub fn assemble(
        epoch: Epoch,
        mut nodes: Vec<Node>,
        primary: Result<NodeId, NoPrimary>,
        rules: Rules,
    ) -> Self {
        nodes.truncate(MAX_NODES);
        nodes.sort_by_key(|n| (n.tier, n.priority, n.id));
        let primary = primary.and_then(|id| nodes.iter().position(|n| n.id == id).ok_or(NoPrimary::NotFound));
        let mut topology = Self {
            epoch,
            nodes: nodes.into(),
            rules,
            primary,
            panicking: false,
            serving: NodeSet::EMPTY,
            general: NodeSet::EMPTY,
            ranks: Box::default(),
            timed: false,
        };
        topology.panicking = topology.is_panicking();
        let exclusive = topology.exclusive_groups();
        for (index, node) in topology.nodes.iter().enumerate() {
            if topology.standing(index).is_ok() {
                topology.serving.insert(index);
                if node.groups & exclusive == 0 {
                    topology.general.insert(index);
                }
            }
        }
        topology.ranks = topology.ranked();
        topology.timed = topology.nodes.iter().any(|n| n.max_lag.is_some());
        topology
    }

    /// The count of changes of primary so far.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// All nodes: nearest region first, then by priority.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node with this id.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.iter().find(|n| n.id == id)
    }

    /// The accepted primary, or why there is none.
    ///
    /// # Errors
    /// [`NoPrimary`] says why there is nowhere to write.
    pub fn primary(&self) -> Result<&Node, &NoPrimary> {
        self.primary_index().map(|index| &self.nodes[index])
    }

    /// The labelled groups.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.rules.groups
    }

    /// So many replicas that answer were ejected that ejection is not held against any of them.
    #[must_use]
    pub const fn panicking(&self) -> bool {
        self.panicking
    }

    /// Whether the node at `index` is a replica that stands in the rotation, whoever asks; if not, why not.
    ///
    /// # Errors
    /// The reason why it gets no reads.
    pub fn standing(&self, index: usize) -> Result<(), Rejection> {
        let node = &self.nodes[index];
        if let Some(why) = node.quarantine {
            return Err(Rejection::Quarantined(why));
        }
        if node.role != Role::Replica || self.primary == Ok(index) {
            return Err(Rejection::NotAReplica);
        }
        if node.draining {
            return Err(Rejection::Draining);
        }
        match node.health {
            HealthState::Unknown => Err(Rejection::NotSeenYet),
            HealthState::Unhealthy => Err(Rejection::Down),
            HealthState::Healthy | HealthState::Degraded if node.ejected && !self.panicking => {
                Err(Rejection::Ejected)
            }
            HealthState::Healthy | HealthState::Degraded => Ok(()),
        }
    }

    pub(crate) fn primary_index(&self) -> Result<usize, &NoPrimary> {
        match &self.primary {
            Ok(index) => Ok(*index),
            Err(why) => Err(why),
        }
    }

    pub(crate) const fn general(&self) -> NodeSet {
        self.general
    }

    pub(crate) fn ranks(&self) -> &[Rank] {
        &self.ranks
    }

    pub(crate) const fn spill(&self) -> Spill {
        self.rules.spill
    }

    pub(crate) const fn timed(&self) -> bool {
        self.timed
    }

    pub(crate) fn group(&self, name: &str) -> Option<(usize, &Group)> {
        self.rules.groups.iter().enumerate().find(|(_, group)| &*group.name == name)
    }

    /// The serving replicas of the group with this index.
    pub(crate) fn members(&self, group: usize) -> NodeSet {
        let bit = 1 << group;
        self.serving.iter().filter(|&index| self.nodes[index].groups & bit != 0).collect()
    }

    fn exclusive_groups(&self) -> u64 {
        let bits = self.rules.groups.iter().take(MAX_NODES).enumerate();
        bits.filter(|(_, group)| group.exclusive).fold(0, |bits, (index, _)| bits | 1 << index)
    }

    fn is_panicking(&self) -> bool {
        let answering = || {
            self.nodes.iter().filter(|n| {
                n.role == Role::Replica
                    && matches!(n.health, HealthState::Healthy | HealthState::Degraded)
                    && !n.draining
                    && n.quarantine.is_none()
            })
        };
        let ejected = answering().filter(|n| n.ejected).count();
        let total = answering().count();
        ejected > 0 && (total - ejected) * 100 < total * usize::from(self.rules.panic_threshold)
    }

    fn ranked(&self) -> Box<[Rank]> {
        let mut ranks: Vec<(u8, Rank)> = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            match ranks.last_mut() {
                Some((priority, rank)) if rank.tier == node.tier && *priority == node.priority => {
                    rank.members.insert(index);
                }
                _ => ranks.push((
                    node.priority,
                    Rank { tier: node.tier, members: std::iter::once(index).collect() },
                )),
            }
        }
        ranks.into_iter().map(|(_, rank)| rank).collect()
    }
}
