//! Scenes: a world with three nodes, what it is told, and what it knows and says afterwards.

use std::time::Duration;

use super::*;
use crate::config::{FailoverMode, GroupConfig, GroupFallback, NodeConfig, Percent};
use crate::position::{Lsn, PgPosition};
use crate::select::Rejection;
use crate::topology::{HealthState, Node};

mod memory;
mod nodes;
mod positions;
mod primaries;
mod promotion;
mod twins;

const A: NodeId = NodeId::new(0);
const B: NodeId = NodeId::new(1);
const C: NodeId = NodeId::new(2);
const OURS: u64 = 7;

/// `a` is configured as the primary, `b` and `c` as its replicas. Time is in milliseconds.
struct Scene {
    world: World,
    now: Moment,
    effects: Vec<Effect>,
}

impl Scene {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let mut scene =
            Self { world: World::new(config), now: Moment::from_millis(1_000), effects: Vec::new() };
        for (id, name, role) in [(A, "a", Role::Primary), (B, "b", Role::Replica), (C, "c", Role::Replica)] {
            scene.tell(Event::Joined(id, NodeSpec::new(name, role)));
        }
        scene.effects.clear();
        scene
    }

    /// Everybody has answered: `a` is the primary on timeline 1, and all are at 100.
    fn settled() -> Self {
        Self::settled_with(Config::default())
    }

    fn settled_with(config: Config) -> Self {
        let mut scene = Self::with(config);
        scene.tell(Event::Lease(true));
        scene.primary(A, 1, 100).replica(B, 1, 100).replica(C, 1, 100);
        scene.effects.clear();
        scene
    }

    /// `a` is gone and `b`, which was at 90 on timeline 1, is the primary of timeline 2; `c` was at 80.
    fn failed_over() -> Self {
        let mut scene = Self::settled();
        scene.replica(B, 1, 190).replica(C, 1, 180).silent(A, 3);
        scene.tell_promoted(B, 2, 200, 190);
        scene.effects.clear();
        scene
    }

    fn wait(&mut self, millis: u64) -> &mut Self {
        self.now = self.now + Duration::from_millis(millis);
        self
    }

    fn tell(&mut self, event: Event) -> &mut Self {
        let effects = self.world.apply(event, self.now);
        self.effects.extend(effects);
        self
    }

    fn answer(&mut self, node: NodeId, asked_at: Moment, seen: Observation) -> &mut Self {
        self.tell(Event::Answered { node, asked_at, seen })
    }

    /// It was asked a moment ago.
    fn says(&mut self, node: NodeId, seen: Observation) -> &mut Self {
        self.answer(node, self.now, seen)
    }

    fn primary(&mut self, node: NodeId, timeline: u32, lsn: u64) -> &mut Self {
        self.says(node, seen(Role::Primary, timeline, lsn, None))
    }

    /// A primary that was promoted at `switch`.
    fn tell_promoted(&mut self, node: NodeId, timeline: u32, lsn: u64, switch: u64) -> &mut Self {
        self.says(node, seen(Role::Primary, timeline, lsn, Some(switch)))
    }

    fn replica(&mut self, node: NodeId, timeline: u32, lsn: u64) -> &mut Self {
        self.says(node, seen(Role::Replica, timeline, lsn, None))
    }

    /// A replica that has lost its primary.
    fn orphan(&mut self, node: NodeId, timeline: u32, lsn: u64) -> &mut Self {
        let mut seen = seen(Role::Replica, timeline, lsn, None);
        seen.receiving = Some(false);
        self.says(node, seen)
    }

    fn silent(&mut self, node: NodeId, times: usize) -> &mut Self {
        (0..times).for_each(|_| {
            self.tell(Event::Silent { node });
        });
        self
    }

    fn faults(&mut self, node: NodeId, run: u32) -> &mut Self {
        self.tell(Event::Faulted { node, fault: Fault::Lost, run })
    }

    fn topology(&self) -> Topology {
        self.world.topology(self.now)
    }

    fn node(&self, id: NodeId) -> Node {
        self.topology().node(id).cloned().expect("the node is there")
    }

    /// The primary, or why there is none.
    fn head(&self) -> Result<NodeId, NoPrimary> {
        self.topology().primary().map(|node| node.id).map_err(Clone::clone)
    }

    fn epoch(&self) -> u64 {
        self.topology().epoch().number()
    }

    fn standing(&self, id: NodeId) -> Result<(), Rejection> {
        let topology = self.topology();
        let index = topology.nodes().iter().position(|node| node.id == id);
        topology.standing(index.expect("the node is there"))
    }

    fn staleness(&self, id: NodeId) -> Option<u128> {
        self.node(id).staleness(self.now).map(|staleness| staleness.as_millis())
    }

    fn staleness_of_both(&self) -> [Option<u128>; 2] {
        [B, C].map(|node| self.staleness(node))
    }

    /// What was reported since the last look.
    fn news(&mut self) -> Vec<String> {
        let notices = self.effects.drain(..).filter_map(|effect| match effect {
            Effect::Report(notice) => Some(notice.to_string()),
            _ => None,
        });
        notices.collect()
    }

    fn promoted(&mut self) -> Vec<NodeId> {
        let promotions = self.effects.drain(..).filter_map(|effect| match effect {
            Effect::Promote(node) => Some(node),
            _ => None,
        });
        promotions.collect()
    }

    fn asks_everybody(&mut self) -> bool {
        self.effects.drain(..).any(|effect| matches!(effect, Effect::ProbeAll))
    }
}

fn seen(role: Role, timeline: u32, lsn: u64, switch: Option<u64>) -> Observation {
    let timeline = Timeline::new(timeline);
    let log = Log::Postgres { lsn: Some(Lsn::from_u64(lsn)), timeline, switch: switch.map(Lsn::from_u64) };
    let mut seen = Observation::new(role, log);
    (seen.system, seen.receiving) = (Some(OURS), Some(role == Role::Replica));
    seen
}

/// An answer of a server of another cluster.
fn stranger(role: Role, timeline: u32) -> Observation {
    Observation { system: Some(OURS + 1), ..seen(role, timeline, 900, None) }
}

fn position(text: &str) -> Option<Position> {
    Some(Position::Postgres(text.parse::<PgPosition>().expect("a position")))
}

fn policy(mode: FailoverMode) -> Config {
    let mut config = Config::default();
    config.failover.mode = mode;
    config
}

fn split(first: &str, second: &str) -> Result<NodeId, NoPrimary> {
    Err(NoPrimary::SplitBrain { first: first.into(), second: second.into() })
}
