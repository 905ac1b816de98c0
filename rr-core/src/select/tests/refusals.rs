//! Why a node is refused, and when it is not.

use super::*;
use crate::requirement::Seen;

#[test]
fn every_reason_for_a_refusal_has_its_scene() {
    let exclusive = || GroupConfig::new(GroupFallback::Any, true);
    let members_only = || GroupConfig::new(GroupFallback::Primary, false);
    let quarantine = |why| Scene::new().with(1, |node| node.quarantine = Some(why));
    let too_old = Rejection::TooStale { staleness: limit(50), limit: limit(49) };
    let scenes: Vec<(Scene, Question, u32, Rejection)> = vec![
        (Scene::new(), any(), 0, Rejection::NotAReplica),
        (Scene::new(), prefer(ReadPreference::Primary), 1, Rejection::NotThePrimary),
        (Scene::new(), read(Requirement::PRIMARY), 1, Rejection::NotThePrimary),
        (Scene::new().with(1, |n| n.health = HealthState::Unknown), any(), 1, Rejection::NotSeenYet),
        (Scene::new().with(1, |n| n.health = HealthState::Unhealthy), any(), 1, Rejection::Down),
        (Scene::new().with(1, |n| n.ejected = true), any(), 1, Rejection::Ejected),
        (Scene::new().with(1, |n| n.draining = true), any(), 1, Rejection::Draining),
        (
            quarantine(Quarantine::ForeignCluster),
            any(),
            1,
            Rejection::Quarantined(Quarantine::ForeignCluster),
        ),
        (quarantine(Quarantine::BeyondFork), any(), 1, Rejection::Quarantined(Quarantine::BeyondFork)),
        (
            quarantine(Quarantine::RivalPrimary),
            read(Requirement::PRIMARY),
            1,
            Rejection::Quarantined(Quarantine::RivalPrimary),
        ),
        (Scene::new(), tried(&[1]), 1, Rejection::AlreadyTried),
        (Scene::new().group("analytics", members_only()), group("analytics"), 1, Rejection::NotInGroup),
        (
            Scene::new().group("analytics", exclusive()).with(1, |n| n.groups = ANALYTICS),
            any(),
            1,
            Rejection::ReservedForGroup,
        ),
        (
            Scene::new().with(1, |n| n.applied = Some(at(60))),
            read(Requirement::covering(at(100))),
            1,
            Rejection::Behind { bytes: Some(40) },
        ),
        (
            Scene::new(),
            read(Requirement::covering(Position::Postgres("2:0/1".parse().unwrap()))),
            1,
            Rejection::Behind { bytes: None },
        ),
        (
            Scene::new().with(1, |n| n.applied = None),
            read(Requirement::covering(at(1))),
            1,
            Rejection::PositionUnknown,
        ),
        (Scene::new(), after(9_981), 1, Rejection::WriteUnplaced),
        (
            Scene::new().with(1, |n| n.applied = Some(at(90))),
            after(9_980),
            1,
            Rejection::Behind { bytes: Some(10) },
        ),
        (Scene::new(), read(Requirement::within(limit(49))), 1, too_old),
        (Scene::new().with(1, |n| n.max_lag = Some(limit(49))), any(), 1, too_old),
        (
            Scene::new().with(1, |n| n.fresh_as_of = None),
            read(Requirement::within(limit(60_000))),
            1,
            Rejection::StalenessUnknown,
        ),
        (Scene::new().with(1, |n| n.priority = 1), any(), 1, Rejection::Spare),
        (Scene::new().with(1, |n| n.tier = 1), any(), 1, Rejection::Spare),
        (Scene::new().with(1, |n| n.tier = 1).spill(Spill::Never), any(), 1, Rejection::OtherRegion),
    ];
    for (number, (scene, question, node, expected)) in scenes.into_iter().enumerate() {
        assert_eq!(scene.refused(&question, node), Some(expected), "scene {number}");
        assert!(!expected.to_string().is_empty());
    }
}

#[test]
fn a_replica_that_fulfils_the_requirement_to_the_byte_and_the_moment_serves() {
    for question in [
        any(),
        read(Requirement::covering(at(100))),
        after(9_980),
        read(Requirement::within(limit(50))),
        tried(&[2]),
    ] {
        assert_eq!(Scene::new().refused(&question, 1), None);
    }
}

#[test]
fn a_stricter_or_a_looser_limit_of_the_request_replaces_the_nodes_own() {
    let scene = || Scene::new().with(1, |node| node.max_lag = Some(limit(10)));
    assert_eq!(scene().chosen(&any()), [2]);
    assert_eq!(scene().chosen(&read(Requirement::within(limit(60)))), [1, 2]);
    assert_eq!(scene().chosen(&read(Requirement::within(limit(20)))), [0], "nobody else is fresh enough");
}

#[test]
fn the_time_is_needed_only_where_something_depends_on_it() {
    let plain = Scene::new().topology();
    let with_limit = |own| Scene::new().with(1, |node| node.max_lag = Some(limit(own))).topology();
    assert!(Ask::is_timeless(&Requirement::NONE, &plain, NOW));
    assert!(
        Ask::is_timeless(&Requirement::NONE, &with_limit(60), NOW),
        "fresh enough whatever the exact time"
    );
    assert!(!Ask::is_timeless(&Requirement::NONE, &with_limit(10), NOW));
    assert!(!Ask::is_timeless(&Requirement::within(limit(1)), &plain, NOW));
}

#[test]
fn panic_brings_back_the_ejected_and_nobody_else() {
    let scene = |threshold| {
        let mut scene = Scene::new()
            .with(1, |node| node.ejected = true)
            .with(2, |node| node.ejected = true)
            .and(|node| node.health = HealthState::Unhealthy)
            .and(|node| (node.ejected, node.quarantine) = (true, Some(Quarantine::BeyondFork)));
        scene.panic_threshold = threshold;
        scene
    };
    assert_eq!(scene(1).chosen(&any()), [1, 2]);
    assert_eq!(scene(0).chosen(&any()), [0], "never");
}

#[test]
fn every_verdict_of_a_session_is_served_by_who_has_it() {
    let session = Session::new();
    session.wrote(&at(90));
    session.saw(&at(95));
    let scene = || Scene::new().with(1, |node| node.applied = Some(at(92)));
    let table = [
        (Consistency::Eventual, vec![1, 2]),
        (Consistency::ReadAfterWrite, vec![1, 2]),
        (Consistency::Session, vec![2]),
        (Consistency::Strong, vec![0]),
    ];
    for (level, expected) in table {
        assert_eq!(scene().chosen(&read(session.requirement(level))), expected, "{level}");
    }
}

#[test]
fn a_read_is_followed_by_whoever_provably_has_what_it_saw() {
    let seen = |node, millis| Requirement {
        seen: Some(Seen { node, at: Moment::from_millis(millis) }),
        ..Requirement::NONE
    };
    let (one, two) = (Some(NodeId::new(1)), Some(NodeId::new(2)));
    // All were sampled at 9.98 s, at position 100.
    let scene = Scene::new;
    assert_eq!(scene().chosen(&read(seen(one, 9_990))), [1], "it served the read itself");
    assert_eq!(scene().chosen(&read(seen(None, 9_990))), [0], "nobody was sampled since");
    assert_eq!(scene().chosen(&read(seen(one, 9_970))), [1, 2], "covers a later sample of that node");
    assert_eq!(scene().chosen(&read(seen(None, 9_970))), [1, 2], "covers a later sample of the primary");
    let ceiling = |id, lsn| move |scene: Scene| scene.with(id, move |node| node.ceiling = Some(at(lsn)));
    let ahead = || ceiling(1, 200)(ceiling(2, 100)(scene())).with(0, |node| node.applied = Some(at(300)));
    assert_eq!(ahead().chosen(&read(seen(one, 9_970))), [1], "what node 1 may have shown is not on node 2");
    assert_eq!(ahead().chosen(&read(seen(two, 9_970))), [1, 2]);
    let promoted = scene().with(1, |node| node.sampled_at = Some(Moment::from_millis(9_960)));
    assert_eq!(
        promoted.chosen(&read(seen(one, 9_970))),
        [1],
        "the primary may know nothing of what it showed"
    );
    let restarted = |id| scene().with(id, |node| node.steady_since = Moment::from_millis(9_975));
    assert_eq!(restarted(1).chosen(&read(seen(one, 9_970))), [1, 2], "the primary's sample proves it");
    let restarted = restarted(1).with(0, |node| node.applied = Some(at(300)));
    assert_eq!(restarted.chosen(&read(seen(one, 9_970))), [0], "it may have gone back in time");
}
