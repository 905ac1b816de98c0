//! When the world orders a promotion, and what holds until it has ended.

use super::*;
use crate::failover::{Block, Stop, Task};

/// The primary is gone, and everybody confirms it. `c` has most.
fn orphaned(config: Config) -> Scene {
    let mut scene = Scene::settled_with(config);
    scene.wait(100).orphan(B, 1, 90).orphan(C, 1, 100).silent(A, 3);
    scene
}

fn automatic() -> Config {
    policy(FailoverMode::Automatic)
}

fn held(scene: &Scene) -> bool {
    matches!(scene.head(), Err(NoPrimary::SwitchingOver { .. }))
}

#[test]
fn automatic_failover_orders_one_promotion_per_cooldown() {
    let mut scene = Scene::settled_with(automatic());
    scene.wait(100).orphan(B, 1, 90).orphan(C, 1, 100).silent(A, 2);
    assert_eq!(scene.promoted(), []);
    scene.silent(A, 1);
    assert_eq!(scene.promoted(), [C], "the one that has most");
    scene.tell(Event::Promoted { sent: true, in_doubt: None });
    // Whatever became of it, nobody else is promoted on its heels.
    for _ in 0..30 {
        scene.wait(1_000).silent(A, 1).silent(C, 1).orphan(B, 1, 90);
    }
    assert_eq!(scene.promoted(), []);
    for _ in 0..31 {
        scene.wait(1_000).silent(A, 1).orphan(B, 1, 90);
    }
    assert_eq!(scene.promoted(), [B]);
}

#[test]
fn an_attempt_that_told_nobody_is_made_again_soon_and_then_less_often() {
    let mut scene = orphaned(automatic());
    let mut ordered = Vec::new();
    for second in 0..40 {
        if !scene.promoted().is_empty() {
            ordered.push(second);
            scene.tell(Event::Promoted { sent: false, in_doubt: None });
        }
        scene.wait(1_000).silent(A, 1).orphan(B, 1, 90).orphan(C, 1, 100);
    }
    assert_eq!(ordered, [0, 1, 3, 7, 15, 31]);
}

#[test]
fn while_a_promotion_is_under_way_nobody_writes_and_nobody_else_is_promoted() {
    let mut scene = orphaned(automatic());
    assert!(held(&scene));
    assert_eq!(scene.promoted(), [C]);
    // The old primary comes back, and gets nothing.
    scene.wait(100).primary(A, 1, 100).wait(100).silent(A, 9);
    assert!(held(&scene) && scene.promoted().is_empty());
    assert_eq!(scene.epoch(), 1);
    scene.tell_promoted(C, 2, 110, 100);
    assert_eq!((scene.head(), scene.epoch()), (Ok(C), 2));
    scene.tell(Event::Promoted { sent: true, in_doubt: None });
    assert_eq!(scene.head(), Ok(C));
}

#[test]
fn after_an_attempt_that_was_given_up_the_old_primary_is_written_to_again() {
    let mut scene = orphaned(automatic());
    scene.wait(100).primary(A, 1, 100);
    assert!(held(&scene));
    scene.news();
    scene.tell(Event::Promoted { sent: false, in_doubt: None });
    assert_eq!((scene.head(), scene.epoch()), (Ok(A), 1));
    assert_eq!(scene.news(), ["writes go to the same primary as before"]);
}

#[test]
fn as_long_as_a_node_may_have_taken_over_nobody_writes_and_nobody_else_is_promoted() {
    let mut scene = orphaned(automatic());
    scene.promoted();
    scene.tell(Event::Promoted { sent: true, in_doubt: Some(C) });
    for _ in 0..100 {
        scene.wait(1_000).silent(A, 1).silent(C, 1).orphan(B, 1, 90);
    }
    assert!(held(&scene) && scene.promoted().is_empty());
    assert_eq!(scene.world.decision(), &Decision::Blocked(Block::InDoubt(C)));
    let mut resolved = scene.world.clone();
    let taken_over =
        Event::Answered { node: C, asked_at: scene.now, seen: seen(Role::Primary, 2, 110, Some(100)) };
    drop(resolved.apply(taken_over, scene.now));
    assert_eq!(resolved.topology(scene.now).primary().map(|node| node.id), Ok(C));
    scene.tell(Event::Cleared);
    assert_eq!(scene.promoted(), [B]);
}

#[test]
fn a_replica_that_still_receives_holds_a_promotion_back() {
    let mut scene = Scene::settled_with(automatic());
    scene.wait(100).orphan(B, 1, 100).replica(C, 1, 100).silent(A, 9);
    assert_eq!(scene.promoted(), []);
    scene.wait(100).orphan(C, 1, 100);
    assert_eq!(scene.promoted(), [B]);
}

#[test]
fn the_witnesses_are_asked_as_soon_as_the_primary_is_silent() {
    let mut scene = Scene::settled_with(automatic());
    scene.silent(A, 1);
    let asked = scene.effects.iter().any(|effect| matches!(effect, Effect::Probe(ids) if *ids == [B, C]));
    assert!(asked);
    let mut scene = Scene::settled();
    scene.silent(A, 1);
    assert!(!scene.effects.iter().any(|effect| matches!(effect, Effect::Probe(_))), "nobody waits for that");
}

#[test]
fn without_the_lease_nobody_is_promoted() {
    let mut scene = Scene::settled_with(automatic());
    scene.tell(Event::Lease(false)).wait(100).orphan(B, 1, 100).orphan(C, 1, 100).silent(A, 9);
    assert_eq!((scene.promoted(), held(&scene)), (vec![], false));
    assert_eq!(scene.world.decision(), &Decision::Blocked(Block::NoLease));
    scene.tell(Event::Lease(true));
    assert_eq!(scene.promoted(), [B]);
}

#[test]
fn a_primary_that_was_never_seen_is_replaced_by_nobody() {
    let mut scene = Scene::with(automatic());
    scene.tell(Event::Lease(true)).orphan(B, 1, 100).orphan(C, 1, 100).silent(A, 9);
    scene.wait(1_000).orphan(B, 1, 100).orphan(C, 1, 100).silent(A, 9);
    assert_eq!(scene.promoted(), []);
}

#[test]
fn the_other_modes_promote_nobody() {
    for mode in [FailoverMode::Follow, FailoverMode::Manual, FailoverMode::Supervised] {
        let mut scene = Scene::settled_with(policy(mode));
        scene.wait(100).orphan(B, 1, 100).orphan(C, 1, 100).silent(A, 9);
        let proposed = matches!(scene.world.decision(), Decision::Propose(B));
        assert_eq!(proposed, mode == FailoverMode::Supervised);
        let told = scene.effects.iter().any(|effect| matches!(effect, Effect::Propose(B)));
        assert_eq!(told, mode == FailoverMode::Supervised);
        assert_eq!(scene.promoted(), []);
    }
}

/// What is said to whoever is about to tell somebody to take over from `a`.
fn objection(scene: &Scene, told: &[NodeId], looks: &[(NodeId, Observation)]) -> Option<Stop> {
    let task = Task { from: Some(A), ..Task::default() };
    scene.world.check_head(&task, told, looks).err()
}

fn is_overtaken(stop: Option<&Stop>) -> bool {
    matches!(stop, Some(Stop::Overtaken(_)))
}

#[test]
fn nobody_takes_over_from_a_primary_that_is_back() {
    let mut scene = orphaned(automatic());
    assert_eq!(objection(&scene, &[], &[]), None);
    let looks = [(A, seen(Role::Primary, 1, 110, None))];
    assert_eq!(objection(&scene, &[], &looks), Some(Stop::PrimaryIsBack), "in the closer look");
    assert_eq!(
        objection(&scene, &[], &[(A, stranger(Role::Primary, 1))]),
        None,
        "it has another server's address"
    );
    scene.primary(A, 1, 110);
    assert_eq!(objection(&scene, &[], &[]), Some(Stop::PrimaryIsBack), "in a probe");
    let task = Task { from: Some(A), planned: true, ..Task::default() };
    assert_eq!(scene.world.check_head(&task, &[], &looks), Ok(()), "a switchover is from one that is well");
}

#[test]
fn nobody_takes_over_beside_somebody_elses_promotion() {
    let scene = orphaned(automatic());
    let looks = |seen: Observation| [(B, seen)];
    assert!(is_overtaken(objection(&scene, &[], &looks(seen(Role::Replica, 2, 90, None))).as_ref()));
    assert_eq!(objection(&scene, &[B], &looks(seen(Role::Replica, 2, 90, None))), None, "that was ours");
    assert_eq!(objection(&scene, &[], &looks(stranger(Role::Replica, 2))), None);
    // Without a promotion, by whoever removed `standby.signal`.
    assert!(is_overtaken(objection(&scene, &[], &looks(seen(Role::Primary, 1, 90, None))).as_ref()));

    let mut scene = orphaned(automatic());
    scene.orphan(B, 2, 90);
    assert!(is_overtaken(objection(&scene, &[], &[]).as_ref()), "a probe tells");
    assert_eq!(objection(&scene, &[B], &[]), None);
    let mut scene = orphaned(automatic());
    scene.tell(Event::Heard { timeline: Timeline::new(2).unwrap(), written: true });
    assert!(is_overtaken(objection(&scene, &[], &[]).as_ref()), "a token tells");
    let mut scene = orphaned(automatic());
    scene.primary(B, 1, 90);
    assert!(is_overtaken(objection(&scene, &[], &[]).as_ref()));
}

#[test]
fn a_timeline_that_nobody_came_to_the_end_of_counts_until_somebody_has_looked() {
    let mut scene = orphaned(policy(FailoverMode::Manual));
    scene.orphan(B, 2, 90).silent(B, 3);
    assert_eq!((scene.world.head(), scene.world.has_begun_timeline()), (None, true));
    assert_eq!(scene.node(C).applied, None, "it may have followed");
    scene.tell(Event::Cleared);
    assert_eq!((scene.world.head(), scene.world.has_begun_timeline()), (Some((A, false)), false));
    assert_eq!(scene.node(C).applied, position("1:0/64"));
    // What it was asked before does not count.
    scene.wait(10).answer(B, Moment::from_millis(1), seen(Role::Replica, 2, 90, None));
    assert_eq!(scene.world.head(), Some((A, false)));
    // Unless it is there all the same.
    scene.wait(10).orphan(B, 2, 90);
    assert_eq!(scene.world.head(), None);
    scene.tell(Event::Fenced(C));
    assert_eq!(scene.world.head(), None, "that was another one");
    scene.tell(Event::Fenced(B));
    assert_eq!(scene.world.head(), Some((A, false)));
}

#[test]
fn a_timeline_that_somebody_was_a_primary_on_counts_for_ever() {
    type Sign = fn(&mut Scene);
    let signs: [Sign; 3] = [
        |scene| {
            scene.replica(C, 2, 90);
        },
        |scene| {
            scene.tell(Event::Heard { timeline: Timeline::new(2).unwrap(), written: true });
        },
        |scene| {
            scene.tell_promoted(C, 2, 100, 90).silent(C, 3);
        },
    ];
    for sign in signs {
        let mut scene = orphaned(policy(FailoverMode::Manual));
        sign(&mut scene);
        scene.tell(Event::Cleared);
        assert_ne!(scene.world.head().map(|(id, _)| id), Some(A));
        scene.primary(A, 1, 110);
        assert_ne!(scene.head(), Ok(A));
    }
}

#[test]
fn a_token_of_a_reader_tells_of_no_more_than_a_look_does() {
    let heard = |written| Event::Heard { timeline: Timeline::new(2).unwrap(), written };
    let mut scene = orphaned(policy(FailoverMode::Manual));
    scene.tell(heard(false));
    assert_eq!(scene.world.head(), None);
    scene.tell(Event::Cleared);
    assert_eq!(scene.world.head(), Some((A, false)));
    // Whoever has written there is another matter, also where the timeline was seen to begin.
    scene.orphan(B, 2, 90).tell(heard(true)).tell(Event::Cleared);
    assert_eq!(scene.world.head(), None);
}

#[test]
fn who_was_told_is_known_by_its_other_name_too() {
    let named = |role, timeline| Observation { started: Some(5), ..seen(role, timeline, 90, None) };
    let mut scene = orphaned(automatic());
    for node in [B, C] {
        let orphan = Observation { receiving: Some(false), ..named(Role::Replica, 2) };
        scene.says(node, orphan);
    }
    assert_eq!(objection(&scene, &[B], &[]), None);
    assert_eq!(objection(&scene, &[C], &[]), None);
    assert!(is_overtaken(objection(&scene, &[], &[]).as_ref()));
    scene.tell(Event::Fenced(C));
    assert_eq!(scene.world.head(), Some((A, false)), "what the other name has shown is of the same server");
    // Who takes writes all the same was not fenced.
    let looks = [(B, named(Role::Primary, 2))];
    assert!(is_overtaken(objection(&scene, &[B], &looks).as_ref()));
}
