//! One server under two names.

use super::*;

/// A server says when it was started.
fn started(at: u64, role: Role) -> Observation {
    Observation { started: Some(at), ..seen(role, 1, 100, None) }
}

const TWIN: Result<(), Rejection> = Err(Rejection::Quarantined(Quarantine::SameServer));

#[test]
fn a_server_under_two_names_is_no_split_brain() {
    let mut scene = Scene::new();
    scene
        .says(A, started(1, Role::Primary))
        .says(B, started(1, Role::Primary))
        .says(C, started(2, Role::Replica));
    assert_eq!((scene.head(), scene.epoch()), (Ok(A), 1));
    assert_eq!((scene.standing(B), scene.standing(C)), (TWIN, Ok(())));
    // Two servers are one.
    scene.says(B, started(3, Role::Primary)).wait(1);
    scene.says(A, started(1, Role::Primary)).says(B, started(3, Role::Primary));
    assert_eq!(scene.head(), split("a", "b"));
}

#[test]
fn a_restart_is_seen_under_one_name_first() {
    for (first, second) in [(A, B), (B, A)] {
        let mut scene = Scene::new();
        scene.says(A, started(1, Role::Primary)).says(B, started(1, Role::Primary));
        scene.wait(1).says(first, started(5, Role::Primary));
        assert_eq!((scene.head(), scene.epoch(), scene.standing(B)), (Ok(A), 1, TWIN));
        scene.wait(1).says(second, started(5, Role::Primary)).wait(1).says(first, started(5, Role::Primary));
        assert_eq!((scene.head(), scene.epoch(), scene.standing(B)), (Ok(A), 1, TWIN));
    }
}

#[test]
fn the_name_that_answers_is_used() {
    let mut scene = Scene::new();
    scene.says(A, started(1, Role::Primary)).says(B, started(1, Role::Primary)).silent(A, 3);
    assert_eq!((scene.head(), scene.epoch()), (Ok(B), 2));
    scene.wait(1).says(A, started(1, Role::Primary));
    assert_eq!((scene.head(), scene.standing(A)), (Ok(B), TWIN), "a name is no reason to change");
}

#[test]
fn a_name_that_moves_to_a_replica_is_quarantined_and_follows_its_promotion() {
    let mut scene = Scene::new();
    scene
        .says(A, started(1, Role::Primary))
        .says(B, started(2, Role::Replica))
        .says(C, started(3, Role::Replica));
    // The primary is gone, `b` takes over, and the name `a` leads there.
    scene.silent(A, 3);
    scene.says(B, Observation { started: Some(2), ..seen(Role::Primary, 2, 200, Some(100)) });
    scene.says(A, Observation { started: Some(2), ..seen(Role::Primary, 2, 200, Some(100)) });
    assert_eq!((scene.head(), scene.epoch(), scene.standing(A)), (Ok(B), 2, TWIN));
    scene.tell(Event::Left(B));
    assert_eq!(scene.head(), Ok(A));
}
