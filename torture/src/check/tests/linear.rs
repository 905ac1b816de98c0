//! The judges look at each operation so and so often, however many there are.

use super::*;
use crate::check::ground::STEPS;

/// A long life: many sessions, hand-overs, and writes that are lost, of sessions that read no more, or not these lists.
fn long(ops: usize) -> History {
    let mut story = Story::new(3);
    story.lossy = true;
    for number in 0..u64::try_from(ops / 16).unwrap() {
        let (session, key) = (number % 50, Key::try_from(number % 3).unwrap());
        story.append(session, key).read(session).append(session + 1, key).read(session + 1);
        story.read_at(7, Level::Strong, &[]).read_at(8, Level::Bounded(1), &[]);
        story.hand_over(session, 1_000_000 + number).read(1_000_000 + number);
        story.append_as(2_000_000 + number, key, Outcome::Ok, false);
        // Of one session, which hands them over again and again: to many, and each time back to itself.
        story.append_as(4_000_000, 2, Outcome::Ok, false).read_at(4_000_000, Level::Session, &[0]);
        story.hand_over(4_000_000, 3_000_000 + number).hand_over(3_000_000 + number, 4_000_000);
    }
    story.history()
}

/// What our judges look at. The independent one is given whole lists only, of which there are none.
fn steps(history: &History) -> usize {
    STEPS.set(0);
    assert_eq!(check(history).violations.len(), 0);
    STEPS.get()
}

#[test]
fn ten_times_the_operations_are_ten_times_the_work() {
    let (few, many) = (long(10_000), long(100_000));
    assert_eq!(many.ops.len(), 10 * few.ops.len());
    let (few, many) = (steps(&few), steps(&many));
    assert!(few > 10_000 && many < 11 * few, "{few} steps, and then {many}");
}
