//! The entry: a request in, a node out.
//!
//! [`Router::route`] is the hot path: one atomic load, a few bit operations, a comparison of positions; no lock, no
//! await, no allocation, and a look at the clock only where a staleness limit applies. [`Router::route_within`] is for
//! reads that must see something recent: when no replica is known to have it, it waits a moment for one to catch up
//! before it falls back to the primary.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;

use crate::balance::{Balancer, Candidates};
use crate::budget::Budget;
use crate::config::{Config, ReadPreference};
use crate::connector::Connector;
use crate::consistency::Consistency;
use crate::monitor::{Command, Shared};
use crate::observe::{self, Observing};
use crate::route::{Access, Request, Route, RouteError, RouteReason};
use crate::select::{Ask, Rejection, Selected};
use crate::snapshot::Snapshot;
use crate::tally::{Fallback, Retried, Retry, RetryOutcome};
use crate::time::Moment;
use crate::token::KeyRing;
use crate::topology::{NodeSet, Role, Topology};
use crate::world::Notice;

mod builder;
mod deposed;
mod explain;
mod failover;
mod health;
mod jobs;
mod lent;
mod nodes;
mod otherwise;
mod outcome;
mod sessions;
mod tokens;
mod waiting;
mod watching;
mod weak;
mod writes;

pub use builder::Builder;
pub use explain::{Explanation, Statement, Verdict};
pub use failover::{Failover, NodePlan, Plan, Standing};
pub use health::{ClusterHealth, ClusterState, NodeHealth, PoolHealth};
pub use jobs::{Else, Required};
pub use tokens::Export;
use waiting::behind;
pub use weak::WeakRouter;

/// Routes statements to the nodes of one cluster. Cheap to clone; clones are the same router.
///
/// It stops when it is shut down or its last clone is dropped.
pub struct Router<C: Connector> {
    inner: Arc<Inner<C>>,
}

struct Inner<C: Connector> {
    shared: Arc<Shared<C>>,
    balancer: Arc<dyn Balancer>,
    /// For reads that fall back to the primary.
    budget: Budget,
    /// For reads that are run again.
    retries: Budget,
    /// For tokens of sessions.
    keys: KeyRing,
    /// Who is told of statements.
    observing: Option<Arc<Observing>>,
    commands: mpsc::Sender<Command>,
    stop: watch::Sender<()>,
    worker: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

/// Where a request goes.
#[derive(Clone, Copy)]
enum Decision {
    /// To this node.
    Node(usize, RouteReason),
    /// To this primary, for want of a replica.
    Fallback(usize, RouteReason),
    /// To no node.
    Nowhere,
}

impl<C: Connector> Router<C> {
    /// Begins to make a router over this driver.
    pub fn builder(connector: C) -> Builder<C> {
        Builder::new(connector)
    }

    /// The node for a statement, as far as is known at this moment.
    ///
    /// # Errors
    /// [`RouteError`] says for each node why it may not serve.
    #[inline]
    pub fn route(&self, request: &Request<'_>) -> Result<Route<C::Pool>, RouteError> {
        self.timed(|| {
            let snapshot = self.inner.shared.snapshot.load();
            self.conclude(&snapshot, request, self.decide(&snapshot, request))
        })
    }

    /// Makes a decision, and takes its time if that is due.
    #[inline]
    fn timed<T>(&self, decide: impl FnOnce() -> T) -> T {
        let metrics = &self.inner.shared.metrics;
        if !metrics.is_decision_due() {
            return decide();
        }
        let began = self.now();
        let decided = decide();
        metrics.decided(self.now().since(began));
        decided
    }

    /// The time on the router's clock, for [`Session::wrote_unplaced`](crate::Session::wrote_unplaced).
    #[must_use]
    #[inline]
    pub fn now(&self) -> Moment {
        self.inner.shared.clock.now()
    }

    /// Whether something that has failed is run again: it is, if there is `time` for it, and the budget for retries is not
    /// spent.
    pub(crate) fn may_retry(&self, what: Retried, time: bool) -> bool {
        let retries = &self.inner.retries;
        let outcome = match time {
            false => RetryOutcome::GaveUp,
            true if retries.is_unlimited() || retries.spend(self.now()) => RetryOutcome::Again,
            true => RetryOutcome::BudgetSpent,
        };
        if outcome == RetryOutcome::BudgetSpent {
            tracing::debug!(target: "rr", "a statement is not tried again: the budget (`retries.per_second`) is spent");
        }
        self.inner.shared.tally.count_retry(Retry { what, outcome });
        outcome == RetryOutcome::Again
    }

    /// What is known about the nodes.
    #[must_use]
    pub fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.inner.shared.snapshot.load().topology)
    }

    /// The configuration that it was started with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.inner.shared.config
    }

    /// The driver that it was started with.
    #[must_use]
    pub fn connector(&self) -> &C {
        &self.inner.shared.connector
    }

    /// Everything that changes from now on. A subscriber that is too slow misses the oldest.
    #[must_use]
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.inner.shared.notices.subscribe()
    }

    /// Looks at all nodes at once, now.
    pub fn probe_now(&self) {
        let snapshot = self.inner.shared.snapshot.load();
        snapshot.members.iter().for_each(|member| member.common.poke.notify_one());
    }

    /// Stops watching, and waits until no task is left. Routes that are out stay usable; new ones are decided from
    /// what was known last.
    pub async fn shutdown(&self) {
        self.inner.stop.send_replace(());
        let Some(worker) = self.inner.worker.lock().await.take() else { return };
        if let Err(error) = worker.await {
            tracing::error!(target: "rr", %error, "the monitor ended badly");
        }
    }

    /// Where a request goes as far as `snapshot` tells. Spends nothing.
    #[inline]
    fn decide(&self, snapshot: &Snapshot<C::Pool>, request: &Request<'_>) -> Decision {
        let topology = &*snapshot.topology;
        let primary = |reason| match topology.primary_index() {
            Ok(index) => Decision::Node(index, reason),
            Err(_) => Decision::Nowhere,
        };
        match request.access {
            Access::Read => {}
            Access::Write => return primary(RouteReason::Write),
            Access::Session => return primary(RouteReason::SessionState),
        }
        let ask = self.ask(topology, request);
        match ask.select(topology) {
            Selected::Among(set) => {
                let candidates = Candidates::new(topology, &snapshot.loads, set);
                let chosen = || candidates.index(self.inner.balancer.choose(&candidates, fastrand::u64(..)));
                let index = match candidates.len() {
                    1 => candidates.index(0),
                    _ => self.sticky(topology, request, set).unwrap_or_else(chosen),
                };
                Decision::Node(index, replica_reason(topology, &ask, set))
            }
            Selected::Primary(index) => Decision::Node(index, primary_reason(&ask)),
            Selected::Fallback(index) => Decision::Fallback(index, fallback_reason(topology, &ask)),
            Selected::Nowhere => Decision::Nowhere,
        }
    }

    /// The node that the request's session stays on, if it is among these.
    #[inline]
    fn sticky(&self, topology: &Topology, request: &Request<'_>, set: NodeSet) -> Option<usize> {
        let within = self.inner.shared.config.session.affinity?;
        let node = request.session.as_ref()?.sticks_to(within, self.now())?;
        set.iter().find(|&index| topology.nodes()[index].id == node)
    }

    /// Makes a decision final: a fallback spends of the budget, and nowhere is an error.
    #[inline]
    fn conclude(
        &self,
        snapshot: &Snapshot<C::Pool>,
        request: &Request<'_>,
        decision: Decision,
    ) -> Result<Route<C::Pool>, RouteError> {
        let topology = &*snapshot.topology;
        let on_replica =
            matches!(decision, Decision::Node(index, _) if topology.primary_index() != Ok(index));
        if request.session.is_some() && !on_replica {
            self.tell_of_loss(topology, request)?;
        }
        match decision {
            Decision::Node(index, reason) => Ok(self.enter(snapshot, index, reason, request)),
            Decision::Fallback(index, reason) => {
                if reason == RouteReason::ReplicasBehind
                    && let Some(route) = self.otherwise(snapshot, request)?
                {
                    return Ok(route);
                }
                let budget = &self.inner.budget;
                let served = !reason.is_fallback() || budget.is_unlimited() || budget.spend(self.now());
                if let Some(fallback) = Fallback::of(reason, served) {
                    self.inner.shared.tally.count_fallback(fallback);
                }
                if served {
                    if reason == RouteReason::ReplicasBehind {
                        self.inner.shared.tally.upgraded(request.level);
                    }
                    return Ok(self.enter(snapshot, index, reason, request));
                }
                Err(RouteError::BudgetSpent { rejected: named(topology, &self.ask(topology, request)) })
            }
            Decision::Nowhere => match topology.primary() {
                Err(why) if request.access != Access::Read => {
                    Err(RouteError::NoPrimary { epoch: topology.epoch(), why: why.clone() })
                }
                _ => {
                    let ask = self.ask(topology, request);
                    let late = !behind(topology, &ask).is_empty();
                    let other = if late { self.otherwise(snapshot, request)? } else { None };
                    other.ok_or_else(|| nowhere(topology, &ask))
                }
            },
        }
    }

    #[inline]
    fn enter(
        &self,
        snapshot: &Snapshot<C::Pool>,
        index: usize,
        reason: RouteReason,
        request: &Request<'_>,
    ) -> Route<C::Pool> {
        let member = Arc::clone(&snapshot.members[index]);
        self.inner.shared.trail.note(&member.common, member.role, request, reason);
        if let Some(session) = &request.session
            && self.inner.shared.config.session.affinity.is_some()
        {
            session.stick(member.common.id, self.now());
        }
        let route = Route::enter(member, reason, request, &snapshot.topology);
        let observing = self.inner.observing.as_ref();
        if observing.is_some() || observe::is_traced() {
            return route.watched_by(observing);
        }
        route
    }

    /// Tells of a statement that waited long for a node, now and then.
    #[cold]
    pub(crate) fn note_wait(
        &self,
        why: &'static str,
        class: Access,
        level: Option<Consistency>,
        waited: Duration,
    ) {
        let shared = &self.inner.shared;
        if shared.config.slow_route.is_some_and(|limit| waited >= limit)
            && let Some(left_out) = shared.throttles.slow.pass(self.now())
        {
            tracing::warn!(
                target: "rr", why, class = class.as_str(), level = level.map(tracing::field::display), ?waited, left_out,
                "a statement waited long for its node (`slow_route`)"
            );
        }
    }

    #[inline]
    fn ask<'r>(&self, topology: &Topology, request: &'r Request<'_>) -> Ask<'r> {
        let shared = &self.inner.shared;
        let soon = shared.clock.soon();
        let timeless = Ask::is_timeless(&request.requirement, topology, soon);
        let now = if timeless { soon } else { shared.clock.now() };
        let mut ask = Ask::new(&request.requirement, now);
        ask.preference = request.preference.unwrap_or(shared.config.read_preference);
        ask.group = request.group;
        ask.tried = request.tried;
        ask
    }
}

/// Why replicas serve. A set that was chosen for a group is either all of the group or all of the others.
#[inline]
fn replica_reason(topology: &Topology, ask: &Ask<'_>, set: NodeSet) -> RouteReason {
    if ask.preference == ReadPreference::Nearest {
        return RouteReason::Nearest;
    }
    let group = ask.group.and_then(|name| topology.group(name));
    match group {
        Some((group, _)) if set.and(topology.members(group)) == set => RouteReason::Group,
        _ => RouteReason::Replica,
    }
}

/// Whether a replica serves for this reason that does not belong to the group that was asked for.
#[inline]
fn is_outside(topology: &Topology, request: &Request<'_>, reason: RouteReason) -> bool {
    // Where there is no such group everybody is as good.
    reason == RouteReason::Replica && request.group.is_some_and(|name| topology.group(name).is_some())
}

/// Why the primary serves what asked for it.
const fn primary_reason(ask: &Ask<'_>) -> RouteReason {
    if ask.requirement.primary { RouteReason::PrimaryRequired } else { RouteReason::PrimaryPreferred }
}

/// Why the primary serves what did not ask for it.
fn fallback_reason(topology: &Topology, ask: &Ask<'_>) -> RouteReason {
    if !topology.nodes().iter().any(|node| node.role == Role::Replica) {
        return RouteReason::NoReplicas;
    }
    if behind(topology, ask).is_empty() { RouteReason::ReplicasDown } else { RouteReason::ReplicasBehind }
}

#[cold]
fn nowhere(topology: &Topology, ask: &Ask<'_>) -> RouteError {
    match topology.primary() {
        Err(why) if ask.requirement.primary => {
            RouteError::NoPrimary { epoch: topology.epoch(), why: why.clone() }
        }
        _ => RouteError::NoEligibleNode { epoch: topology.epoch(), rejected: named(topology, ask) },
    }
}

fn named(topology: &Topology, ask: &Ask<'_>) -> Vec<(Arc<str>, Rejection)> {
    let name = |id| topology.node(id).map_or_else(|| "?".into(), |node| Arc::clone(&node.name));
    ask.rejections(topology).into_iter().map(|(id, why)| (name(id), why)).collect()
}

impl<C: Connector> Clone for Router<C> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<C: Connector> fmt::Debug for Router<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topology = self.topology();
        f.debug_struct("Router")
            .field("epoch", &topology.epoch())
            .field("nodes", &topology.nodes().iter().map(|node| &*node.name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
