//! Why a statement would go where it would go, without running it.

use std::fmt;
use std::sync::Arc;

use super::{Router, fallback_reason, named, nowhere, primary_reason, replica_reason};
use crate::config::CausalElse;
use crate::connector::Connector;
use crate::route::{Access, Request, RouteError, RouteReason};
use crate::select::{Ask, Rejection, Selected};
use crate::topology::{Epoch, Role};

/// Why a request would be routed as it would.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The epoch of the topology that was asked.
    pub epoch: Epoch,
    /// What kind of statement it is.
    pub access: Access,
    /// The reason, or why there is no node.
    pub outcome: Result<RouteReason, RouteError>,
    /// Every node.
    pub nodes: Vec<Verdict>,
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
            ask = Ask { requirement: &crate::requirement::Requirement::PRIMARY, ..ask };
        }
        let causal_else = self.inner.shared.config.causal_else;
        let outcome = match (ask.select(topology), request.access) {
            (Selected::Nowhere, _) => Err(nowhere(topology, &ask)),
            (_, Access::Write) => Ok(RouteReason::Write),
            (_, Access::Session) => Ok(RouteReason::SessionState),
            (Selected::Among(set), Access::Read) => Ok(replica_reason(topology, &ask, set)),
            (Selected::Primary(_), Access::Read) => Ok(primary_reason(&ask)),
            (Selected::Fallback(_), Access::Read) => match (fallback_reason(topology, &ask), causal_else) {
                (RouteReason::ReplicasBehind, CausalElse::Stale)
                    if self.stale_node(&snapshot, request).is_some() =>
                {
                    Ok(RouteReason::Stale)
                }
                (RouteReason::ReplicasBehind, CausalElse::Error) => {
                    Err(RouteError::NotCaughtUp { rejected: named(topology, &ask) })
                }
                (reason, _) => Ok(reason),
            },
        };
        let rejections = ask.rejections(topology);
        let nodes = topology.nodes().iter().map(|node| Verdict {
            node: Arc::clone(&node.name),
            role: node.role,
            rejection: rejections.iter().find(|(id, _)| *id == node.id).map(|(_, why)| *why),
            weight: node.weight,
        });
        Explanation { epoch: topology.epoch(), access: request.access, outcome, nodes: nodes.collect() }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Ok(reason) => writeln!(f, "{} in epoch {}: {reason}", self.access.as_str(), self.epoch)?,
            Err(error) => writeln!(f, "{}: {error}", self.access.as_str())?,
        }
        for verdict in &self.nodes {
            match &verdict.rejection {
                None => writeln!(f, "  + {} ({}), weight {}", verdict.node, verdict.role, verdict.weight)?,
                Some(why) => writeln!(f, "  - {} ({}): {why}", verdict.node, verdict.role)?,
            }
        }
        Ok(())
    }
}
