//! Reads that wait a moment for a replica to catch up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Decision, Router, is_outside};
use crate::config::ReadPreference;
use crate::connector::Connector;
use crate::route::{Access, Request, Route, RouteError, RouteReason};
use crate::select::{Ask, Rejection};
use crate::snapshot::{Common, Snapshot, Stall};
use crate::tally::Step;
use crate::topology::{NoPrimary, NodeSet, Topology};

/// Replicas whose data is this close together in age are equally worth waiting for.
const ABOUT_AS_FRESH: Duration = Duration::from_secs(1);

/// A replica that nobody waits for any more is asked whether it moves again, at most this often.
const NUDGE: Duration = Duration::from_millis(10);

impl<C: Connector> Router<C> {
    /// As [`Router::route`], but `None` where it is worth waiting ([`Router::route_patiently`]): where only the position of the
    /// replicas stands in the way, or there is no primary at present.
    #[inline]
    pub fn route_now(&self, request: &Request<'_>) -> Option<Result<Route<C::Pool>, RouteError>> {
        self.timed(|| {
            let snapshot = self.inner.shared.snapshot.load();
            let decision = self.decide(&snapshot, request);
            let hopeful = self.is_hopeful(&snapshot, request, decision, self.inner.shared.config.causal_wait);
            let waits = hopeful || self.awaits_primary(&snapshot, request, decision);
            (!waits).then(|| self.conclude(&snapshot, request, decision))
        })
    }

    /// The node for a read, with all the patience that the configuration has: `causal_wait` for a replica to catch up, and
    /// while there is no primary, and no replica has what the read must see, as long as writes wait (`write_wait`). May be
    /// dropped at any time.
    ///
    /// # Errors
    /// [`RouteError`] says for each node why it may not serve.
    pub async fn route_patiently(&self, request: &Request<'_>) -> Result<Route<C::Pool>, RouteError> {
        let shared = &self.inner.shared;
        let deadline = tokio::time::Instant::now() + shared.config.write_wait;
        let mut published = shared.published.subscribe();
        loop {
            let awaits = || {
                let snapshot = shared.snapshot.load();
                let decision = self.decide(&snapshot, request);
                self.awaits_primary(&snapshot, request, decision)
            };
            // A causal wait is for replicas that move, and would be paid again with each change here.
            if !awaits() {
                let routed = self.route_within(request, shared.config.causal_wait).await;
                if routed.is_ok() || !awaits() {
                    return routed;
                }
            }
            match tokio::time::timeout_at(deadline, published.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return self.route(request),
            }
        }
    }

    /// Whether nobody may serve a read, for want of a primary that is to be expected.
    #[inline]
    fn awaits_primary(
        &self,
        snapshot: &Snapshot<C::Pool>,
        request: &Request<'_>,
        decision: Decision,
    ) -> bool {
        let config = &self.inner.shared.config;
        let wants_primary =
            || request.preference.unwrap_or(config.read_preference) != ReadPreference::Replica;
        matches!(decision, Decision::Nowhere)
            && request.access == Access::Read
            && !config.write_wait.is_zero()
            && snapshot.topology.primary().is_err_and(NoPrimary::may_pass)
            && self.is_watching()
            && wants_primary()
    }

    /// As [`Router::route`], but where only the position of the replicas stands in the way, waits up to `patience`
    /// for one of them to catch up before it falls back.
    ///
    /// While anybody waits, a replica or two that are closest are asked for their position again and again; every
    /// answer wakes all who wait. Replicas that were waited for as long in vain and have not moved since are not waited
    /// for again. May be dropped at any time.
    ///
    /// # Errors
    /// [`RouteError`] says for each node why it may not serve.
    pub async fn route_within(
        &self,
        request: &Request<'_>,
        patience: Duration,
    ) -> Result<Route<C::Pool>, RouteError> {
        {
            let snapshot = self.inner.shared.snapshot.load();
            let decision = self.decide(&snapshot, request);
            if !self.is_hopeful(&snapshot, request, decision, patience) {
                return self.conclude(&snapshot, request, decision);
            }
        }
        let began = tokio::time::Instant::now();
        if let Some(placed) = self.placed(request, patience).await {
            let left = patience.saturating_sub(began.elapsed());
            return Box::pin(self.route_within(&placed, left)).await;
        }
        // By the very look that ended the wait: by the next one the node may be behind again.
        let Waited { snapshot, request, decision } = self.wait(request, patience).await;
        let decision = match decision {
            Decision::Node(index, RouteReason::Replica)
                if !is_outside(&snapshot.topology, &request, RouteReason::Replica) =>
            {
                Decision::Node(index, RouteReason::CaughtUp)
            }
            other => other,
        };
        self.conclude(&snapshot, &request, decision)
    }

    /// The request, once it is known where the writes ended that it must see, if that was on its way.
    async fn placed<'r>(&self, request: &Request<'r>, patience: Duration) -> Option<Request<'r>> {
        let shared = &self.inner.shared;
        let session = request.session.as_ref();
        // Somebody else's requirement is not ours to fulfil.
        request.requirement.after.filter(|after| Some(*after) == shared.unplaced_since(session))?;
        tokio::time::timeout(patience, shared.circle.all_placed(session)).await.ok()?;
        if shared.unplaced_since(session).is_some() {
            return None;
        }
        let wrote = session.unwrap_or(&shared.own).last_write()?;
        let mut placed = request.clone();
        placed.requirement.after = None;
        placed.requirement.add_covers(&wrote);
        Some(placed)
    }

    /// Waits until a replica may serve, or until nothing more is to be hoped for within `patience`.
    pub(super) async fn wait<'r>(&self, request: &Request<'r>, patience: Duration) -> Waited<'r, C::Pool> {
        let shared = &self.inner.shared;
        let began = self.now();
        let ended = |step: Step| {
            shared.tally.count(step);
            let waited = self.now().since(began);
            shared.metrics.waited(step.as_str(), waited);
            self.note_wait("no replica had what it must see", request.access, request.level, waited);
        };
        shared.tally.count(Step::Waited);
        let waiting = self.wait_on(request, patience);
        let mut request = request.clone();
        let mut published = shared.published.subscribe();
        // What was published since the decision counts as news.
        published.mark_changed();
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let news = tokio::time::timeout_at(deadline, published.changed()).await;
            let snapshot = shared.snapshot.load_full();
            // Else everything that is written meanwhile would be waited for as well.
            request.requirement.place(&snapshot.topology);
            let decision = self.decide(&snapshot, &request);
            if !self.may_improve(&snapshot, &request, decision, patience) {
                ended(match decision {
                    Decision::Node(_, reason) if !is_outside(&snapshot.topology, &request, reason) => {
                        Step::CaughtUp
                    }
                    _ => Step::GaveUp,
                });
                return Waited { snapshot, request, decision };
            }
            if !news.is_ok_and(|alive| alive.is_ok()) {
                ended(Step::GaveUp);
                let ask = self.ask(&snapshot.topology, &request);
                waiting.iter().for_each(|node| node.note_stall(&snapshot.topology, &ask, patience));
                return Waited { snapshot, request, decision };
            }
        }
    }

    /// Whether it is worth waiting. Where it is not, because there is no patience or because the replicas do not move, they
    /// are asked now and then where they are, for those who come next.
    #[inline]
    fn is_hopeful(
        &self,
        snapshot: &Snapshot<C::Pool>,
        request: &Request<'_>,
        decision: Decision,
        patience: Duration,
    ) -> bool {
        if !is_causal(&snapshot.topology, request, decision) {
            return false;
        }
        if request.requirement.after.is_some() {
            self.inner.shared.circle.wanted().note();
        }
        if !patience.is_zero() && self.may_improve(snapshot, request, decision, patience) {
            return true;
        }
        self.nudge(snapshot, request, patience);
        false
    }

    /// Whether only their positions keep replicas from serving, and they may get there within `patience`.
    pub(super) fn may_improve(
        &self,
        snapshot: &Snapshot<C::Pool>,
        request: &Request<'_>,
        decision: Decision,
        patience: Duration,
    ) -> bool {
        is_causal(&snapshot.topology, request, decision)
            && !worth_waiting(snapshot, &self.ask(&snapshot.topology, request), patience).is_empty()
    }

    /// Has those [asked](worth_asking) that can tell, until the guards are dropped.
    fn wait_on(&self, request: &Request<'_>, patience: Duration) -> Vec<Waiting> {
        let snapshot = self.inner.shared.snapshot.load();
        let topology = &*snapshot.topology;
        let ask = self.ask(topology, request);
        let asked = worth_asking(topology, &ask, worth_waiting(&snapshot, &ask, patience));
        asked.map(|index| Waiting::on(&snapshot, index)).collect()
    }

    #[cold]
    fn nudge(&self, snapshot: &Snapshot<C::Pool>, request: &Request<'_>, patience: Duration) {
        let topology = &*snapshot.topology;
        let ask = self.ask(topology, request);
        let behind = behind(topology, &ask);
        if behind.is_empty() {
            return;
        }
        // Where nobody ever waits, nobody is spared.
        if !patience.is_zero() {
            self.inner.shared.tally.count(Step::Spared);
        }
        let now = self.now();
        for index in worth_asking(topology, &ask, behind) {
            let sampled = topology.nodes()[index].sampled_at;
            if sampled.is_none_or(|sampled| now.since(sampled) >= NUDGE) {
                snapshot.members[index].common.poke.notify_one();
            }
        }
    }
}

/// Whether it is for want of a position that no replica serves, or none of the group that was asked for, as far as the decision
/// tells.
#[inline]
fn is_causal(topology: &Topology, request: &Request<'_>, decision: Decision) -> bool {
    match decision {
        Decision::Node(_, reason) => is_outside(topology, request, reason),
        Decision::Fallback(_, reason) => reason == RouteReason::ReplicasBehind,
        Decision::Nowhere => request.access == Access::Read && request.requirement.admits_replicas(),
    }
}

/// The replicas in the rotation that only their position keeps from serving.
pub(super) fn behind(topology: &Topology, ask: &Ask<'_>) -> NodeSet {
    let lacks_position = |&index: &usize| {
        let node = &topology.nodes()[index];
        !ask.tried.contains(&node.id)
            && ask.verdict(topology, index).is_err_and(|why| why.is_about_position())
    };
    ask.rotation(topology).iter().filter(lacks_position).collect()
}

/// Of the replicas that are behind, those that were not waited for as long in vain since they moved last. Where others serve
/// what a group was asked for, it is the group's members that are waited for.
fn worth_waiting<P>(snapshot: &Snapshot<P>, ask: &Ask<'_>, patience: Duration) -> NodeSet {
    let topology = &*snapshot.topology;
    let among = match ask.replicas(topology).is_empty() {
        true => ask.rotation(topology),
        false => ask.first_choice(topology),
    };
    let worth = |&index: &usize| {
        is_unplaced(topology, ask, index) || {
            let place = Stall::place(topology.nodes()[index].applied.as_ref());
            !snapshot.members[index].common.stall.is_known(place, patience)
        }
    };
    behind(topology, ask).and(among).iter().filter(worth).collect()
}

/// Whether the node waits for a sample of somebody else, and need not move itself.
fn is_unplaced(topology: &Topology, ask: &Ask<'_>, index: usize) -> bool {
    matches!(ask.verdict(topology, index), Err(Rejection::WriteUnplaced | Rejection::ReadUnplaced))
}

/// Who can tell that one of these replicas may serve: those that are closest to it, in the group that is asked for and outside,
/// the primary where a write or a read has yet to be placed, and whoever served that read.
fn worth_asking(topology: &Topology, ask: &Ask<'_>, behind: NodeSet) -> impl Iterator<Item = usize> + use<> {
    let needed = ask.requirement;
    let unplaced = needed.after.is_some() || needed.seen.is_some();
    let primary = topology.primary_index().ok().filter(|_| unplaced);
    let server = needed.seen.and_then(|seen| seen.node);
    let server = server.and_then(|id| topology.nodes().iter().position(|node| node.id == id));
    let first = ask.first_choice(topology);
    let near = promising(topology, behind.and(first)).or(promising(topology, behind.without(first)));
    near.into_iter().chain(primary).chain(server).collect::<NodeSet>().into_iter()
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

/// How a wait ended.
pub(super) struct Waited<'r, P> {
    /// What was known then.
    snapshot: Arc<Snapshot<P>>,
    /// The request that was waited for, with the position of a write that had none before.
    request: Request<'r>,
    /// Where it goes by that.
    pub(super) decision: Decision,
}

/// Keeps a node being asked for its position.
pub(super) struct Waiting {
    common: Arc<Common>,
    /// Where it stood when the wait began.
    place: u64,
}

impl Waiting {
    pub(super) fn on<P>(snapshot: &Snapshot<P>, index: usize) -> Self {
        let common = Arc::clone(&snapshot.members[index].common);
        common.waiters.fetch_add(1, Ordering::Relaxed);
        common.poke.notify_one();
        Self { common, place: Stall::place(snapshot.topology.nodes()[index].applied.as_ref()) }
    }

    /// Remembers a node that lacks something and has not moved while it was waited for.
    fn note_stall(&self, topology: &Topology, ask: &Ask<'_>, patience: Duration) {
        let Some(index) = topology.nodes().iter().position(|node| node.id == self.common.id) else { return };
        let place = Stall::place(topology.nodes()[index].applied.as_ref());
        if place == self.place && ask.verdict(topology, index).is_err() && !is_unplaced(topology, ask, index)
        {
            self.common.stall.note(place, patience);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.common.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}
