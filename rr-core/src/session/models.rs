//! Every interleaving of a few calls on one session, by loom. The swap of the register's pointer is one step here: what
//! is inside of `arc-swap` is not ours, and is not modelled.

use loom::thread::spawn;

use super::*;
use crate::position::{Lsn, PgPosition, Timeline};
use crate::topology::{Epoch, Former, Formers, Node, Role, Rules};

fn at(timeline: u32, lsn: u64) -> Position {
    Position::Postgres(PgPosition::new(Timeline::new(timeline).unwrap(), Lsn::from_u64(lsn)))
}

fn millis(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

fn written(at: u64) -> Written {
    Written { by: millis(at), on: Some(Timeline::FIRST) }
}

/// Raises a new register to both at once while somebody looks; all of it must be there in the end.
fn raised_at_once(one: Position, other: Position) {
    loom::model(move || {
        let register = Arc::new(Register::default());
        let raising = [&one, &other].map(|position| {
            let (register, position) = (Arc::clone(&register), position.clone());
            spawn(move || {
                register.raise(&position);
                assert!(register.get().is_some_and(|now| now.covers(&position)));
            })
        });
        let before = register.get();
        let after = register.get();
        assert!(before.is_none_or(|before| after.is_some_and(|after| after.covers(&before))));
        raising.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(register.get(), Some(one.join(&other).unwrap()));
    });
}

#[test]
fn a_register_on_one_timeline_loses_nothing_and_never_sinks() {
    raised_at_once(at(1, 100), at(1, 120));
}

#[test]
fn a_register_that_moves_to_its_pointer_loses_nothing_and_never_sinks() {
    raised_at_once(at(1, 100), at(2, 50));
}

#[test]
fn who_looks_while_a_write_is_settled_finds_its_mark_or_its_position() {
    loom::model(|| {
        let session = Session::new();
        session.wrote_unplaced(millis(1));
        let settled = session.clone();
        let settling = spawn(move || settled.settle(millis(2), &at(1, 100)));
        let requirement = session.requirement(Consistency::Session);
        assert!(requirement.after.is_some() || requirement.covers.is_some());
        settling.join().unwrap();
    });
}

#[test]
fn a_write_that_is_noted_while_another_one_is_settled_stays() {
    loom::model(|| {
        let session = Session::new();
        session.note(None, written(1));
        let settled = session.clone();
        let settling = spawn(move || settled.settle(millis(2), &at(1, 100)));
        session.note(None, written(3));
        settling.join().unwrap();
        assert_eq!(session.unplaced_since(), Some(millis(3)));
    });
}

#[test]
fn who_looks_while_a_write_is_placed_finds_it() {
    for position in [None, Some(at(1, 100))] {
        loom::model(move || {
            let session = Session::new();
            session.placing().begin(written(1));
            let (placed, position) = (session.clone(), position.clone());
            let placing = spawn(move || {
                placed.note(position.as_ref(), written(1));
                placed.placing().end();
            });
            let requirement = session.requirement(Consistency::Session);
            assert!(requirement.after.is_some() || requirement.covers.is_some());
            placing.join().unwrap();
        });
    }
}

/// A primary of the second timeline that was asked at 5; the one of the first was never.
fn succeeded() -> Topology {
    let mut node = Node::new(NodeId::new(0), "n", "h:1", Role::Primary);
    node.applied = Some(at(1, 100).join(&at(2, 500)).unwrap());
    node.sampled_at = Some(millis(5));
    let former = Former { until: millis(3), samples: Arc::default(), timeline: Some(Timeline::FIRST) };
    Topology::assemble(Epoch::default(), vec![node], Ok(NodeId::new(0)), Rules::default())
        .after(Formers::default().and(former), Timeline::new(2))
}

#[test]
fn a_late_answer_of_a_former_primary_is_not_settled_by_the_new_one() {
    for is_placing in [false, true] {
        loom::model(move || {
            let topology = succeeded();
            let session = Session::new();
            session.wrote_unplaced(millis(1));
            let late = session.clone();
            let answering = spawn(move || {
                if is_placing {
                    late.placing().begin(written(1));
                }
                late.note(None, written(1));
                if is_placing {
                    late.placing().end();
                }
            });
            session.catch_up(&topology);
            answering.join().unwrap();
            session.catch_up(&topology);
            assert!(session.lost(&topology).is_some());
        });
    }
}

#[test]
fn who_looks_while_a_read_is_settled_finds_it() {
    loom::model(|| {
        let session = Session::new();
        session.read_on(NodeId::new(1), millis(1), Follows::default());
        let seen = session.requirement(Consistency::Session).seen.unwrap();
        let settled = session.clone();
        let settling = spawn(move || settled.settle_read(seen, &at(1, 100)));
        let requirement = session.requirement(Consistency::Session);
        assert!(requirement.seen.is_some() || requirement.covers.is_some());
        settling.join().unwrap();
    });
}

#[test]
fn reads_on_two_nodes_at_once_leave_none_that_has_both() {
    loom::model(|| {
        let session = Session::new();
        let other = session.clone();
        let reading = spawn(move || other.read_on(NodeId::new(2), millis(5), Follows::default()));
        session.read_on(NodeId::new(1), millis(9), Follows::default());
        reading.join().unwrap();
        let seen = session.requirement(Consistency::Session).seen;
        assert_eq!(seen, Some(Seen { node: None, at: millis(9) }));
    });
}
