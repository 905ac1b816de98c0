//! Which nodes may serve a request: topology × requirement → candidates, or the reason for each refusal.
//!
//! One function decides about one node ([`Ask::verdict`]); selection runs it over the nodes, and `explain`
//! keeps what it said. So the answer to "why is my replica idle?" is by construction the reason that was used.

use crate::config::{GroupFallback, ReadPreference, Spill};
use crate::requirement::{Requirement, Seen};
use crate::time::Moment;
use crate::topology::{HealthState, Node, NodeId, NodeSet, Topology};

mod glance;
mod rejection;

use glance::Glance;
pub use rejection::Rejection;

/// A request for a node, in the terms of selection.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Ask<'a> {
    /// What the node must fulfil.
    pub requirement: &'a Requirement,
    /// Primary or replica, and what when there is none.
    pub preference: ReadPreference,
    /// The group asked for.
    pub group: Option<&'a str>,
    /// Nodes that the caller has tried already.
    pub tried: &'a [NodeId],
    /// The time of the request. Only looked at where a staleness limit applies: [`Ask::is_timeless`].
    pub now: Moment,
}

/// Where a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selected {
    /// Any of these nodes; never empty.
    Among(NodeSet),
    /// The primary, because that is what was asked for.
    Primary(usize),
    /// The primary, because no replica may serve.
    Fallback(usize),
    /// Nowhere. [`Ask::rejections`] says why.
    Nowhere,
}

impl<'a> Ask<'a> {
    /// A read of the general rotation that prefers replicas.
    #[inline]
    #[must_use]
    pub const fn new(requirement: &'a Requirement, now: Moment) -> Self {
        Self { requirement, preference: ReadPreference::ReplicaPreferred, group: None, tried: &[], now }
    }

    /// Whether a request with this requirement is answered alike at all moments before `soon`, so that nobody has to
    /// know the exact one: no replica in the rotation will have exceeded its limit by then.
    #[inline]
    #[must_use]
    pub fn is_timeless(requirement: &Requirement, topology: &Topology, soon: Moment) -> bool {
        requirement.max_lag.is_none() && soon < topology.fresh_until()
    }

    /// Selects the nodes that may serve.
    #[inline]
    #[must_use]
    pub fn select(&self, topology: &Topology) -> Selected {
        use ReadPreference as P;
        if self.requirement.primary {
            return self.primary(topology).map_or(Selected::Nowhere, Selected::Primary);
        }
        match self.preference {
            P::Primary => self.primary(topology).map_or(Selected::Nowhere, Selected::Primary),
            P::PrimaryPreferred => match (self.live_primary(topology), self.replicas(topology)) {
                (Some(primary), _) => Selected::Primary(primary),
                (None, replicas) if replicas.is_empty() => {
                    self.primary(topology).map_or(Selected::Nowhere, Selected::Primary)
                }
                (None, replicas) => Selected::Among(replicas),
            },
            P::Replica => among(self.replicas(topology)),
            P::ReplicaPreferred => {
                let replicas = self.replicas(topology);
                if !replicas.is_empty() {
                    return Selected::Among(replicas);
                }
                self.primary(topology).map_or(Selected::Nowhere, Selected::Fallback)
            }
            P::Nearest => {
                let mut willing = self.willing(topology);
                self.live_primary(topology).into_iter().for_each(|primary| willing.insert(primary));
                match (among(nearest(topology, willing)), self.primary(topology)) {
                    // Reads that may not leave their region do so for the primary, as with every other preference.
                    (Selected::Nowhere, Some(primary)) => Selected::Fallback(primary),
                    (selected, _) => selected,
                }
            }
        }
    }

    /// The replicas that may serve: nearest region and first priority among those that fulfil everything else.
    #[inline]
    #[must_use]
    pub fn replicas(&self, topology: &Topology) -> NodeSet {
        nearest(topology, self.willing(topology))
    }

    /// The reason why each node that is not selected was refused.
    ///
    /// This is the cold twin of [`Ask::select`]: it allocates, and runs the same verdicts.
    #[must_use]
    pub fn rejections(&self, topology: &Topology) -> Vec<(NodeId, Rejection)> {
        let selected = match self.select(topology) {
            Selected::Among(set) => set,
            Selected::Primary(index) | Selected::Fallback(index) => std::iter::once(index).collect(),
            Selected::Nowhere => NodeSet::EMPTY,
        };
        let wants_primary = self.requirement.primary || self.preference == ReadPreference::Primary;
        let refused = (0..topology.nodes().len()).filter(|&index| !selected.contains(index));
        let reason = |index: usize| {
            let node = &topology.nodes()[index];
            if self.tried.contains(&node.id) {
                Rejection::AlreadyTried
            } else if let Some(why) = node.quarantine {
                Rejection::Quarantined(why)
            } else if wants_primary {
                Rejection::NotThePrimary
            } else if let Err(why) = topology.standing(index) {
                why
            } else if let Some(why) = self.group_rejection(topology, index) {
                why
            } else if let Err(why) = self.verdict(topology, index) {
                why
            } else if topology.spill() == Spill::Never && node.tier > 0 {
                Rejection::OtherRegion
            } else {
                Rejection::Spare
            }
        };
        refused.map(|index| (topology.nodes()[index].id, reason(index))).collect()
    }

    /// Whether a node that stands in the rotation fulfils this request.
    ///
    /// # Errors
    /// The reason why it does not.
    pub fn verdict(&self, topology: &Topology, index: usize) -> Result<(), Rejection> {
        let node = &topology.nodes()[index];
        if let Some(needed) = &self.requirement.covers {
            match &node.applied {
                None => return Err(Rejection::PositionUnknown),
                Some(applied) if !applied.covers(needed) => {
                    return Err(Rejection::Behind { bytes: needed.lag_bytes(applied) });
                }
                Some(_) => {}
            }
        }
        if let Some(after) = self.requirement.after {
            let primary = topology.primary().map_err(|_| Rejection::WriteUnplaced)?;
            match (primary.sampled_at, &primary.applied, &node.applied) {
                (Some(at), Some(sample), Some(applied)) if at >= after => {
                    if !applied.covers(sample) {
                        return Err(Rejection::Behind { bytes: sample.lag_bytes(applied) });
                    }
                }
                _ => return Err(Rejection::WriteUnplaced),
            }
        }
        if let Some(seen) = self.requirement.seen {
            has_seen(topology, node, seen)?;
        }
        // A limit of the request replaces the node's own: it says more precisely what is wanted.
        if let Some(limit) = self.requirement.max_lag.or(node.max_lag) {
            let staleness = node.staleness(self.now).ok_or(Rejection::StalenessUnknown)?;
            if staleness > limit {
                return Err(Rejection::TooStale { staleness, limit });
            }
        }
        Ok(())
    }

    /// The replicas that fulfil the request, wherever they are.
    #[inline]
    fn willing(&self, topology: &Topology) -> NodeSet {
        if self.requirement.primary {
            return NodeSet::EMPTY;
        }
        let first = self.fulfilling(topology, self.first_choice(topology));
        if first.is_empty() && self.group.is_some() {
            return self.fulfilling(topology, self.rotation(topology));
        }
        first
    }

    /// The serving replicas that may serve this request if they fulfil it.
    pub(crate) fn rotation(&self, topology: &Topology) -> NodeSet {
        match self.group.and_then(|name| topology.group(name)) {
            Some((_, group)) if group.fallback != GroupFallback::Any => self.first_choice(topology),
            _ => self.first_choice(topology).or(topology.general()),
        }
    }

    /// Of these, the ones that come first: the members of the group that is asked for.
    #[inline]
    pub(crate) fn first_choice(&self, topology: &Topology) -> NodeSet {
        // A group that nobody belongs to: its readers are served like everybody else.
        match self.group.and_then(|name| topology.group(name)) {
            Some((index, _)) => topology.members(index),
            None => topology.general(),
        }
    }

    #[inline]
    fn fulfilling(&self, topology: &Topology, set: NodeSet) -> NodeSet {
        let mut fitting = match Glance::at(self.requirement) {
            Some(glance) => glance.accepted(topology, set, self.now),
            None => NodeSet::EMPTY,
        };
        for index in set.without(fitting) {
            if self.verdict(topology, index).is_ok() {
                fitting.insert(index);
            }
        }
        if !self.tried.is_empty() {
            fitting
                .iter()
                .filter(|&index| self.tried.contains(&topology.nodes()[index].id))
                .for_each(|index| fitting.remove(index));
        }
        fitting
    }

    /// The primary, unless it is out of the question for this request.
    #[inline]
    fn primary(&self, topology: &Topology) -> Option<usize> {
        let index = topology.primary_index().ok()?;
        let node = &topology.nodes()[index];
        if self.tried.contains(&node.id) {
            return None;
        }
        let group = self.group.and_then(|name| topology.group(name));
        let forbidden = group.is_some_and(|(_, group)| group.fallback == GroupFallback::Error);
        (!forbidden || self.requirement.primary).then_some(index)
    }

    /// The primary, where others might do as well: not while it does not answer.
    fn live_primary(&self, topology: &Topology) -> Option<usize> {
        self.primary(topology).filter(|&index| topology.nodes()[index].health != HealthState::Unhealthy)
    }

    fn group_rejection(&self, topology: &Topology, index: usize) -> Option<Rejection> {
        let Some((group, rules)) = self.group.and_then(|name| topology.group(name)) else {
            return (!topology.general().contains(index)).then_some(Rejection::ReservedForGroup);
        };
        let member = topology.members(group).contains(index);
        let general = rules.fallback == GroupFallback::Any && topology.general().contains(index);
        (!member && !general).then_some(Rejection::NotInGroup)
    }
}

/// Whether a node has what was read last: it served the read itself, or covers a later sample of whoever did. Where that one
/// cannot be asked any more, or is not the one that it was, a sample of the primary will do.
///
/// Only then: the node that served may have been promoted since it was looked at last, and a primary that is none any more
/// knows nothing of what it showed.
fn has_seen(topology: &Topology, node: &Node, seen: Seen) -> Result<(), Rejection> {
    let server = seen.node.and_then(|id| topology.node(id)).filter(|server| server.steady_since <= seen.at);
    let sample = match server {
        Some(server) if server.id == node.id => return Ok(()),
        Some(server) => server.sampled_at.zip(server.ceiling.as_ref()),
        None => topology.sample(),
    };
    match (sample, &node.applied) {
        (Some((at, sample)), Some(applied)) if at >= seen.at => match applied.covers(sample) {
            true => Ok(()),
            false => Err(Rejection::Behind { bytes: sample.lag_bytes(applied) }),
        },
        (Some((at, _)), None) if at >= seen.at => Err(Rejection::PositionUnknown),
        (Some(_) | None, _) => Err(Rejection::ReadUnplaced),
    }
}

const fn among(set: NodeSet) -> Selected {
    if set.is_empty() { Selected::Nowhere } else { Selected::Among(set) }
}

/// Of nodes that are all good enough, those that come first by region and priority.
///
/// Within a tier the first priority with any node serves. Whether the next tier is used as well is the spill
/// rule's business.
#[inline]
fn nearest(topology: &Topology, willing: NodeSet) -> NodeSet {
    let ranks = topology.ranks();
    if ranks.len() <= 1 && topology.spill() != Spill::Never {
        return willing;
    }
    let mut chosen = NodeSet::EMPTY;
    let mut tier = None;
    for rank in ranks {
        let here = rank.members.and(willing);
        if here.is_empty() || tier == Some(rank.tier) {
            continue;
        }
        let enough = match topology.spill() {
            Spill::Never if rank.tier > 0 => return chosen,
            Spill::Never | Spill::Unavailable => 1,
            Spill::Below(wanted) => usize::try_from(wanted).unwrap_or(usize::MAX).max(1),
        };
        if chosen.len() >= enough {
            return chosen;
        }
        chosen = chosen.or(here);
        tier = Some(rank.tier);
    }
    chosen
}

#[cfg(test)]
mod tests;
