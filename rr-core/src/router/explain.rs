//! Why a statement would go where it would go, without running it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::{Decision, Router, fallback_reason, named, nowhere, primary_reason, replica_reason};
use crate::config::CausalElse;
use crate::connector::Connector;
use crate::consistency::Consistency;
use crate::requirement::Requirement;
use crate::route::{Access, Request, RouteError, RouteReason};
use crate::select::{Ask, Rejection, Selected};
use crate::snapshot::Snapshot;
use crate::sql::Why;
use crate::topology::{Epoch, NodeSet, Role, Topology};

/// Why a request would be routed as it would.
///
/// Printed, it is for people; serialised, it is for pages and tools.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The epoch of the topology that was asked.
    pub epoch: Epoch,
    /// What kind of statement it is.
    pub access: Access,
    /// What is known of its text, where an adapter has one.
    pub statement: Option<Statement>,
    /// Its consistency level, as far as its request told.
    pub level: Option<Consistency>,
    /// What a node must fulfil to serve it.
    pub requirement: Requirement,
    /// The reason, or why there is no node.
    pub outcome: Result<RouteReason, RouteError>,
    /// It would wait up to so long for a replica to catch up, and be `caught_up` if one did.
    pub waits: Option<Duration>,
    /// Who would serve it: one of these, as the balancer decides.
    pub candidates: Vec<Arc<str>>,
    /// It would run on the connection to this node that its handle keeps (for a transaction, a `SET`), wherever else it could.
    pub kept: Option<Arc<str>>,
    /// Every node.
    pub nodes: Vec<Verdict>,
}

/// What an explanation says about a statement's text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Statement {
    /// Its first word.
    pub operation: &'static str,
    /// Why it is what it is taken for.
    pub why: Why,
}

/// What an explanation says about one node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verdict {
    /// Its name.
    pub node: Arc<str>,
    /// Its role.
    pub role: Role,
    /// Why it was refused; `None` when it may serve.
    pub rejection: Option<Rejection>,
    /// Its share of the balancing weight, where it may serve.
    pub weight: u32,
}

impl<C: Connector> Router<C> {
    /// Says where a request would go and why, and why not to each other node. Counts nothing and spends nothing.
    #[must_use]
    pub fn explain_route(&self, request: &Request<'_>) -> Explanation {
        let snapshot = self.inner.shared.snapshot.load();
        let topology = &*snapshot.topology;
        let mut ask = self.ask(topology, request);
        if request.access != Access::Read {
            ask = Ask { requirement: &Requirement::PRIMARY, ..ask };
        }
        let selected = ask.select(topology);
        let (outcome, candidates) = self.foresee(&snapshot, request, &ask, selected);
        let rejections = ask.rejections(topology);
        let nodes = topology.nodes().iter().map(|node| Verdict {
            node: Arc::clone(&node.name),
            role: node.role,
            rejection: rejections.iter().find(|(id, _)| *id == node.id).map(|(_, why)| *why),
            weight: node.weight,
        });
        Explanation {
            epoch: topology.epoch(),
            access: request.access,
            statement: None,
            level: request.level,
            requirement: ask.requirement.clone(),
            waits: self.would_wait(&snapshot, request, selected),
            outcome,
            candidates: candidates.iter().map(|index| Arc::clone(&topology.nodes()[index].name)).collect(),
            kept: None,
            nodes: nodes.collect(),
        }
    }

    /// What would come of it without waiting, and who would serve it.
    fn foresee(
        &self,
        snapshot: &Snapshot<C::Pool>,
        request: &Request<'_>,
        ask: &Ask<'_>,
        selected: Selected,
    ) -> (Result<RouteReason, RouteError>, NodeSet) {
        let topology = &*snapshot.topology;
        let only = |index: usize| NodeSet::from_iter([index]);
        let stale = || Some(self.stale_nodes(topology, request)).filter(|nodes| !nodes.is_empty());
        let causal_else = self.inner.shared.config.causal_else;
        match (selected, request.access) {
            (Selected::Nowhere, Access::Read) if ask.requirement.admits_replicas() => {
                let late = !super::behind(topology, ask).is_empty();
                match causal_else {
                    CausalElse::Stale if late && stale().is_some() => {
                        (Ok(RouteReason::Stale), stale().unwrap_or_default())
                    }
                    CausalElse::Error if late => (Err(not_caught_up(topology, ask)), NodeSet::default()),
                    _ => (Err(nowhere(topology, ask)), NodeSet::default()),
                }
            }
            (Selected::Nowhere, _) => (Err(nowhere(topology, ask)), NodeSet::default()),
            (_, Access::Write) => (Ok(RouteReason::Write), primary(topology)),
            (_, Access::Session) => (Ok(RouteReason::SessionState), primary(topology)),
            (Selected::Among(set), Access::Read) => {
                let set = self.sticky(topology, request, set).map_or(set, only);
                (Ok(replica_reason(topology, ask, set)), set)
            }
            (Selected::Primary(index), Access::Read) => (Ok(primary_reason(ask)), only(index)),
            (Selected::Fallback(index), Access::Read) => {
                match (fallback_reason(topology, ask), causal_else) {
                    (RouteReason::ReplicasBehind, CausalElse::Stale) if stale().is_some() => {
                        (Ok(RouteReason::Stale), stale().unwrap_or_default())
                    }
                    (RouteReason::ReplicasBehind, CausalElse::Error) => {
                        (Err(not_caught_up(topology, ask)), NodeSet::default())
                    }
                    (reason, _) => (Ok(reason), only(index)),
                }
            }
        }
    }

    fn would_wait(
        &self,
        snapshot: &Snapshot<C::Pool>,
        request: &Request<'_>,
        selected: Selected,
    ) -> Option<Duration> {
        let patience = self.inner.shared.config.causal_wait;
        let (topology, ask) = (&*snapshot.topology, self.ask(&snapshot.topology, request));
        let decision = match selected {
            Selected::Fallback(index) => Decision::Fallback(index, fallback_reason(topology, &ask)),
            Selected::Nowhere => Decision::Nowhere,
            Selected::Among(set) => Decision::Node(set.nth(0)?, replica_reason(topology, &ask, set)),
            Selected::Primary(_) => return None,
        };
        let reads = request.access == Access::Read && !patience.is_zero();
        (reads && self.may_improve(snapshot, request, decision, patience)).then_some(patience)
    }
}

fn primary(topology: &Topology) -> NodeSet {
    topology.primary_index().into_iter().collect()
}

fn not_caught_up(topology: &Topology, ask: &Ask<'_>) -> RouteError {
    RouteError::NotCaughtUp { rejected: named(topology, ask) }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Ok(reason) => writeln!(f, "{} in epoch {}: {reason}", self.access.as_str(), self.epoch)?,
            Err(error) => writeln!(f, "{}: {error}", self.access.as_str())?,
        }
        if let Some(Statement { operation, why }) = &self.statement {
            writeln!(f, "  {operation}: {why}")?;
        }
        if self.access == Access::Read {
            write!(f, "  must see: {}", self.requirement)?;
            self.level.map_or(Ok(()), |level| write!(f, " ({level})"))?;
            writeln!(f)?;
        }
        for verdict in &self.nodes {
            match &verdict.rejection {
                None => writeln!(f, "  + {} ({}), weight {}", verdict.node, verdict.role, verdict.weight)?,
                Some(why) => writeln!(f, "  - {} ({}): {why}", verdict.node, verdict.role)?,
            }
        }
        if let Some(waits) = self.waits {
            writeln!(f, "  it waits up to {waits:?} for a replica to catch up, before it goes elsewhere")?;
        }
        match (&self.kept, &*self.candidates) {
            (Some(node), _) => writeln!(f, "  = {node}, whose connection the handle keeps"),
            (None, []) => Ok(()),
            (None, [node]) => writeln!(f, "  = {node}"),
            (None, nodes) => writeln!(f, "  = one of {}", nodes.join(", ")),
        }
    }
}

impl Serialize for Explanation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_struct("Explanation", 12)?;
        map.serialize_field("epoch", &self.epoch.number())?;
        map.serialize_field("class", self.access.as_str())?;
        map.serialize_field("operation", &self.statement.as_ref().map(|statement| statement.operation))?;
        map.serialize_field("why", &self.statement.as_ref().map(|statement| statement.why.to_string()))?;
        map.serialize_field("level", &self.level)?;
        map.serialize_field("requires", &self.requirement.to_string())?;
        map.serialize_field("reason", &self.outcome.as_ref().ok().map(|reason| reason.as_str()))?;
        map.serialize_field("error", &self.outcome.as_ref().err().map(ToString::to_string))?;
        map.serialize_field("waits_seconds", &self.waits.map(|waits| waits.as_secs_f64()))?;
        map.serialize_field("candidates", &self.candidates.iter().map(|name| &**name).collect::<Vec<_>>())?;
        map.serialize_field("kept", &self.kept.as_deref())?;
        map.serialize_field("nodes", &self.nodes)?;
        map.end()
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_struct("Verdict", 4)?;
        map.serialize_field("node", &*self.node)?;
        map.serialize_field("role", self.role.as_str())?;
        map.serialize_field("refused", &self.rejection.map(|why| why.to_string()))?;
        map.serialize_field("weight", &self.weight)?;
        map.end()
    }
}
