//! What the page is told: one frame is all that it needs to draw itself.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::connector::Connector;
use crate::journal::Told;
use crate::route::{Access, RouteReason};
use crate::router::{ClusterHealth, ClusterState, NodeHealth, Router};
use crate::tally::Step;
use crate::topology::Role;
use crate::trail::Routed;

/// The number of this schema. Fields may be added without a new one.
pub const SCHEMA: u32 = 1;

/// What the router knows at one moment, and what happened since the frame before. Names and numbers only.
///
/// The first frame of a stream (event `state`) has the last events that are kept; the following ones (event `tick`) have
/// what is new. Counts are totals: a rate is the difference of two frames over the difference of their `at_ms`. A count
/// that is smaller than before begins again: the node left and came back, or the process is another one.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Frame {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The moment of this frame: milliseconds on the router's clock, which has nothing to do with the time of day.
    pub at_ms: u64,
    /// Whether the nodes are still watched: after a shutdown nothing of this is news.
    pub watching: bool,
    /// The cluster as a whole.
    pub cluster: Cluster,
    /// The primary first, then the replicas in the order of the configuration.
    pub nodes: Vec<NodeFrame>,
    /// How often reads that must see something came to [each step](Step).
    pub causal: BTreeMap<&'static str, u64>,
    /// Where statements went since the last frame: samples, the oldest first.
    pub routes: Vec<RouteEntry>,
    /// What was told since the last frame, the oldest first.
    pub events: Vec<EventEntry>,
}

/// The cluster as a whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Cluster {
    /// Healthy, degraded or unhealthy.
    pub status: ClusterState,
    /// Whether any node can serve reads.
    pub reads: bool,
    /// Whether there is a primary that answers.
    pub writes: bool,
    /// Changes of primary so far.
    pub epoch: u64,
    /// Why there is no primary.
    pub no_primary: Option<String>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NodeFrame {
    /// `primary` or `replica`.
    pub role: &'static str,
    /// How it does.
    #[serde(flatten)]
    pub health: NodeHealth,
    /// Reads that it was given.
    pub reads: u64,
    /// Writes that it was given, and statements that need the state of a connection.
    pub writes: u64,
    /// Statements that it was given, by [reason](RouteReason). Reasons that never applied are left out.
    pub routed: BTreeMap<&'static str, u64>,
}

/// A statement that was routed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RouteEntry {
    /// Its number among those that were noted.
    pub number: u64,
    /// When, on the clock of [`Frame::at_ms`].
    pub at_ms: u64,
    /// The node.
    pub node: String,
    /// The role that the node had.
    pub role: &'static str,
    /// `read`, `write` or `session`.
    pub class: &'static str,
    /// Why it went there: a [`RouteReason`].
    pub reason: &'static str,
    /// Its consistency level, as far as it is known.
    pub level: Option<String>,
}

/// A notice.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EventEntry {
    /// Its number; a gap is what was dropped meanwhile.
    pub number: u64,
    /// When, on the clock of [`Frame::at_ms`].
    pub at_ms: u64,
    /// Its [kind](crate::world::Notice::kind).
    pub kind: &'static str,
    /// Whether somebody should have a look.
    pub warning: bool,
    /// What happened.
    pub text: String,
}

/// How far a viewer has been told.
#[derive(Debug, Default)]
pub(super) struct Seen {
    routes: u64,
    events: u64,
}

impl Frame {
    pub(super) fn next<C: Connector>(router: &Router<C>, told: &mut Seen) -> Self {
        let routes = router.recent_routes(told.routes);
        let events = router.recent_notices(told.events);
        told.routes = routes.last().map_or(told.routes, |last| last.number);
        told.events = events.last().map_or(told.events, |last| last.number);
        let ClusterHealth { status, reads, writes, epoch, primary, no_primary, replicas } = router.health();
        let primary = primary.into_iter().map(|node| NodeFrame::new(router, Role::Primary, node));
        let replicas = replicas.into_iter().map(|node| NodeFrame::new(router, Role::Replica, node));
        Self {
            schema: SCHEMA,
            at_ms: millis(router.now().as_nanos()),
            watching: router.is_watching(),
            cluster: Cluster { status, reads, writes, epoch, no_primary },
            nodes: primary.chain(replicas).collect(),
            causal: Step::ALL.into_iter().map(|step| (step.as_str(), router.counted(step))).collect(),
            routes: routes.into_iter().map(RouteEntry::from).collect(),
            events: events.into_iter().map(EventEntry::from).collect(),
        }
    }
}

impl NodeFrame {
    fn new<C: Connector>(router: &Router<C>, role: Role, health: NodeHealth) -> Self {
        let mut frame = Self { role: role.as_str(), health, reads: 0, writes: 0, routed: BTreeMap::new() };
        for reason in RouteReason::ALL {
            let count = router.routed(&frame.health.name, reason);
            match reason {
                RouteReason::Write | RouteReason::SessionState => frame.writes += count,
                _ => frame.reads += count,
            }
            if count > 0 {
                frame.routed.insert(reason.as_str(), count);
            }
        }
        frame
    }
}

impl From<Routed> for RouteEntry {
    fn from(routed: Routed) -> Self {
        Self {
            number: routed.number,
            at_ms: millis(routed.at.as_nanos()),
            node: routed.node.to_string(),
            role: routed.role.as_str(),
            class: match routed.access {
                Access::Read => "read",
                Access::Write => "write",
                Access::Session => "session",
            },
            reason: routed.reason.as_str(),
            level: routed.level.map(|level| level.to_string()),
        }
    }
}

impl From<Told> for EventEntry {
    fn from(told: Told) -> Self {
        Self {
            number: told.number,
            at_ms: millis(told.at.as_nanos()),
            kind: told.notice.kind(),
            warning: told.notice.is_warning(),
            text: told.notice.to_string(),
        }
    }
}

const fn millis(nanos: u64) -> u64 {
    nanos / 1_000_000
}
