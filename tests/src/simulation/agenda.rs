//! What happens when: a queue ordered by time, and by order of entry where times are equal.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use rr_core::time::Moment;

/// Things to come.
#[derive(Debug)]
pub(super) struct Agenda<T> {
    queue: BinaryHeap<Reverse<Entry<T>>>,
    entered: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Moment,
    number: u64,
    what: T,
}

impl<T> Agenda<T> {
    pub(super) fn new() -> Self {
        Self { queue: BinaryHeap::new(), entered: 0 }
    }

    pub(super) fn add(&mut self, at: Moment, what: T) {
        self.entered += 1;
        self.queue.push(Reverse(Entry { at, number: self.entered, what }));
    }

    /// Nothing happens for so long.
    pub(super) fn postpone(&mut self, pause: Duration) {
        let later = |Reverse(entry): Reverse<Entry<T>>| Reverse(Entry { at: entry.at + pause, ..entry });
        self.queue = std::mem::take(&mut self.queue).into_iter().map(later).collect();
    }

    /// Nothing happens any more.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }

    pub(super) fn next(&mut self) -> Option<(Moment, T)> {
        self.queue.pop().map(|Reverse(entry)| (entry.at, entry.what))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_first_and_equals_in_order_of_entry() {
        let mut agenda = Agenda::new();
        for (at, what) in [(5, 'c'), (1, 'a'), (5, 'd'), (2, 'b')] {
            agenda.add(Moment::from_millis(at), what);
        }
        let order: String = std::iter::from_fn(|| agenda.next()).map(|(_, what)| what).collect();
        assert_eq!(order, "abcd");
    }
}
