//! Who is the primary, and who only says so.

use super::*;

#[test]
fn the_configured_primary_is_taken_at_its_word_until_somebody_is_seen_to_be_it() {
    let mut scene = Scene::new();
    assert_eq!((scene.head(), scene.epoch()), (Ok(A), 1));
    assert_eq!(scene.node(A).applied, None);
    scene.replica(B, 1, 100);
    assert_eq!(scene.head(), Ok(A), "a replica proves nothing about the primary");
    scene.primary(C, 1, 100);
    assert_eq!((scene.head(), scene.epoch()), (Ok(A), 1), "it may still say which cluster is meant");
    scene.silent(A, 1);
    assert_eq!((scene.head(), scene.epoch()), (Ok(C), 2), "the configuration was out of date");
}

#[test]
fn a_stranger_that_answers_first_is_not_taken_for_ours() {
    for role in [Role::Primary, Role::Replica] {
        let mut scene = Scene::new();
        scene.says(C, stranger(role, 9));
        assert_eq!((scene.head(), scene.epoch()), (Ok(A), 1));
        scene.primary(A, 1, 100).replica(B, 1, 100);
        assert_eq!((scene.head(), scene.epoch(), scene.standing(B)), (Ok(A), 1, Ok(())));
        assert_eq!(scene.standing(C), Err(Rejection::Quarantined(Quarantine::ForeignCluster)));
    }
}

#[test]
fn while_the_configured_primary_is_silent_most_nodes_say_which_cluster_is_meant() {
    let mut scene = Scene::new();
    scene.silent(A, 1).says(B, stranger(Role::Primary, 9));
    assert_eq!(scene.head(), Ok(B), "there is nobody else to ask");
    let mut scene = Scene::new();
    scene.tell(Event::Joined(NodeId::new(3), NodeSpec::new("d", Role::Replica)));
    scene.says(B, stranger(Role::Primary, 9)).primary(C, 1, 100).replica(NodeId::new(3), 1, 100);
    scene.silent(A, 1);
    assert_eq!(scene.head(), Ok(C));
    assert_eq!(scene.standing(B), Err(Rejection::Quarantined(Quarantine::ForeignCluster)));
}

#[test]
fn a_replica_of_another_database_serves_nothing() {
    let database =
        |name: &str, role| Observation { database: Some(name.to_owned()), ..seen(role, 1, 100, None) };
    let mut scene = Scene::new();
    scene.says(A, database("shop", Role::Primary));
    scene.says(B, database("bank", Role::Replica)).says(C, database("shop", Role::Replica));
    assert_eq!(scene.standing(B), Err(Rejection::Quarantined(Quarantine::ForeignDatabase)));
    assert_eq!((scene.head(), scene.standing(C)), (Ok(A), Ok(())));
    scene.says(B, database("shop", Role::Replica));
    assert_eq!(scene.standing(B), Ok(()), "its URL was corrected");
    scene.replica(C, 1, 100);
    assert_eq!(scene.standing(C), Ok(()), "what is not told is not held against anybody");
}

#[test]
fn nobody_is_taken_at_their_word_after_a_primary_was_seen() {
    let mut scene = Scene::failed_over();
    scene.tell(Event::Left(A)).tell(Event::Left(B));
    scene.tell(Event::Joined(NodeId::new(4), NodeSpec::new("a", Role::Primary)));
    assert_eq!(scene.head(), Err(NoPrimary::NotFound));
}

#[test]
fn the_first_answer_of_the_primary_is_no_change() {
    let mut scene = Scene::new();
    scene.primary(A, 1, 100);
    assert_eq!(scene.news(), ["`a` is healthy (was unknown)"]);
    assert_eq!((scene.head(), scene.epoch(), scene.node(A).applied), (Ok(A), 1, position("1:0/64")));
}

#[test]
fn the_configured_primary_that_turns_out_to_be_a_replica_is_not_written_to() {
    let mut scene = Scene::new();
    scene.replica(A, 1, 100);
    assert_eq!(scene.head(), Err(NoPrimary::NotFound));
}

#[test]
fn a_promotion_is_followed_whoever_answers_first() {
    for new_one_first in [true, false] {
        let mut scene = Scene::settled();
        let mut answers = [(B, Role::Primary, 2, Some(100)), (A, Role::Replica, 2, None)];
        if !new_one_first {
            answers.reverse();
        }
        for (node, role, timeline, switch) in answers {
            scene.wait(10).says(node, seen(role, timeline, 150, switch));
        }
        assert_eq!((scene.head(), scene.epoch()), (Ok(B), 2));
        let covers = position("1:0/64,2:0/96");
        assert_eq!((scene.node(B).applied, scene.node(A).applied), (covers.clone(), covers));
        assert_eq!(scene.standing(A), Ok(()));
    }
}

#[test]
fn a_role_that_changes_asks_for_a_look_at_everybody() {
    let mut scene = Scene::settled();
    assert!(!scene.primary(A, 1, 120).asks_everybody());
    assert!(scene.wait(10).replica(A, 1, 120).asks_everybody());
}

#[test]
fn an_old_primary_that_comes_back_is_kept_away_until_it_follows() {
    let mut scene = Scene::failed_over();
    assert_eq!((scene.head(), scene.epoch()), (Ok(B), 2));
    scene.wait(10).primary(A, 1, 500);
    assert_eq!((scene.head(), scene.epoch()), (Ok(B), 2));
    assert_eq!(scene.standing(A), Err(Rejection::Quarantined(Quarantine::StalePrimary)));
    scene.wait(10).replica(A, 2, 210).wait(10).replica(A, 2, 220);
    assert_eq!(scene.standing(A), Ok(()));
    assert!(scene.news().contains(&"`a` is no longer kept away from traffic".to_owned()));
}

#[test]
fn a_timeline_that_any_node_has_reached_deposes_the_primary_of_an_older_one() {
    let mut scene = Scene::settled();
    scene.wait(10).replica(C, 2, 110);
    assert_eq!(scene.head(), Err(NoPrimary::NotFound), "somebody was promoted, and we cannot see who");
    assert_eq!(scene.standing(A), Err(Rejection::Quarantined(Quarantine::StalePrimary)));
}

#[test]
fn two_primaries_on_one_timeline_are_a_split_brain_until_one_of_them_is_stopped() {
    let mut scene = Scene::settled();
    scene.wait(10).primary(B, 1, 110);
    assert_eq!(scene.head(), split("a", "b"));
    let news = scene.news();
    assert!(news.iter().any(|text| text.contains("both take writes")), "{news:?}");
    for node in [A, B] {
        assert_eq!(scene.standing(node), Err(Rejection::Quarantined(Quarantine::RivalPrimary)));
    }
    scene.silent(B, 3);
    assert_eq!((scene.head(), scene.epoch()), (Ok(A), 2));
    assert_eq!(scene.node(B).quarantine, Some(Quarantine::RivalPrimary), "its claim still stands");
    scene.wait(10).primary(B, 1, 120);
    assert_eq!(scene.head(), split("a", "b"));
    scene.tell(Event::Left(B));
    assert_eq!((scene.head(), scene.epoch()), (Ok(A), 3));
}

#[test]
fn silence_alone_deposes_nobody() {
    let mut scene = Scene::settled();
    scene.silent(A, 50);
    assert_eq!((scene.head(), scene.epoch()), (Ok(A), 1));
    assert_eq!(scene.node(A).health, HealthState::Unhealthy);
}

#[test]
fn a_server_of_another_cluster_is_kept_away_whatever_it_says() {
    let mut scene = Scene::settled();
    for (role, timeline) in [(Role::Replica, 1), (Role::Primary, 9)] {
        scene.wait(10).says(B, stranger(role, timeline));
        assert_eq!(scene.head(), Ok(A));
        assert_eq!(scene.standing(B), Err(Rejection::Quarantined(Quarantine::ForeignCluster)));
        assert_eq!(scene.node(B).applied, None, "its positions mean nothing here");
    }
    scene.wait(10).replica(B, 1, 100);
    assert_eq!(scene.standing(B), Ok(()));
    assert_eq!(scene.epoch(), 1);
}

#[test]
fn epochs_count_primaries_and_not_their_absence() {
    let mut scene = Scene::settled();
    scene.wait(10).replica(A, 1, 100);
    assert_eq!((scene.head(), scene.epoch()), (Err(NoPrimary::NotFound), 1));
    scene.wait(10).primary(A, 1, 110);
    assert_eq!((scene.head(), scene.epoch()), (Ok(A), 2), "connections from before may be to a replica");
    scene.wait(10).tell_promoted(A, 2, 120, 110);
    assert_eq!((scene.head(), scene.epoch()), (Ok(A), 3), "promoted where it stands, between two looks");
}
