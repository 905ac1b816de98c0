//! The short ways of accepting nodes say what the verdict on each node says.

use proptest::option;
use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};

use super::{NOW, Scene, limit, read};
use crate::position::{Lsn, PgPosition, Position, Timeline};
use crate::requirement::Requirement;
use crate::topology::{HealthState, Node, NodeId, Role};

/// Positions on two timelines, near one another, so that equality and order both come up.
fn positions() -> impl Strategy<Value = Position> {
    (1u32..3, 90u64..93).prop_map(|(timeline, lsn)| {
        let timeline = Timeline::new(timeline).unwrap_or(Timeline::FIRST);
        PgPosition::new(timeline, Lsn::from_u64(lsn)).into()
    })
}

proptest! {
    #[test]
    fn selection_accepts_whom_the_verdict_accepts(
        applied in prop::collection::vec((option::weighted(0.9, positions()), any::<bool>()), 1..5),
        covers in option::of(positions()),
    ) {
        let mut scene = Scene::new();
        scene.nodes.truncate(1);
        for (number, (position, stale)) in (1..).zip(applied) {
            let mut node = Node::new(NodeId::new(number), &format!("n{number}"), "h:1", Role::Replica);
            node.health = HealthState::Healthy;
            node.applied = position;
            node.max_lag = stale.then_some(limit(100));
            node.fresh_as_of = Some(NOW - limit(if number % 2 == 0 { 50 } else { 200 }));
            scene.nodes.push(node);
        }
        let topology = scene.topology();
        let question = read(Requirement { covers, ..Requirement::NONE });
        let (chosen, accepted) = question.ask(|ask| {
            let replicas = topology.general().iter();
            (ask.replicas(&topology), replicas.filter(|&index| ask.verdict(&topology, index).is_ok()).collect())
        });
        prop_assert_eq!(chosen, accepted);
    }
}
