//! Threads that wait for a connection of a pool, in the order in which they came.
//!
//! A condition variable would wake one of them, and whoever asks in that moment would be faster: under overload those who
//! have just had a connection, again and again.

use std::collections::VecDeque;
use std::thread::{self, Thread};

/// Kept under the lock of its pool. Who is called looks for himself whether it is his turn.
#[derive(Debug, Default)]
pub(super) struct Line {
    next: u64,
    waiting: VecDeque<(u64, Thread)>,
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes a place for this thread, which parks until it is called.
    pub(super) fn join(&mut self) -> u64 {
        let place = self.next;
        self.next += 1;
        self.waiting.push_back((place, thread::current()));
        place
    }

    pub(super) fn is_first(&self, place: u64) -> bool {
        self.waiting.front().is_some_and(|(first, _)| *first == place)
    }

    pub(super) fn leave(&mut self, place: u64) {
        self.waiting.retain(|(other, _)| *other != place);
    }

    pub(super) fn call_first(&self) {
        if let Some((_, thread)) = self.waiting.front() {
            thread.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_followed_by_who_came_next() {
        let mut line = Line::default();
        let places = [line.join(), line.join(), line.join()];
        assert!(line.is_first(places[0]));
        line.leave(places[1]);
        assert!(line.is_first(places[0]));
        line.leave(places[0]);
        assert!(line.is_first(places[2]) && !line.is_empty());
        line.leave(places[2]);
        assert!(line.is_empty());
    }
}
