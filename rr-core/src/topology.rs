//! What is known about the nodes: pure data, published as a whole and never changed in place.
//!
//! A [`Topology`] is what [`World`](crate::world::World) knew at one moment. Whatever can be decided without
//! looking at a request is decided once, when it is assembled: which replicas stand in the rotation at all
//! ([`Topology::standing`] gives the reason for each one that does not), in which order regions and
//! priorities come, which groups they form. What is left for a request is a few bit operations and the
//! comparison of positions ([`select`](crate::select)).

use std::sync::Arc;
use std::time::Duration;

use crate::config::{GroupFallback, Spill};
use crate::position::{Lsn, PgPosition, Position, Timeline};
use crate::select::Rejection;
use crate::time::Moment;

mod former;
mod node;
mod set;

pub(crate) use former::{Former, Formers, is_anywhere, was_anywhere};
pub use node::{Epoch, HealthState, Node, NodeId, Quarantine, Role, State};
pub use set::{Members, NodeSet};

/// The most nodes that one topology can hold (one bit each in a [`NodeSet`]).
pub const MAX_NODES: usize = 64;

/// Why there is nowhere to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoPrimary {
    /// No node takes writes, or only nodes that must not be written to.
    #[error(
        "no node that may be written to takes writes; check that the primary is up and reachable, and why nodes are quarantined"
    )]
    NotFound,
    /// Two nodes take writes on the same history.
    #[error("`{first}` and `{second}` both take writes (split brain); stop one of them")]
    SplitBrain {
        /// One of them.
        first: Arc<str>,
        /// The other one.
        second: Arc<str>,
    },
    /// Another node is about to be the primary, and writes are held until then.
    #[error("`{to}` is about to take over; writes wait until it has")]
    SwitchingOver {
        /// Who takes over.
        to: Arc<str>,
    },
}

impl NoPrimary {
    /// Whether it may be over in a moment, so that it is worth waiting.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        !matches!(self, Self::SplitBrain { .. })
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
    /// The cluster's identity, once it is known.
    system: Option<u64>,
    /// The primaries before the present one.
    formers: Formers,
    /// Of the present primary, or of the last one.
    timeline: Option<Timeline>,
    /// Where that timeline began.
    began: Option<Lsn>,
    panicking: bool,
    /// Replicas in the rotation, whoever asks.
    serving: NodeSet,
    /// Of these, the ones that serve requests without a group.
    general: NodeSet,
    /// The nodes of each (tier, priority), in order of preference.
    ranks: Box<[Rank]>,
    /// Before this moment no replica in the rotation exceeds its own staleness limit.
    fresh_until: Moment,
    /// The least that each replica in the rotation has applied, as one word; 0 where no word says it.
    common_head: u64,
    /// What selection looks at first, a few words per node instead of a few cache lines.
    hot: Box<[Hot]>,
}

/// What is enough to accept a node in nearly all cases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hot {
    /// Head of the applied position as one word; 0 where it has none.
    pub(crate) head: u64,
    /// By its own limit the node's data is fresh enough before this moment.
    pub(crate) fresh_until: Moment,
}

impl Hot {
    fn of(node: &Node) -> Self {
        let head = match &node.applied {
            Some(Position::Postgres(position)) => position.head_word().unwrap_or(0),
            Some(_) | None => 0,
        };
        let fresh_until = match (node.max_lag, node.fresh_as_of) {
            (None, _) => Moment::MAX,
            (Some(limit), Some(fresh)) => fresh + limit + Duration::from_nanos(1),
            (Some(_), None) => Moment::ORIGIN,
        };
        Self { head, fresh_until }
    }
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
            system: None,
            formers: Formers::default(),
            timeline: None,
            began: None,
            panicking: false,
            serving: NodeSet::EMPTY,
            general: NodeSet::EMPTY,
            ranks: Box::default(),
            fresh_until: Moment::MAX,
            common_head: 0,
            hot: Box::default(),
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
        topology.hot = topology.nodes.iter().map(Hot::of).collect();
        let serving = || topology.serving.iter().map(|index| topology.hot[index]);
        topology.fresh_until = serving().map(|hot| hot.fresh_until).min().unwrap_or(Moment::MAX);
        let (least, most) = (serving().map(|hot| hot.head).min(), serving().map(|hot| hot.head).max());
        let on_one_timeline =
            least.zip(most).filter(|&(least, most)| PgPosition::on_one_timeline(least, most));
        topology.common_head = on_one_timeline.map_or(0, |(least, _)| least);
        topology
    }

    /// This topology, after these primaries, on this timeline.
    pub(crate) fn after(mut self, formers: Formers, timeline: Option<Timeline>) -> Self {
        (self.formers, self.timeline) = (formers, timeline);
        self
    }

    /// This topology, whose timeline began here.
    pub(crate) const fn began(mut self, at: Option<Lsn>) -> Self {
        self.began = at;
        self
    }

    /// This topology, of the cluster with this identity.
    #[must_use]
    pub const fn of_system(mut self, system: Option<u64>) -> Self {
        self.system = system;
        self
    }

    /// The cluster's identity (PostgreSQL's system identifier), once it is known.
    #[must_use]
    pub const fn system(&self) -> Option<u64> {
        self.system
    }

    /// The count of changes of primary so far.
    #[inline]
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// All nodes: nearest region first, then by priority.
    #[inline]
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

    /// Where the primary was when it was asked last, and when that was.
    pub(crate) fn sample(&self) -> Option<(Moment, &Position)> {
        let primary = self.primary().ok()?;
        primary.sampled_at.zip(primary.applied.as_ref())
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

    #[inline]
    pub(crate) fn primary_index(&self) -> Result<usize, &NoPrimary> {
        match &self.primary {
            Ok(index) => Ok(*index),
            Err(why) => Err(why),
        }
    }

    #[inline]
    pub(crate) const fn general(&self) -> NodeSet {
        self.general
    }

    #[inline]
    pub(crate) fn hot(&self) -> &[Hot] {
        &self.hot
    }

    #[inline]
    pub(crate) fn ranks(&self) -> &[Rank] {
        &self.ranks
    }

    #[inline]
    pub(crate) const fn spill(&self) -> Spill {
        self.rules.spill
    }

    #[inline]
    pub(crate) const fn fresh_until(&self) -> Moment {
        self.fresh_until
    }

    /// Whatever this word covers, each replica in the rotation has.
    #[inline]
    pub(crate) const fn common_head(&self) -> u64 {
        self.common_head
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

#[cfg(test)]
mod tests;
