//! What nodes have, how old it is, and what is left of that after a failover.

use super::*;
use crate::session::Session;

#[test]
fn a_replica_that_went_past_the_fork_is_kept_away() {
    let mut scene = Scene::failed_over();
    scene.wait(10).orphan(C, 1, 195);
    assert_eq!(scene.standing(C), Err(Rejection::Quarantined(Quarantine::BeyondFork)));
    assert_eq!(scene.node(C).applied, position("1:0/BE"), "it has the common past and no more");
    // Nor does it help that it receives, where it would be seen to receive the new timeline.
    scene.wait(10).replica(C, 1, 195);
    assert_eq!(scene.standing(C), Err(Rejection::Quarantined(Quarantine::BeyondFork)));
}

#[test]
fn a_replica_that_may_have_followed_proves_the_common_past_and_may_have_shown_more() {
    let mut scene = Scene::failed_over();
    let unseen = Observation { unprivileged: true, ..seen(Role::Replica, 1, 250, None) };
    scene.wait(10).says(C, unseen);
    assert_eq!(scene.standing(C), Ok(()));
    let node = scene.node(C);
    assert_eq!((node.applied, node.ceiling), (position("1:0/BE"), position("1:0/BE,2:0/FA")));
    scene.wait(10).replica(C, 2, 250);
    let node = scene.node(C);
    assert_eq!((&node.applied, &node.ceiling), (&position("1:0/BE,2:0/FA"), &node.applied));
}

#[test]
fn a_replica_in_the_middle_of_a_record_may_have_shown_it() {
    let mut scene = Scene::settled();
    let at = |lsn, applying| Observation { applying, ..seen(Role::Replica, 1, lsn, None) };
    let before = scene.node(B).shown;
    scene.wait(10).primary(A, 1, 300).says(B, at(200, Some(true)));
    let node = scene.node(B);
    assert_eq!((node.applied, node.ceiling), (position("1:0/C8"), position("1:0/C9")));
    scene.wait(10).says(B, at(200, Some(true)));
    assert_eq!(scene.node(B).shown, before, "it does not have what it may have shown");
    let last = scene.node(B).sampled_at;
    scene.wait(10).says(B, at(250, Some(true)));
    assert_eq!(scene.node(B).shown, last.zip(position("1:0/C9")), "by now it has what it had shown by then");
    scene.wait(10).says(B, at(300, Some(false)));
    let node = scene.node(B);
    assert_eq!(
        (&node.ceiling, node.shown.clone()),
        (&node.applied, node.sampled_at.zip(node.applied.clone()))
    );
    scene.wait(10).says(B, at(310, None));
    let blind = scene.node(B);
    assert_eq!((blind.ceiling, blind.shown), (None, node.shown), "nobody knows what it has shown since");
}

#[test]
fn an_idle_primary_shows_no_lag() {
    let mut scene = Scene::settled();
    for _ in 0..100 {
        scene.wait(200).primary(A, 1, 100).wait(5).replica(B, 1, 100);
    }
    assert_eq!((scene.staleness(B), scene.node(B).lag_bytes), (Some(5), Some(0)));
}

#[test]
fn a_replica_is_as_old_as_the_newest_sample_that_it_covers() {
    let mut scene = Scene::settled();
    scene.wait(100).primary(A, 1, 200).wait(100).primary(A, 1, 300).wait(100).replica(B, 1, 250);
    assert_eq!((scene.staleness(B), scene.node(B).lag_bytes), (Some(200), Some(50)));
}

#[test]
fn staleness_grows_when_the_primary_or_the_monitor_is_gone() {
    let mut scene = Scene::settled();
    for _ in 0..10 {
        scene.wait(500).silent(A, 1).replica(B, 1, 100);
    }
    assert_eq!(scene.staleness(B), Some(5_000), "replaying all that was received is not being current");
    assert_eq!(scene.wait(60_000).staleness_of_both(), [Some(65_000); 2]);
}

#[test]
fn an_answer_that_was_overtaken_is_ignored() {
    let mut scene = Scene::settled();
    let early = scene.now;
    scene.wait(50).replica(B, 1, 150).wait(50);
    scene.answer(B, early, seen(Role::Primary, 1, 120, None));
    assert_eq!((scene.head(), scene.node(B).applied), (Ok(A), position("1:0/96")));
    assert_eq!(scene.node(B).health, HealthState::Healthy);
}

#[test]
fn data_that_was_replaced_is_as_old_as_it_is_now() {
    let mut scene = Scene::settled();
    scene.wait(100).primary(A, 1, 200).replica(B, 1, 200);
    assert_eq!(scene.staleness(B), Some(0));
    scene.wait(100).replica(B, 1, 50);
    assert_eq!(scene.staleness(B), None, "it has less than the oldest sample that is left");
}

#[test]
fn freshness_under_the_old_primary_holds_for_the_new_one_as_far_as_it_was_a_replica() {
    let mut scene = Scene::settled();
    scene.wait(100).replica(B, 1, 100);
    scene.wait(100).primary(A, 1, 100).replica(C, 1, 100);
    assert_eq!(scene.staleness(C), Some(0));
    // `b` may have been promoted right after it was seen as a replica 100 ms ago, and `c` may lack what it wrote.
    scene.tell_promoted(B, 2, 150, 100);
    assert_eq!(scene.staleness(C), Some(100));

    let mut scene = Scene::settled();
    scene.silent(B, 1).wait(100).tell_promoted(B, 2, 150, 100);
    assert_eq!(scene.staleness(C), None, "it may be another server than the one that was seen");
}

#[test]
fn each_level_of_lag_is_told_once() {
    let mut scene = Scene::settled();
    scene.tell(Event::Left(C));
    scene.effects.clear();
    for _ in 0..60 {
        scene.wait(100).tell(Event::Tick);
    }
    let lag: Vec<String> = scene.news();
    assert_eq!(lag.len(), 2, "{lag:?}");
    assert!(lag[0].starts_with("lag of `b` is INFO (was OK)"), "{lag:?}");
    assert!(lag[1].starts_with("lag of `b` is WARNING (was INFO)"), "{lag:?}");
}

#[test]
fn what_was_seen_before_a_silence_says_nothing_about_a_primary_that_appears_after_it() {
    let mut scene = Scene::settled();
    scene.wait(10).replica(B, 1, 110).replica(C, 1, 110).silent(B, 1);
    // Another primary in between makes the world look at all nodes again; that does not undo the silence.
    scene.wait(10).tell_promoted(C, 2, 120, 110).wait(10).tell_promoted(B, 3, 130, 120);
    assert_eq!(scene.head(), Ok(B));
    assert_eq!(scene.node(B).applied, position("3:0/82"), "nobody knows what it was promoted from");
}

#[test]
fn a_server_that_shows_its_new_timeline_before_it_leaves_recovery_came_from_the_one_before() {
    let mut scene = Scene::settled();
    scene.wait(10).replica(B, 1, 190).replica(C, 1, 180).silent(A, 3);
    scene.wait(10).orphan(B, 2, 190).wait(10).orphan(B, 2, 190);
    assert_eq!(scene.head(), Err(NoPrimary::NotFound));
    scene.wait(10).tell_promoted(B, 2, 200, 190);
    assert_eq!((scene.head(), scene.node(B).applied), (Ok(B), position("1:0/BE,2:0/C8")));

    scene.wait(10).replica(C, 2, 200).silent(B, 3);
    scene.wait(10).orphan(C, 3, 200).wait(10).tell_promoted(C, 3, 250, 200);
    assert_eq!((scene.head(), scene.node(C).applied), (Ok(C), position("1:0/BE,2:0/C8,3:0/FA")));
}

#[test]
fn a_primary_that_is_a_replica_next_may_have_other_data() {
    let mut scene = Scene::failed_over();
    scene.wait(10).replica(C, 2, 200).wait(10).tell_promoted(C, 3, 300, 200);
    // Rebuilt from somewhere, and promoted before anybody looked.
    scene.wait(10).orphan(C, 5, 150).wait(10).tell_promoted(C, 5, 160, 150);
    assert_eq!((scene.head(), scene.node(C).applied), (Ok(C), position("5:0/A0")));
}

#[test]
fn a_server_that_was_started_between_two_looks_may_have_other_data() {
    let mut scene = Scene::failed_over();
    let started = |at, seen| Observation { started: Some(at), ..seen };
    let promoted = || seen(Role::Primary, 3, 300, Some(200));
    for (at, from) in [(7, "1:0/BE,2:0/C8,3:0/12C"), (8, "3:0/12C")] {
        scene.wait(10).says(C, started(7, seen(Role::Replica, 2, 200, None)));
        let mut scene = Scene { world: scene.world.clone(), now: scene.now, effects: Vec::new() };
        scene.wait(10).says(C, started(at, promoted()));
        assert_eq!((scene.head(), scene.node(C).applied), (Ok(C), position(from)));
    }
}

#[test]
fn what_was_written_beyond_the_beginning_of_the_present_timeline_is_lost_whatever_that_came_from() {
    let mut scene = Scene::failed_over();
    scene.wait(10).replica(C, 2, 200).silent(C, 1).silent(B, 3);
    scene.wait(10).tell_promoted(C, 3, 300, 200);
    assert_eq!(scene.node(C).applied, position("3:0/12C"), "nobody knows what it was promoted from");
    for (wrote, kept) in [("2:0/C9", "2:0/C8"), ("1:0/64,2:0/FFFF,3:0/D0", "1:0/64,2:0/C8,3:0/D0")] {
        let session = Session::new();
        session.wrote(&position(wrote).unwrap());
        session.saw(&position("1:0/FFFF").unwrap());
        let lost = session.lost(&scene.topology()).unwrap();
        assert_eq!(Some(lost.switch), position("2:0/C8"), "{wrote}");
        assert!(session.give_up_lost(&scene.topology()).is_some());
        assert_eq!(session.last_write(), position(kept));
        assert_eq!((session.last_read(), session.lost(&scene.topology())), (position("1:0/C8"), None));
    }
    // It restarts after a crash, and does not tell any more where its timeline began.
    scene.wait(10).primary(C, 3, 400);
    for (wrote, is_lost) in [("2:0/C9", true), ("2:0/C8", false), ("3:0/FFFF", false), ("4:0/FFFF", false)] {
        let session = Session::new();
        session.wrote(&position(wrote).unwrap());
        assert_eq!(session.lost(&scene.topology()).is_some(), is_lost, "{wrote}");
    }
}

#[test]
fn a_new_timeline_that_shows_up_anywhere_casts_doubt_on_those_that_show_an_older_one() {
    let mut scene = Scene::settled();
    scene.wait(10).replica(A, 1, 100);
    assert_eq!(scene.node(B).applied, position("1:0/64"));
    scene.wait(10).replica(C, 2, 150);
    assert_eq!(scene.node(B).applied, None, "it may be on timeline 2, and nobody knows where that began");
}
