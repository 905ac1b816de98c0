//! Reads that wait a moment for a replica to catch up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Decision, Router};
use crate::connector::Connector;
use crate::route::{Access, Request, Route, RouteError, RouteReason};
use crate::select::Ask;
use crate::snapshot::{Common, Snapshot};
use crate::topology::{NodeSet, Topology};

/// Replicas whose data is this close together in age are equally worth waiting for.
const ABOUT_AS_FRESH: Duration = Duration::from_secs(1);

impl<C: Connector> Router<C> {
    /// As [`Router::route`], but `None` where only the position of the replicas stands in the way, so that it is worth
    /// waiting ([`Router::route_within`]).
    pub fn route_now(&self, request: &Request<'_>) -> Option<Result<Route<C::Pool>, RouteError>> {
        let snapshot = self.inner.shared.snapshot.load();
        let decision = self.decide(&snapshot, request);
        let hopeful = self.may_improve(&snapshot, request, decision);
        (!hopeful).then(|| self.conclude(&snapshot, request, decision))
    }

    /// As [`Router::route`], but where only the position of the replicas stands in the way, waits up to `patience`
    /// for one of them to catch up before it falls back.
    ///
    /// While anybody waits, a replica or two that are closest are asked for their position again and again; every
    /// answer wakes all who wait. May be dropped at any time.
    ///
    /// # Errors
    /// [`RouteError`] says for each node why it may not serve.
    pub async fn route_within(
        &self,
        request: &Request<'_>,
        patience: Duration,
    ) -> Result<Route<C::Pool>, RouteError> {
        let shared = &self.inner.shared;
        let hopeful = {
            let snapshot = shared.snapshot.load();
            let decision = self.decide(&snapshot, request);
            if patience.is_zero() || !self.may_improve(&snapshot, request, decision) {
                return self.conclude(&snapshot, request, decision);
            }
            self.wait_on(request)
        };
        let mut published = shared.published.subscribe();
        // What was published since the decision counts as news.
        published.mark_changed();
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let news = tokio::time::timeout_at(deadline, published.changed()).await;
            let snapshot = shared.snapshot.load();
            let decision = self.decide(&snapshot, request);
            if !self.may_improve(&snapshot, request, decision) {
                drop(hopeful);
                let caught_up = match decision {
                    Decision::Node(index, RouteReason::Replica) => {
                        Decision::Node(index, RouteReason::CaughtUp)
                    }
                    other => other,
                };
                return self.conclude(&snapshot, request, caught_up);
            }
            if !news.is_ok_and(|alive| alive.is_ok()) {
                drop(hopeful);
                return self.conclude(&snapshot, request, decision);
            }
        }
    }

    /// Whether only their positions keep replicas from serving.
    fn may_improve(&self, snapshot: &Snapshot<C::Pool>, request: &Request<'_>, decision: Decision) -> bool {
        match decision {
            Decision::Node(..) => false,
            Decision::Fallback(_, reason) => reason == RouteReason::ReplicasBehind,
            Decision::Nowhere => {
                request.access == Access::Read
                    && request.requirement.admits_replicas()
                    && !behind(&snapshot.topology, &self.ask(&snapshot.topology, request)).is_empty()
            }
        }
    }

    /// Has the replicas that are closest to what the read needs (and the primary, where a write or a read has yet to be placed)
    /// asked until the guards are dropped.
    fn wait_on(&self, request: &Request<'_>) -> Vec<Waiting> {
        let snapshot = self.inner.shared.snapshot.load();
        let topology = &*snapshot.topology;
        let promising = promising(topology, behind(topology, &self.ask(topology, request)));
        let needed = &request.requirement;
        let unplaced = needed.after.is_some() || needed.seen.is_some();
        let unplaced = topology.primary_index().ok().filter(|_| unplaced);
        let asked = promising.into_iter().chain(unplaced);
        asked.map(|index| Waiting::on(&snapshot.members[index].common)).collect()
    }
}

/// The replicas in the rotation that only their position keeps from serving.
pub(super) fn behind(topology: &Topology, ask: &Ask<'_>) -> NodeSet {
    let lacks_position = |&index: &usize| {
        let node = &topology.nodes()[index];
        let why = ask.verdict(topology, index).err();
        topology.standing(index).is_ok()
            && !ask.tried.contains(&node.id)
            && why.is_some_and(|why| why.is_about_position())
    };
    (0..topology.nodes().len()).filter(lacks_position).collect()
}

/// Of replicas that are behind, up to two that are worth waiting for: any of those whose data is about as fresh as the
/// freshest. Two, in case one of them has just stopped; by chance, so that not the same one gets all such reads.
fn promising(topology: &Topology, behind: NodeSet) -> NodeSet {
    let fresh = |index: usize| topology.nodes()[index].fresh_as_of;
    let freshest = behind.iter().filter_map(fresh).max();
    let about = |&index: &usize| match (fresh(index), freshest) {
        (Some(own), Some(freshest)) => freshest.since(own) < ABOUT_AS_FRESH,
        (own, freshest) => own == freshest,
    };
    let mut near: NodeSet = behind.iter().filter(about).collect();
    while near.len() > 2 {
        near.nth(fastrand::usize(..near.len())).into_iter().for_each(|index| near.remove(index));
    }
    near
}

/// Keeps a node being asked for its position.
struct Waiting {
    common: Arc<Common>,
}

impl Waiting {
    fn on(common: &Arc<Common>) -> Self {
        common.waiters.fetch_add(1, Ordering::Relaxed);
        common.poke.notify_one();
        Self { common: Arc::clone(common) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.common.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}
