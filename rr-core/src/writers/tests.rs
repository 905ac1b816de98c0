use std::task::{Context, Poll, Waker};

use super::*;
use crate::topology::NoPrimary;
use crate::topology::{Node, Role, Rules};

const A: NodeId = NodeId::new(0);
const B: NodeId = NodeId::new(1);

fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

/// What is published: `a` and `b`, and who of them is the primary.
fn published(epoch: u64, primary: Result<NodeId, NoPrimary>, sampled_at: u64) -> Topology {
    let node = |id, name| {
        let mut node = Node::new(id, name, name, Role::Primary);
        node.sampled_at = Some(at(sampled_at));
        node
    };
    Topology::assemble(Epoch::new(epoch), vec![node(A, "a"), node(B, "b")], primary, Rules::default())
}

/// A queue that has seen that there is no primary.
fn queue(limit: u32) -> Arc<Writers> {
    let writers = Arc::new(Writers::new(limit));
    writers.look(&published(1, Err(NoPrimary::NotFound), 1), |_| 2);
    writers
}

/// What a ticket has been told so far.
fn heard(ticket: &mut Ticket) -> Option<Word> {
    let mut word = std::pin::pin!(ticket.word());
    match word.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(word) => Some(word),
        Poll::Pending => None,
    }
}

fn tickets<const N: usize>(writers: &Arc<Writers>) -> [Ticket; N] {
    std::array::from_fn(|_| writers.enter(None).expect("a place"))
}

#[test]
fn first_come_first_served_and_no_more_at_once_than_the_pool_has_connections() {
    let writers = queue(10);
    let mut all: [Ticket; 5] = tickets(&writers);
    assert_eq!(all.each_mut().map(heard), [None; 5]);
    writers.look(&published(2, Ok(A), 10), |_| 2);
    let go = Some(Word::Go);
    assert_eq!(all.each_mut().map(heard), [go, go, None, None, None]);
    let [first, second, mut third, mut fourth, mut fifth] = all;
    first.served();
    assert_eq!([heard(&mut third), heard(&mut fourth)], [go, None], "one connection, one more");
    drop(second);
    assert_eq!([heard(&mut fourth), heard(&mut fifth)], [go, None], "a pass that is given up is no loss");
    assert_eq!(writers.waiting(), 1);
}

#[test]
fn who_is_cancelled_leaves_no_gap() {
    let writers = queue(10);
    let [mut first, second, mut third] = tickets(&writers);
    drop(second);
    assert_eq!(writers.waiting(), 2);
    writers.look(&published(2, Ok(A), 10), |_| 1);
    assert_eq!([heard(&mut first), heard(&mut third)], [Some(Word::Go), None]);
    // Told to go on, and dropped before it heard of it.
    let [told] = tickets(&writers);
    drop(first);
    drop(third);
    let [mut last] = tickets(&writers);
    drop(told);
    assert_eq!(heard(&mut last), Some(Word::Go));
}

#[test]
fn the_queue_is_bounded_and_who_comes_back_has_its_place() {
    let writers = queue(2);
    let [first, mut second] = tickets(&writers);
    assert_eq!(writers.enter(None).unwrap_err(), Full);
    writers.look(&published(2, Ok(A), 10), |_| 1);
    let place = first.place;
    writers.refused(A, Epoch::new(2), at(20));
    drop(first);
    let mut first = writers.enter(Some(place)).expect("its own place");
    writers.look(&published(2, Ok(A), 30), |_| 1);
    assert_eq!([heard(&mut first), heard(&mut second)], [Some(Word::Go), None]);
}

#[test]
fn a_primary_that_refuses_is_tried_again_when_it_has_answered_since() {
    let writers = queue(10);
    writers.look(&published(2, Ok(A), 10), |_| 1);
    writers.refused(A, Epoch::new(2), at(20));
    let [mut first] = tickets(&writers);
    writers.look(&published(2, Ok(A), 20), |_| 1);
    assert_eq!(heard(&mut first), None, "asked before, it may have died since");
    writers.look(&published(3, Ok(B), 20), |_| 1);
    assert_eq!(heard(&mut first), Some(Word::Go), "another one is another matter");
    writers.refused(B, Epoch::new(3), at(30));
    let place = first.place;
    drop(first);
    let mut first = writers.enter(Some(place)).expect("a place");
    writers.look(&published(3, Ok(B), 31), |_| 1);
    assert_eq!(heard(&mut first), None, "the second refusal in a row costs a pause of a millisecond");
    writers.look(&published(3, Ok(B), 32), |_| 1);
    assert_eq!(heard(&mut first), Some(Word::Go));
}

#[test]
fn nobody_waits_for_what_does_not_pass() {
    let split = || NoPrimary::SplitBrain { first: "a".into(), second: "b".into() };
    let writers = queue(10);
    let [mut before] = tickets(&writers);
    writers.look(&published(1, Err(split()), 10), |_| 1);
    let [mut after] = tickets(&writers);
    assert_eq!([heard(&mut before), heard(&mut after)], [Some(Word::Futile); 2]);
    let writers = queue(10);
    let [mut waits] = tickets(&writers);
    writers.close();
    assert_eq!((heard(&mut waits), writers.waiting()), (Some(Word::Futile), 0));
}
