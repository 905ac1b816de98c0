//! Reads that no replica can serve as they should be served: what is tried instead of the primary, and who is told.

use super::{Decision, Router, named};
use crate::config::{CausalElse, LostWrites};
use crate::connector::Connector;
use crate::position::Position;
use crate::requirement::Requirement;
use crate::route::{Access, Request, Route, RouteError, RouteReason};
use crate::select::Selected;
use crate::snapshot::Snapshot;
use crate::tally::{Loss, Step};
use crate::topology::{NodeSet, Topology};

impl<C: Connector> Router<C> {
    /// What becomes of a read for which all replicas are behind; `Ok(None)` leaves it to the primary.
    ///
    /// # Errors
    /// As the configuration wants it.
    #[cold]
    pub(super) fn otherwise(
        &self,
        snapshot: &Snapshot<C::Pool>,
        request: &Request<'_>,
    ) -> Result<Option<Route<C::Pool>>, RouteError> {
        let (topology, shared) = (&*snapshot.topology, &self.inner.shared);
        if request.access != Access::Read || !request.requirement.admits_replicas() {
            return Ok(None);
        }
        match shared.config.causal_else {
            CausalElse::Primary => Ok(None),
            CausalElse::Stale => Ok(self.stale(snapshot, request)),
            CausalElse::Error => {
                shared.tally.count(Step::Refused);
                Err(RouteError::NotCaughtUp { rejected: named(topology, &self.ask(topology, request)) })
            }
        }
    }

    fn stale(&self, snapshot: &Snapshot<C::Pool>, request: &Request<'_>) -> Option<Route<C::Pool>> {
        let index = self.stale_node(snapshot, request)?;
        self.inner.shared.tally.count(Step::Stale);
        Some(self.enter(snapshot, index, RouteReason::Stale, request))
    }

    /// A replica that would serve, were it not for positions. Limits of staleness hold.
    pub(super) fn stale_node(&self, snapshot: &Snapshot<C::Pool>, request: &Request<'_>) -> Option<usize> {
        match self.decide(snapshot, &eased(request)) {
            Decision::Node(index, _) if snapshot.topology.primary_index() != Ok(index) => Some(index),
            Decision::Node(..) | Decision::Fallback(..) | Decision::Nowhere => None,
        }
    }

    /// All of those replicas.
    pub(super) fn stale_nodes(&self, topology: &Topology, request: &Request<'_>) -> NodeSet {
        let eased = eased(request);
        let Selected::Among(mut set) = self.ask(topology, &eased).select(topology) else {
            return NodeSet::EMPTY;
        };
        topology.primary_index().into_iter().for_each(|primary| set.remove(primary));
        set
    }

    /// A session whose write a failover has lost finds no node that has it, ever: its caller is told why, before a read
    /// that asks for the write goes to the primary.
    ///
    /// # Errors
    /// When the configuration wants it to be one.
    pub(super) fn tell_of_loss(&self, topology: &Topology, request: &Request<'_>) -> Result<(), RouteError> {
        let (Some(session), requirement) = (&request.session, &request.requirement) else { return Ok(()) };
        if !requirement.primary && requirement.covers.is_none() && requirement.after.is_none() {
            return Ok(());
        }
        let Some(history) = topology.primary().ok().and_then(|primary| primary.applied.as_ref()) else {
            return Ok(());
        };
        // A strong read names no position, and one that has waited may be from before the failover: the session knows.
        session.catch_up(topology);
        let is_kept = |position: &Option<Position>| position.as_ref().is_none_or(|own| history.covers(own));
        if is_kept(&requirement.covers) && is_kept(&session.last_write()) {
            return Ok(());
        }
        match session.lost(topology) {
            // What was merely seen is gone as well, and nobody can do anything about it.
            None => drop(session.give_up_lost(topology)),
            Some(lost) => {
                self.inner.shared.tally.count(Step::LostWrite);
                self.inner.shared.tally.count_loss(Loss::Session);
                if self.inner.shared.config.lost_writes == LostWrites::Error {
                    return Err(lost.into());
                }
                if let Some(left_out) = self.inner.shared.throttles.lost.pass(self.now()) {
                    tracing::warn!(target: "rr", left_out, "{lost}");
                }
                session.give_up_lost(topology);
            }
        }
        Ok(())
    }
}

/// The same request, as if what it must see did not matter.
fn eased<'r>(request: &Request<'r>) -> Request<'r> {
    let requirement = Requirement { covers: None, after: None, seen: None, ..request.requirement.clone() };
    Request { requirement, ..request.clone() }
}
