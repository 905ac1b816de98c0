//! What is remembered over restarts, and what is only heard of.

use std::collections::BTreeMap;

use super::*;

fn timeline(number: u32) -> Timeline {
    Timeline::new(number).expect("a timeline")
}

/// A cluster on timeline 2, which left the first one at 190.
fn memory(system: u64) -> Memory {
    let forks = BTreeMap::from([(timeline(2), BTreeMap::from([(Timeline::FIRST, Lsn::from_u64(190))]))]);
    Memory { system, highest: timeline(2), forks }
}

fn remembering(memory: Memory) -> Scene {
    let mut scene =
        Scene { world: World::new(Config::default()), now: Moment::from_millis(1_000), effects: Vec::new() };
    scene.world = scene.world.remembering(memory);
    for (id, name, role) in [(A, "a", Role::Primary), (B, "b", Role::Replica), (C, "c", Role::Replica)] {
        scene.tell(Event::Joined(id, NodeSpec::new(name, role)));
    }
    scene.effects.clear();
    scene
}

fn remembered(scene: &mut Scene) -> Vec<Memory> {
    let kept = scene.effects.drain(..).filter_map(|effect| match effect {
        Effect::Remember(memory) => Some(memory),
        _ => None,
    });
    kept.collect()
}

#[test]
fn an_old_primary_that_answers_alone_is_not_believed() {
    let mut scene = remembering(memory(OURS));
    assert_eq!(scene.head(), Err(NoPrimary::NotFound), "nobody is taken at their word");
    scene.primary(A, 1, 500);
    assert_eq!(scene.head(), Err(NoPrimary::NotFound));
    assert_eq!(scene.standing(A), Err(Rejection::Quarantined(Quarantine::StalePrimary)));
    scene.wait(10).tell_promoted(B, 2, 600, 190);
    assert_eq!(scene.head(), Ok(B));
    assert_eq!(scene.node(B).applied, position("1:0/BE,2:0/258"), "where it forked is known from before");
}

#[test]
fn the_past_that_was_remembered_needs_no_witness() {
    let mut scene = remembering(memory(OURS));
    // After a crash the server does not know any more where its timeline began.
    scene.silent(A, 1).primary(B, 2, 600);
    assert_eq!(scene.node(B).applied, position("1:0/BE,2:0/258"));
    scene.replica(C, 1, 150);
    assert_eq!(scene.node(C).applied, position("1:0/96"));
}

#[test]
fn what_is_remembered_of_another_cluster_is_refused_and_left_alone() {
    let mut scene = remembering(memory(OURS + 1));
    scene.primary(A, 1, 500);
    assert_eq!(scene.head(), Ok(A));
    let news = scene.news();
    assert!(news.iter().any(|text| text.contains("failover.state_file")), "{news:?}");
    scene.wait(10).silent(A, 3).tell_promoted(B, 2, 600, 190);
    assert_eq!(remembered(&mut scene), [], "the file is somebody else's");
}

#[test]
fn each_change_of_timelines_is_to_be_kept_once() {
    let mut scene = Scene::settled();
    scene.wait(10).replica(B, 1, 190).silent(A, 3).tell_promoted(B, 2, 200, 190);
    assert_eq!(remembered(&mut scene), [memory(OURS)]);
    scene.wait(10).tell_promoted(B, 2, 300, 190).replica(C, 2, 250);
    assert_eq!(remembered(&mut scene), []);
}

#[test]
fn who_hears_of_a_newer_timeline_does_not_write_to_an_older_one() {
    let mut scene = Scene::settled();
    scene.tell(Event::Heard { timeline: Timeline::FIRST, written: true });
    assert_eq!(scene.head(), Ok(A));
    scene.tell(Event::Heard { timeline: timeline(3), written: true });
    assert!(scene.asks_everybody());
    assert_eq!(scene.head(), Err(NoPrimary::NotFound));
    assert_eq!(scene.standing(A), Err(Rejection::Quarantined(Quarantine::StalePrimary)));
    scene.wait(10).tell_promoted(B, 3, 200, 190);
    assert_eq!(scene.head(), Ok(B));
}

#[test]
fn texts_round_trip_and_damage_shows() {
    let memory = memory(u64::MAX);
    let text = memory.to_text();
    assert_eq!(Memory::from_text(&text).expect("it was written just now"), memory);
    let newer = text.replace("\"version\": 1", "\"version\": 9");
    assert!(matches!(Memory::from_text(&newer), Err(UnreadableMemory::Version(9))));
    for damaged in [
        "",
        "{}",
        &text[..text.len() / 2],
        &text.replace("\"highest\": 2", "\"highest\": 0"),
        &text.replace("\"highest\": 2", "\"highest\": 1"),
        &text.replace("0/BE", "nowhere"),
    ] {
        assert!(matches!(Memory::from_text(damaged), Err(UnreadableMemory::Malformed(_))), "{damaged}");
    }
}

#[test]
fn two_processes_agree_on_what_both_are_certain_of() {
    let (mut lower, mut newer) = (memory(OURS), memory(OURS));
    lower.forks.insert(timeline(2), BTreeMap::from([(Timeline::FIRST, Lsn::from_u64(150))]));
    newer.highest = timeline(3);
    let joined = lower.clone().join(&newer);
    assert_eq!((joined.highest, &joined.forks), (timeline(3), &lower.forks));
    assert_eq!(lower.clone().join(&memory(OURS + 1)), lower);
}
