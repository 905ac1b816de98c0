//! Preferences, regions, priorities and groups.

use super::*;

#[test]
fn each_preference_goes_where_it_says() {
    use ReadPreference as P;
    let table = [
        // preference, usual, no replica serves, no primary
        (P::Primary, ("primary", vec![0]), ("primary", vec![0]), ("nowhere", vec![])),
        (P::PrimaryPreferred, ("primary", vec![0]), ("primary", vec![0]), ("among", vec![1, 2])),
        (P::Replica, ("among", vec![1, 2]), ("nowhere", vec![]), ("among", vec![1, 2])),
        (P::ReplicaPreferred, ("among", vec![1, 2]), ("fallback", vec![0]), ("among", vec![1, 2])),
        (P::Nearest, ("among", vec![0, 1, 2]), ("among", vec![0]), ("among", vec![1, 2])),
    ];
    let down = |node: &mut Node| node.health = HealthState::Unhealthy;
    for (preference, usual, no_replica, no_primary) in table {
        let question = prefer(preference);
        assert_eq!(Scene::new().select(&question), usual, "{preference:?}");
        assert_eq!(Scene::new().with(1, down).with(2, down).select(&question), no_replica, "{preference:?}");
        assert_eq!(Scene::new().without_primary().select(&question), no_primary, "{preference:?}");
    }
}

#[test]
fn what_only_the_primary_may_serve_goes_nowhere_else() {
    use ReadPreference as P;
    for preference in [P::Primary, P::PrimaryPreferred, P::Replica, P::ReplicaPreferred, P::Nearest] {
        let question = Question { preference, ..read(Requirement::PRIMARY) };
        assert_eq!(Scene::new().select(&question), ("primary", vec![0]));
        assert_eq!(Scene::new().without_primary().select(&question), ("nowhere", vec![]));
    }
}

#[test]
fn a_primary_that_was_tried_is_not_fallen_back_to() {
    assert_eq!(Scene::new().select(&tried(&[1, 2])), ("fallback", vec![0]));
    assert_eq!(Scene::new().select(&tried(&[0, 1, 2])), ("nowhere", vec![]));
    let primary = Question { preference: ReadPreference::Primary, ..tried(&[0]) };
    assert_eq!(Scene::new().select(&primary), ("nowhere", vec![]));
}

#[test]
fn the_first_priority_of_the_nearest_region_serves() {
    // Nodes 1 to 5: near, near spare, near, far, far spare.
    let scene = |spill| {
        Scene::new()
            .with(2, |node| node.priority = 1)
            .and(|_| {})
            .and(|node| node.tier = 1)
            .and(|node| (node.tier, node.priority) = (1, 1))
            .spill(spill)
    };
    let table: [(Spill, &[u32], &[u32]); 13] = [
        // rule, nodes that are down, who serves
        (Spill::Unavailable, &[], &[1, 3]),
        (Spill::Unavailable, &[1], &[3]),
        (Spill::Unavailable, &[1, 3], &[2]),
        (Spill::Unavailable, &[1, 2, 3], &[4]),
        (Spill::Unavailable, &[1, 2, 3, 4], &[5]),
        (Spill::Never, &[1, 3], &[2]),
        (Spill::Never, &[1, 2, 3], &[0]),
        (Spill::Below(1), &[1], &[3]),
        (Spill::Below(2), &[], &[1, 3]),
        (Spill::Below(2), &[1], &[3, 4]),
        (Spill::Below(3), &[4], &[1, 3, 5]),
        (Spill::Below(9), &[], &[1, 3, 4]),
        (Spill::Below(0), &[], &[1, 3]),
    ];
    for (spill, down, expected) in table {
        let mut scene = scene(spill);
        down.iter().for_each(|&n| scene.nodes[n as usize].health = HealthState::Unhealthy);
        assert_eq!(scene.chosen(&any()), expected, "{spill:?} without {down:?}");
    }
}

#[test]
fn near_reads_that_may_not_leave_their_region_go_to_a_far_primary() {
    let scene = Scene::new()
        .with(0, |node| node.tier = 1)
        .with(1, |node| node.tier = 1)
        .with(2, |node| node.health = HealthState::Unhealthy)
        .spill(Spill::Never);
    for preference in [ReadPreference::ReplicaPreferred, ReadPreference::Nearest] {
        assert_eq!(scene.select(&prefer(preference)), ("fallback", vec![0]), "{preference:?}");
    }
    assert_eq!(scene.select(&prefer(ReadPreference::Replica)), ("nowhere", vec![]));
}

#[test]
fn a_group_serves_its_readers_and_its_fallback_says_who_else() {
    let scene = |fallback, exclusive| {
        Scene::new()
            .group("analytics", GroupConfig::new(fallback, exclusive))
            .with(1, |node| node.groups = ANALYTICS)
    };
    use GroupFallback as F;
    let table = [
        // fallback, exclusive, asked for, asked for while the member is down, not asked for
        (F::Any, false, ("among", vec![1]), ("among", vec![2]), ("among", vec![1, 2])),
        (F::Any, true, ("among", vec![1]), ("among", vec![2]), ("among", vec![2])),
        (F::Primary, false, ("among", vec![1]), ("fallback", vec![0]), ("among", vec![1, 2])),
        (F::Primary, true, ("among", vec![1]), ("fallback", vec![0]), ("among", vec![2])),
        (F::Error, false, ("among", vec![1]), ("nowhere", vec![]), ("among", vec![1, 2])),
        (F::Error, true, ("among", vec![1]), ("nowhere", vec![]), ("among", vec![2])),
    ];
    for (fallback, exclusive, asked, down, unasked) in table {
        let scene = || scene(fallback, exclusive);
        assert_eq!(scene().select(&group("analytics")), asked, "{fallback:?} {exclusive}");
        let without = scene().with(1, |node| node.health = HealthState::Unhealthy);
        assert_eq!(without.select(&group("analytics")), down, "{fallback:?} {exclusive}");
        assert_eq!(scene().select(&any()), unasked, "{fallback:?} {exclusive}");
        assert_eq!(scene().select(&group("unheard-of")), unasked, "{fallback:?} {exclusive}");
    }
}

#[test]
fn correctness_comes_before_the_rule_of_a_group() {
    let scene = Scene::new().group("analytics", GroupConfig::new(GroupFallback::Error, true));
    let question = Question { group: Some("analytics"), ..read(Requirement::PRIMARY) };
    assert_eq!(scene.select(&question), ("primary", vec![0]), "asked for by consistency, not by the group");
}
