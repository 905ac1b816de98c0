//! What the world keeps about one node.

use std::sync::Arc;
use std::time::Duration;

use super::twins::Twin;
use crate::config::{Config, NodeConfig};
use crate::engine::{Log, Observation};
use crate::health::Health;
use crate::lag::ReplicaLag;
use crate::position::{Position, Timeline};
use crate::time::Moment;
use crate::topology::{HealthState, Node, NodeId, Quarantine, Role};

/// A node as it is announced to the world.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeSpec {
    /// Its name; unique among the nodes.
    pub name: Arc<str>,
    /// Where it is, without secrets.
    pub endpoint: Arc<str>,
    /// What it is taken for until it has been seen.
    pub expected: Role,
    /// Its share of the traffic.
    pub weight: u32,
    /// How far away it is.
    pub tier: u8,
    /// 0 serves first.
    pub priority: u8,
    /// The staleness up to which it serves.
    pub max_lag: Option<Duration>,
    /// Its groups, as bits.
    pub groups: u64,
    /// It is the primary's own server under another name, so that routing can be tried with one server: whatever it
    /// says of itself, it is taken for a replica that has everything.
    pub mirror: bool,
}

impl NodeSpec {
    /// A node with this name and expected role, and everything else by default.
    #[must_use]
    pub fn new(name: &str, expected: Role) -> Self {
        Self {
            name: name.into(),
            endpoint: name.into(),
            expected,
            weight: 100,
            tier: 0,
            priority: 0,
            max_lag: None,
            groups: 0,
            mirror: false,
        }
    }

    /// The node that `node` describes within `config`.
    #[must_use]
    pub fn from_config(node: &NodeConfig, expected: Role, config: &Config) -> Self {
        let bits = node.groups.iter().filter_map(|name| super::rules::group_index(config, name));
        Self {
            name: node.name.as_str().into(),
            endpoint: node.url.endpoint().map_or_else(|| "?".into(), |endpoint| endpoint.to_string().into()),
            expected,
            weight: node.weight,
            tier: super::rules::tier_of(config, node.region.as_deref()),
            priority: node.priority,
            max_lag: config.max_lag_of(node),
            groups: bits.fold(0, |bits, index| bits | 1 << index),
            mirror: expected == Role::Replica
                && config.allow_primary_as_replica
                && node.url.same_server(&config.primary.url),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct NodeState {
    pub(super) id: NodeId,
    pub(super) spec: NodeSpec,
    pub(super) health: Health,
    pub(super) seen: Option<Observation>,
    pub(super) sampled_at: Option<Moment>,
    pub(super) applied: Option<Position>,
    /// What it may have shown at most, as far as the present history goes and as far as that can be told ...
    pub(super) ceiling: Option<Position>,
    /// ... the last time that it could be told, and when ...
    pub(super) reach: Option<(Moment, Position)>,
    /// ... and the last time that it turned out to have all of that.
    pub(super) shown: Option<(Moment, Position)>,
    /// The timelines that it was last known to be on while it was a replica, the last one first.
    pub(super) came_from: [Option<Timeline>; 2],
    /// It was a replica when it was asked at this moment.
    pub(super) standby_at: Option<Moment>,
    /// When it was last found out that it had been away, or that it had less than before.
    pub(super) steady_since: Moment,
    pub(super) lag: ReplicaLag,
    pub(super) draining: bool,
    pub(super) twin: Option<Twin>,
    /// Because of who it is, or claims to be.
    pub(super) claim_quarantine: Option<Quarantine>,
    /// Because of the history that it has applied.
    pub(super) history_quarantine: Option<Quarantine>,
}

impl NodeState {
    pub(super) const fn role(&self) -> Role {
        match &self.seen {
            Some(seen) => seen.role,
            None => self.spec.expected,
        }
    }

    /// Remembers what it has just said of itself as a replica, for the day when it is promoted.
    pub(super) fn remember_descent(&mut self) {
        let Some(seen) = self.seen.as_ref().filter(|seen| seen.role == Role::Replica) else { return };
        if let Log::Postgres { timeline: Some(timeline), .. } = seen.log
            && self.came_from[0] != Some(timeline)
        {
            self.came_from = [Some(timeline), self.came_from[0]];
        }
        self.standby_at = self.sampled_at;
    }

    /// It may be another server than before, or have other data: what it was as a replica tells nothing about where a primary
    /// comes from that turns up there.
    pub(super) const fn forget_descent(&mut self, now: Moment) {
        self.came_from = [None; 2];
        self.standby_at = None;
        self.steady_since = now;
    }

    /// The timeline that it was last known to be on before it was promoted to `new`.
    ///
    /// A server shows its new timeline before it leaves recovery, for as long as its `recovery_end_command` takes.
    pub(super) fn parent(&self, new: Timeline) -> Option<Timeline> {
        let [last, before] = self.came_from;
        if last == Some(new) { before } else { last }
    }

    /// Up to when everything in its history was the old primary's too, now that it is the primary on timeline `new`
    /// after one on `old`; `None` when it may not descend from that one.
    ///
    /// It was still a replica then, so its own commits are later, and all before are those that it shares.
    pub(super) fn descends_since(&self, old: Option<Timeline>, new: Option<Timeline>) -> Option<Moment> {
        let next = |old: Timeline| Timeline::new(old.get().saturating_add(1));
        // A replica may be further than the timeline it shows; it cannot be when the new number is the next one.
        let direct = match (old, new) {
            (None, None) => true,
            (Some(old), Some(new)) => self.parent(new) == Some(old) && next(old) == Some(new),
            (Some(_), None) | (None, Some(_)) => false,
        };
        self.standby_at.filter(|_| direct)
    }

    /// Notes a new sample: what it has applied, and what it may have shown at most.
    pub(super) fn note_sample(&mut self, at: Moment, applied: Option<Position>, ceiling: Option<Position>) {
        if let Some(applied) = &applied {
            let has = |(_, reach): &(Moment, Position)| applied.covers(reach);
            let now = ceiling.clone().map(|ceiling| (at, ceiling));
            if let Some(shown) = now.filter(has).or_else(|| self.reach.clone().filter(has)) {
                self.shown = Some(shown);
            }
        }
        if let Some(ceiling) = &ceiling {
            self.reach = Some((at, ceiling.clone()));
        }
        self.applied = applied;
        self.ceiling = ceiling;
    }

    /// Forgets what it has applied and shown.
    pub(super) fn forget_samples(&mut self) {
        (self.applied, self.ceiling, self.reach, self.shown) = (None, None, None, None);
    }

    pub(super) fn quarantine(&self) -> Option<Quarantine> {
        self.claim_quarantine.or(self.history_quarantine)
    }

    /// It is a replica that answers and is not kept away from traffic.
    pub(super) fn is_answering_replica(&self) -> bool {
        self.role() == Role::Replica
            && matches!(self.health.state(), HealthState::Healthy | HealthState::Degraded)
            && !self.draining
            && self.quarantine().is_none()
    }

    pub(super) fn facts(&self, config: &Config, is_primary: bool, now: Moment) -> Node {
        let mut node = Node::new(self.id, &self.spec.name, &self.spec.endpoint, self.role());
        node.name = Arc::clone(&self.spec.name);
        node.endpoint = Arc::clone(&self.spec.endpoint);
        node.health = self.health.state();
        node.failures = self.health.failures();
        node.ejected = self.health.is_ejected();
        node.draining = self.draining;
        node.quarantine = self.quarantine();
        node.applied.clone_from(&self.applied);
        node.ceiling.clone_from(&self.ceiling);
        node.shown.clone_from(&self.shown);
        node.sampled_at = self.sampled_at;
        node.steady_since = self.steady_since;
        node.fresh_as_of = if is_primary { self.sampled_at } else { self.lag.fresh_as_of() };
        node.lag_bytes = if is_primary { Some(0) } else { self.lag.bytes() };
        node.weight = self.health.effective_weight(self.spec.weight, &config.health, now);
        node.tier = self.spec.tier;
        node.priority = self.spec.priority;
        node.max_lag = self.spec.max_lag;
        node.groups = self.spec.groups;
        node
    }
}
