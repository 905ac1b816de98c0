//! A request for a node, and the node that it was given.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::config::ReadPreference;
use crate::connector::Target;
use crate::consistency::Consistency;
use crate::engine::Fault;
use crate::observe::{Facts, Observing, Watched};
use crate::requirement::Requirement;
use crate::select::Rejection;
use crate::session::{Follows, Session};
use crate::snapshot::Member;
pub use crate::sql::StatementClass as Access;
use crate::time::Moment;
use crate::token::LostWrite;
use crate::topology::{Epoch, NoPrimary, NodeId, Role};

#[cfg(all(test, rr_loom))]
mod models;

/// One route in so many has its latency taken: enough for an average, and the others need no clock. The first ones
/// of a node are not among them: they pay for cold connections and caches.
const LATENCY_SAMPLE: u64 = 16;

/// A request for a node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request<'a> {
    /// What kind of statement it is for.
    pub access: Access,
    /// What the node must fulfil.
    pub requirement: Requirement,
    /// The consistency level that the requirement was made from, for spans and logs; it decides nothing.
    pub level: Option<Consistency>,
    /// Primary or replica; `None` for what the configuration says.
    pub preference: Option<ReadPreference>,
    /// The group of nodes to ask.
    pub group: Option<&'a str>,
    /// Nodes that this statement was tried on already.
    pub tried: &'a [NodeId],
    /// The session that it works for: to stay on its node, and to tell it of a write that is lost.
    pub session: Option<Session>,
}

impl<'a> Request<'a> {
    /// A read with this requirement.
    #[must_use]
    pub const fn read(requirement: Requirement) -> Self {
        Self {
            access: Access::Read,
            requirement,
            level: None,
            preference: None,
            group: None,
            tried: &[],
            session: None,
        }
    }

    /// A write.
    #[must_use]
    pub const fn write() -> Self {
        Self::primary(Access::Write)
    }

    /// A statement that needs the state of a connection to the primary.
    #[must_use]
    pub const fn session() -> Self {
        Self::primary(Access::Session)
    }

    const fn primary(access: Access) -> Self {
        Self {
            access,
            requirement: Requirement::PRIMARY,
            level: None,
            preference: None,
            group: None,
            tried: &[],
            session: None,
        }
    }

    /// This request, on behalf of a session.
    #[must_use]
    pub fn of_session(mut self, session: &Session) -> Self {
        self.session = Some(session.clone());
        self
    }

    /// This request, saying which level its requirement was made from.
    #[must_use]
    pub const fn at_level(mut self, level: Consistency) -> Self {
        self.level = Some(level);
        self
    }

    /// This request, with a preference of its own.
    #[must_use]
    pub const fn prefer(mut self, preference: ReadPreference) -> Self {
        self.preference = Some(preference);
        self
    }

    /// This request, asking the nodes of a group.
    #[must_use]
    pub const fn in_group(mut self, group: &'a str) -> Self {
        self.group = Some(group);
        self
    }

    /// This request, avoiding nodes that were tried already.
    #[must_use]
    pub const fn avoiding(mut self, tried: &'a [NodeId]) -> Self {
        self.tried = tried;
        self
    }
}

/// Why a statement went where it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RouteReason {
    /// It writes, or may write.
    Write,
    /// It needs the state of its connection.
    SessionState,
    /// The read's consistency level or a hint asks for the primary.
    PrimaryRequired,
    /// The read preference asks for the primary.
    PrimaryPreferred,
    /// A replica that may serve.
    Replica,
    /// A replica of the group that was asked for.
    Group,
    /// The nearest node, whatever its role.
    Nearest,
    /// A replica that caught up while the read waited.
    CaughtUp,
    /// The primary: there are no replicas.
    NoReplicas,
    /// The primary: no replica stands in the rotation.
    ReplicasDown,
    /// The primary: no replica has applied what the read must see.
    ReplicasBehind,
    /// A replica that has not applied what the read must see, because the configuration prefers that to the primary.
    Stale,
}

impl RouteReason {
    /// How many reasons there are.
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::Write,
        Self::SessionState,
        Self::PrimaryRequired,
        Self::PrimaryPreferred,
        Self::Replica,
        Self::Group,
        Self::Nearest,
        Self::CaughtUp,
        Self::NoReplicas,
        Self::ReplicasDown,
        Self::ReplicasBehind,
        Self::Stale,
    ];

    /// Its name in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::SessionState => "session_state",
            Self::PrimaryRequired => "primary_required",
            Self::PrimaryPreferred => "primary_preferred",
            Self::Replica => "replica",
            Self::Group => "group",
            Self::Nearest => "nearest",
            Self::CaughtUp => "caught_up",
            Self::NoReplicas => "no_replicas",
            Self::ReplicasDown => "replicas_down",
            Self::ReplicasBehind => "replicas_behind",
            Self::Stale => "stale",
        }
    }

    /// Whether it is a read that wanted a replica and got the primary.
    #[must_use]
    pub const fn is_fallback(self) -> bool {
        matches!(self, Self::ReplicasDown | Self::ReplicasBehind)
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for RouteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// There is no node for a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// There is nowhere to write.
    #[error("epoch {epoch}: {why}")]
    NoPrimary {
        /// The epoch at that time.
        epoch: Epoch,
        /// Why there is no primary.
        why: NoPrimary,
    },
    /// As many writes wait for a primary as may.
    #[error(
        "{limit} writes wait for a primary already (`write_queue`), and this one was refused at once; \
         check the primary, and shed load until it is back"
    )]
    WriteQueueFull {
        /// How many may wait.
        limit: u32,
    },
    /// There is a primary that cannot be connected to.
    #[error(
        "`{node}` is the primary and could not be connected to within {waited:?} (`write_wait`); check the server"
    )]
    PrimaryUnreachable {
        /// The primary.
        node: Arc<str>,
        /// How long it was tried.
        waited: Duration,
    },
    /// No node may serve.
    #[error("epoch {epoch}: no node may serve this read: {}", list(.rejected))]
    NoEligibleNode {
        /// The epoch at that time.
        epoch: Epoch,
        /// Why each node was refused.
        rejected: Vec<(Arc<str>, Rejection)>,
    },
    /// The read would have to go to the primary, and the budget for that is spent.
    #[error(
        "no replica may serve this read and the budget for reads on the primary is spent \
         (`primary_reads.per_second`); check the replicas: {}", list(.rejected)
    )]
    BudgetSpent {
        /// Why each replica was refused.
        rejected: Vec<(Arc<str>, Rejection)>,
    },
    /// No replica has what the read must see, and the configuration wants it to fail then.
    #[error("no replica has what this read must see (`causal_else` is \"error\"): {}", list(.rejected))]
    NotCaughtUp {
        /// Why each node was refused.
        rejected: Vec<(Arc<str>, Rejection)>,
    },
    /// The session wrote something that a failover has lost.
    #[error(transparent)]
    LostWrite(Box<LostWrite>),
}

fn list(rejected: &[(Arc<str>, Rejection)]) -> String {
    if rejected.is_empty() {
        return "there is none".to_owned();
    }
    let each: Vec<String> = rejected.iter().map(|(node, why)| format!("`{node}` {why}")).collect();
    each.join("; ")
}

/// How a statement ended, as far as its node is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The node answered. An error that says nothing about the node (a constraint violation) is an answer.
    Answered,
    /// It met a fault.
    Failed(Fault),
}

/// A node to run one statement (or one transaction) on.
///
/// While it lives it counts as in flight on its node, and keeps the node's pool open, even when the node leaves.
/// Dropping it ends that; [`Route::finish`] says in addition how it went.
#[must_use = "a route counts as in flight until it is dropped"]
pub struct Route<P> {
    member: Arc<Member<P>>,
    reason: RouteReason,
    access: Access,
    level: Option<Consistency>,
    /// The epoch of the decision.
    epoch: Epoch,
    /// What the node was known to have when it was chosen.
    under: Follows,
    /// Set for the few routes whose latency is taken.
    started: Option<Moment>,
    /// Set while somebody watches.
    watched: Option<Box<Watched>>,
}

impl<P> Route<P> {
    #[inline]
    pub(crate) fn enter(
        member: Arc<Member<P>>,
        reason: RouteReason,
        request: &Request<'_>,
        epoch: Epoch,
    ) -> Self {
        member.common.load.enter();
        let nth = member.common.counters.count(reason);
        let started = (nth % LATENCY_SAMPLE == LATENCY_SAMPLE - 1).then(|| member.common.clock.now());
        let under = Follows::of(request.requirement.seen);
        let (access, level) = (request.access, request.level);
        Self { member, reason, access, level, epoch, under, started, watched: None }
    }

    /// This route, with a span and an observer as far as they are wanted.
    #[cold]
    pub(crate) fn watched_by(mut self, observing: Option<&Arc<Observing>>) -> Self {
        let facts = Facts {
            node: Arc::clone(self.name()),
            role: self.role(),
            class: self.access,
            reason: self.reason,
            level: self.level,
            epoch: self.epoch,
        };
        self.watched = Watched::begin(facts, &self.member.common, observing);
        self
    }

    /// Tells that a connection was taken from the pool and the statement begins: what came before (opening a
    /// connection, waiting for one) says nothing about how fast the node answers.
    pub fn begin(&mut self) {
        if let Some(started) = &mut self.started {
            *started = self.member.common.clock.now();
        }
    }

    /// The pool to take a connection from.
    #[must_use]
    pub fn pool(&self) -> &P {
        &self.member.pool
    }

    /// What the pool was opened for.
    pub(crate) fn target(&self) -> &Target {
        &self.member.target
    }

    /// The node.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.member.common.id
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.member.common.name
    }

    /// Statements in flight on the node at present, this one among them.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.member.common.load.in_flight()
    }

    /// The role that the pool was opened for.
    #[must_use]
    pub fn role(&self) -> Role {
        self.member.role
    }

    /// The epoch in which the pool was opened.
    #[must_use]
    pub fn pool_epoch(&self) -> Epoch {
        self.member.epoch
    }

    /// The epoch in which this node was chosen.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The level of the read, as far as its request told.
    pub(crate) const fn level(&self) -> Option<Consistency> {
        self.level
    }

    /// The last read that this node was known to be able to follow when it was chosen.
    pub(crate) const fn under(&self) -> Follows {
        self.under
    }

    /// Why this node was chosen.
    #[must_use]
    pub const fn reason(&self) -> RouteReason {
        self.reason
    }

    /// The statement's span, at DEBUG, by OpenTelemetry's conventions for databases. It ends with the route; a disabled one
    /// where nobody wants it.
    #[must_use]
    pub fn span(&self) -> tracing::Span {
        self.watched.as_ref().map_or_else(tracing::Span::none, |watched| watched.span().clone())
    }

    /// Tells what is run, for the span, which takes no more of it than its first word.
    #[inline]
    pub fn runs(&self, sql: &str) {
        if let Some(watched) = &self.watched {
            watched.runs(sql);
        }
    }

    /// Tells that the server has answered with this error (its SQLSTATE), for the span. Faults of the node need not be told:
    /// [`finish`](Self::finish) does.
    #[inline]
    pub fn failed(&self, code: &str) {
        if let Some(watched) = &self.watched {
            watched.failed(code);
        }
    }

    /// Ends it, and tells the node's load and health how it went.
    pub fn finish(mut self, outcome: Outcome) {
        let watched = self.watched.take();
        let common = &self.member.common;
        if let Some(watched) = watched {
            watched.end(Some(outcome), common.clock);
        }
        match outcome {
            Outcome::Answered => {
                common.load.success();
                if let Some(started) = self.started {
                    common.load.observe(common.clock.now().since(started));
                }
            }
            Outcome::Failed(fault) => {
                tracing::debug!(node = &*common.name, %fault, reason = %self.reason, "statement met a fault");
                common.report(fault);
            }
        }
    }
}

impl<P> Drop for Route<P> {
    fn drop(&mut self) {
        self.member.common.load.leave();
        if let Some(watched) = self.watched.take() {
            watched.end(None, self.member.common.clock);
        }
    }
}

impl<P> fmt::Debug for Route<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("node", &self.member.common.name)
            .field("role", &self.member.role)
            .field("reason", &self.reason)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl From<LostWrite> for RouteError {
    /// Boxed: every route is handed over beside the room for its error.
    fn from(lost: LostWrite) -> Self {
        Self::LostWrite(Box::new(lost))
    }
}
