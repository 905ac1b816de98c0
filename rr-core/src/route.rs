//! The node that a request was given, for as long as it is in use.

use std::fmt;
use std::sync::Arc;

use crate::connector::Target;
use crate::consistency::Consistency;
use crate::engine::Fault;
use crate::observe::{Facts, Observing, Watched};
use crate::position::Timeline;
use crate::session::Follows;
use crate::snapshot::Member;
pub use crate::sql::StatementClass as Access;
use crate::time::Moment;
use crate::topology::{Epoch, NodeId, Role, Topology};

mod error;
#[cfg(all(test, rr_loom))]
mod models;
mod reason;
mod request;

pub use error::RouteError;
pub use reason::RouteReason;
pub use request::Request;

/// One route in so many has its latency taken: enough for an average, and the others need no clock. The first ones
/// of a node are not among them: they pay for cold connections and caches.
const LATENCY_SAMPLE: u64 = 16;

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
    /// The epoch of the decision, and the timeline that the primary had then.
    epoch: Epoch,
    timeline: Option<Timeline>,
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
        topology: &Topology,
    ) -> Self {
        let nth = member.common.enter(reason);
        let started = (nth % LATENCY_SAMPLE == LATENCY_SAMPLE - 1).then(|| member.common.clock.now());
        let under = Follows::of(request.requirement.seen);
        let (access, level) = (request.access, request.level);
        let (epoch, timeline) = (topology.epoch(), topology.timeline());
        Self { member, reason, access, level, epoch, timeline, under, started, watched: None }
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
    #[inline]
    pub fn begin(&mut self) {
        if let Some(started) = &mut self.started {
            *started = self.member.common.clock.now();
        }
    }

    /// The pool to take a connection from.
    #[must_use]
    #[inline]
    pub fn pool(&self) -> &P {
        &self.member.pool
    }

    /// What the pool was opened for.
    pub(crate) fn target(&self) -> &Target {
        &self.member.target
    }

    /// The node.
    #[must_use]
    #[inline]
    pub fn node(&self) -> NodeId {
        self.member.common.id
    }

    /// The node's name.
    #[must_use]
    #[inline]
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
    #[inline]
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
    #[inline]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The timeline that the primary had when this node was chosen.
    pub(crate) const fn timeline(&self) -> Option<Timeline> {
        self.timeline
    }

    /// The level of the read, as far as its request told.
    #[inline]
    pub(crate) const fn level(&self) -> Option<Consistency> {
        self.level
    }

    /// The last read that this node was known to be able to follow when it was chosen.
    #[inline]
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
    #[inline]
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
