//! What readers of the router see: topology and pools, published together.
//!
//! One immutable value behind one atomic pointer. Facts and pools cannot disagree, because there is no moment at
//! which one of them is newer than the other.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use crate::config::NodeConfig;
use crate::connector::Target;
use crate::engine::Fault;
use crate::load::Load;
use crate::position::Position;
use crate::route::RouteReason;
use crate::time::{Clock, Moment};
use crate::topology::{Epoch, NodeId, Role, Topology};
use crate::world::Event;

/// Topology and pools as of one publication; members and loads are in the order of the topology's nodes.
#[derive(Debug)]
pub(crate) struct Snapshot<P> {
    pub(crate) topology: Arc<Topology>,
    pub(crate) members: Box<[Arc<Member<P>>]>,
    pub(crate) loads: Box<[Arc<Load>]>,
}

impl<P> Snapshot<P> {
    pub(crate) fn new(topology: Arc<Topology>, members: Vec<Arc<Member<P>>>) -> Self {
        let loads = members.iter().map(|member| Arc::clone(&member.common.load)).collect();
        Self { topology, members: members.into(), loads }
    }
}

/// The live things of a node in one role. A route keeps it alive, so that a pool is closed only when its last
/// user is done with it.
#[derive(Debug)]
pub(crate) struct Member<P> {
    pub(crate) common: Arc<Common>,
    pub(crate) role: Role,
    pub(crate) epoch: Epoch,
    /// Connections of the pool at most.
    pub(crate) max: u32,
    pub(crate) pool: P,
    /// What it was opened for.
    pub(crate) target: Target,
}

/// What a node keeps when its pool is replaced.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) id: NodeId,
    pub(crate) name: Arc<str>,
    /// Where it is; its labels may have changed since.
    pub(crate) node: NodeConfig,
    pub(crate) load: Arc<Load>,
    /// Statements that were not sent there for the usual reason, which its load counts.
    rare: Counters,
    pub(crate) clock: Clock,
    /// Wakes the node's probe; any number of calls before it wakes are one.
    pub(crate) poke: Notify,
    /// Something was written there, and where that ended is not known: hastens the probe a little.
    pub(crate) written: Notify,
    /// The node has left: nobody probes it any more.
    retired: AtomicBool,
    /// Reads that wait for this node to catch up.
    pub(crate) waiters: AtomicU32,
    /// What reads that waited in vain have learned about it.
    pub(crate) stall: Stall,
    /// How often it was looked at, and when last.
    pub(crate) looks: Looks,
    events: mpsc::Sender<Event>,
}

impl Common {
    pub(crate) fn new(id: NodeId, node: NodeConfig, clock: Clock, events: mpsc::Sender<Event>) -> Self {
        Self {
            id,
            name: node.name.as_str().into(),
            node,
            load: Arc::new(Load::new()),
            rare: Counters::default(),
            clock,
            poke: Notify::new(),
            written: Notify::new(),
            retired: AtomicBool::new(false),
            waiters: AtomicU32::new(0),
            stall: Stall::default(),
            looks: Looks::default(),
            events,
        }
    }

    /// Takes up a statement that is sent there for this reason; how many were before it, for the same.
    #[inline]
    pub(crate) fn enter(&self, reason: RouteReason) -> u64 {
        match reason {
            RouteReason::Replica => self.load.enter_as_usual(),
            rare => {
                self.load.enter();
                self.rare.count(rare)
            }
        }
    }

    /// How many statements were sent there for this reason.
    pub(crate) fn routed(&self, reason: RouteReason) -> u64 {
        match reason {
            RouteReason::Replica => self.load.usual(),
            rare => self.rare.get(rare),
        }
    }

    /// Ends the node's probe.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
        self.poke.notify_one();
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Whether reads wait for the node to catch up.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.waiters.load(Ordering::Relaxed) > 0
    }

    /// Tells the world about a fault. Under a storm of them the queue may be full: then the world knows already.
    pub(crate) fn report(&self, fault: Fault) {
        let run = if fault.counts() { self.load.fault() } else { 0 };
        drop(self.events.try_send(Event::Faulted { node: self.id, fault, run }));
    }
}

/// A node that did not move while somebody waited for it: whoever comes later need not find that out again.
///
/// The two words are not written together. The worst that can come of it is a read that does not wait, or waits once more.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    /// Where it stood, as a hash; 0 when it was never found standing.
    at: AtomicU64,
    /// How long it was waited for in vain, in nanoseconds.
    nanos: AtomicU64,
}

impl Stall {
    /// A number for a position.
    pub(crate) fn place(applied: Option<&Position>) -> u64 {
        let mut hasher = DefaultHasher::new();
        applied.hash(&mut hasher);
        hasher.finish() | 1
    }

    /// It stood at `place` for as long as somebody waited.
    pub(crate) fn note(&self, place: u64, patience: Duration) {
        let nanos = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
        if self.at.swap(place, Ordering::AcqRel) == place {
            self.nanos.fetch_max(nanos, Ordering::AcqRel);
        } else {
            self.nanos.store(nanos, Ordering::Release);
        }
    }

    /// Whether it has been waited for so long in vain, and stands at `place` ever since.
    pub(crate) fn is_known(&self, place: u64, patience: Duration) -> bool {
        self.at.load(Ordering::Acquire) == place
            && u128::from(self.nanos.load(Ordering::Acquire)) >= patience.as_nanos()
    }
}

/// How a look at a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LookOutcome {
    Answered,
    NoConnection,
    ConnectTimeout,
    Failed,
    Timeout,
    Unreadable,
}

impl LookOutcome {
    const COUNT: usize = 6;

    #[cfg(feature = "metrics")]
    const NAMES: [&'static str; Self::COUNT] =
        ["answered", "no_connection", "connect_timeout", "failed", "timeout", "unreadable"];
}

/// How often a node was looked at, by outcome, and when last.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    counts: [AtomicU64; LookOutcome::COUNT],
    /// 0 when it never was.
    last: AtomicU64,
}

impl Looks {
    pub(crate) fn count(&self, outcome: LookOutcome, now: Moment) {
        self.counts[outcome as usize].fetch_add(1, Ordering::Relaxed);
        self.last.store(now.as_nanos().max(1), Ordering::Relaxed);
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        LookOutcome::NAMES.into_iter().zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn last(&self) -> Option<Moment> {
        let last = self.last.load(Ordering::Relaxed);
        (last > 0).then(|| Moment::from_nanos(last))
    }
}

/// When somebody showed a sign of life.
#[derive(Debug, Default)]
pub(crate) struct Pulse(AtomicU64);

impl Pulse {
    pub(crate) fn beat(&self, now: Moment) {
        self.0.store(now.as_nanos(), Ordering::Relaxed);
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn last(&self) -> Moment {
        Moment::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// How often a node was chosen, by reason.
#[derive(Debug, Default)]
struct Counters {
    routed: [AtomicU64; RouteReason::COUNT],
}

impl Counters {
    /// Counts one more; how many there were before.
    fn count(&self, reason: RouteReason) -> u64 {
        self.routed[reason.index()].fetch_add(1, Ordering::Relaxed)
    }

    fn get(&self, reason: RouteReason) -> u64 {
        self.routed[reason.index()].load(Ordering::Relaxed)
    }
}
