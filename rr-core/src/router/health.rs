//! How the cluster does, for people and for whoever decides about traffic.

use std::time::Duration;

use serde::Serialize;

use super::Router;
use crate::connector::{Connector, PoolState};
use crate::requirement::Requirement;
use crate::select::Ask;
use crate::snapshot::Member;
use crate::time::Moment;
use crate::topology::{HealthState, Node, Topology};

/// How the cluster does as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterState {
    /// The primary answers and every replica serves.
    Healthy,
    /// Reads and writes are served, and some replica is not what it should be.
    Degraded,
    /// There is no primary that answers, so that nothing can be written; reads may go on.
    Unhealthy,
}

/// How the cluster does. Holds names and numbers, and no address.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ClusterHealth {
    /// As a whole.
    pub status: ClusterState,
    /// Whether any node can serve reads.
    pub reads: bool,
    /// Whether there is a primary that answers.
    pub writes: bool,
    /// Changes of primary so far.
    pub epoch: u64,
    /// The primary.
    pub primary: Option<NodeHealth>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_primary: Option<String>,
    /// All other nodes.
    pub replicas: Vec<NodeHealth>,
}

/// How one node does.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NodeHealth {
    /// Its name in the configuration.
    pub name: String,
    /// Whether it serves: the primary answers, a replica gets reads.
    pub healthy: bool,
    /// `unknown`, `healthy`, `degraded` or `unhealthy`, by its probes.
    pub state: String,
    /// Upper bound of the age of its data.
    pub lag_seconds: Option<f64>,
    /// Log that it lacks.
    pub lag_bytes: Option<u64>,
    /// What it has applied.
    pub position: Option<String>,
    /// Moving average of the time that it takes to answer.
    pub response_time_ms: Option<f64>,
    /// Statements on it at present.
    pub in_flight: u32,
    /// How busy its pool is.
    pub pool: Option<PoolHealth>,
    /// How long ago it was last asked and answered.
    pub last_check_seconds_ago: Option<f64>,
    /// Probes without an answer since then.
    pub consecutive_failures: u32,
    /// Why it gets no reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How busy a node's pool is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PoolHealth {
    /// Connections in use.
    pub active: u32,
    /// Connections that are open and unused.
    pub idle: u32,
    /// Connections at most.
    pub max: u32,
    /// The share in use of what may be open, from 0 to 1.
    pub utilisation: f64,
}

impl PoolHealth {
    fn of(state: PoolState, max: u32) -> Self {
        let PoolState { active, idle, .. } = state;
        Self { active, idle, max, utilisation: f64::from(active) / f64::from(max.max(1)) }
    }
}

impl<C: Connector> Router<C> {
    /// Completes with the next thing that becomes known of a node, after this call. May be dropped at any time.
    pub fn news(&self) -> impl Future<Output = ()> + use<C> {
        let mut published = self.inner.shared.published.subscribe();
        async move {
            if published.changed().await.is_err() {
                // Nothing will become known any more.
                std::future::pending().await
            }
        }
    }

    /// How the cluster does at present. Asks nobody: it is what the monitor knows.
    #[must_use]
    pub fn health(&self) -> ClusterHealth {
        let snapshot = self.inner.shared.snapshot.load();
        let topology = &*snapshot.topology;
        let now = self.now();
        let primary = topology.primary_index().ok();
        let live = |index: usize| topology.nodes()[index].health != HealthState::Unhealthy;
        let writes = primary.is_some_and(live);
        let all = topology.nodes().iter().zip(&snapshot.members).enumerate();
        let (mut replicas, mut first) = (Vec::new(), None);
        for (index, (node, member)) in all {
            let mut health = self.node(node, member, now);
            if primary == Some(index) {
                health.healthy = writes;
                first = Some(health);
            } else {
                health.reason = refusal(topology, index, now);
                health.healthy = health.reason.is_none();
                replicas.push(health);
            }
        }
        let serving = replicas.iter().filter(|replica| replica.healthy).count();
        let status = match (writes, serving == replicas.len()) {
            (false, _) => ClusterState::Unhealthy,
            (true, true) => ClusterState::Healthy,
            (true, false) => ClusterState::Degraded,
        };
        ClusterHealth {
            status,
            reads: serving > 0 || writes,
            writes,
            epoch: topology.epoch().number(),
            primary: first,
            no_primary: topology.primary().err().map(ToString::to_string),
            replicas,
        }
    }

    /// Whether the nodes are still watched: not after a shutdown, nor when the monitor has ended otherwise.
    #[must_use]
    pub fn is_watching(&self) -> bool {
        !self.inner.commands.is_closed()
    }

    fn node(&self, node: &Node, member: &Member<C::Pool>, now: Moment) -> NodeHealth {
        let load = &member.common.load;
        let latency = Some(load.latency_nanos()).filter(|nanos| *nanos > 0).map(Duration::from_nanos);
        NodeHealth {
            name: node.name.to_string(),
            healthy: true,
            state: node.health.to_string(),
            lag_seconds: node.staleness(now).map(|staleness| staleness.as_secs_f64()),
            lag_bytes: node.lag_bytes,
            position: node.applied.as_ref().map(ToString::to_string),
            response_time_ms: latency.map(|latency| latency.as_secs_f64() * 1e3),
            in_flight: load.in_flight(),
            pool: self.connector().pool_state(&member.pool).map(|state| PoolHealth::of(state, member.max)),
            last_check_seconds_ago: node.sampled_at.map(|at| now.since(at).as_secs_f64()),
            consecutive_failures: node.failures,
            reason: None,
        }
    }
}

/// Why a node would not serve a read that asks for nothing in particular.
fn refusal(topology: &Topology, index: usize, now: Moment) -> Option<String> {
    let nothing = Requirement::NONE;
    let ask = Ask::new(&nothing, now);
    let verdict = topology.standing(index).and_then(|()| ask.verdict(topology, index));
    verdict.err().map(|why| why.to_string())
}
