//! When the world orders a promotion.

use super::*;

#[test]
fn automatic_failover_orders_one_promotion_per_cooldown() {
    let mut scene = Scene::settled_with(policy(FailoverMode::Automatic));
    scene.wait(100).orphan(B, 1, 90).orphan(C, 1, 100).silent(A, 2);
    assert_eq!(scene.promoted(), []);
    scene.silent(A, 1);
    assert_eq!(scene.promoted(), [C], "the one that has most");
    // Whatever becomes of it, nobody else is promoted on its heels.
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
fn a_replica_that_still_receives_holds_a_promotion_back() {
    let mut scene = Scene::settled_with(policy(FailoverMode::Automatic));
    scene.wait(100).orphan(B, 1, 100).replica(C, 1, 100).silent(A, 9);
    assert_eq!(scene.promoted(), []);
    scene.wait(100).orphan(C, 1, 100);
    assert_eq!(scene.promoted(), [B]);
}

#[test]
fn the_other_modes_promote_nobody() {
    for mode in [FailoverMode::Follow, FailoverMode::Manual, FailoverMode::Supervised] {
        let mut scene = Scene::settled_with(policy(mode));
        scene.wait(100).orphan(B, 1, 100).orphan(C, 1, 100).silent(A, 9);
        let proposed = matches!(scene.world.decision(), Decision::Propose(B));
        assert_eq!(proposed, mode == FailoverMode::Supervised);
        assert_eq!(scene.promoted(), []);
    }
}
