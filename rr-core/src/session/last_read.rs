//! Who served the last read, and when, as long as no position bounds what it saw.
//!
//! Nothing is asked of a server for this. The node that served a read may serve the next one: its state only grows.
//! Another node may as soon as it covers a sample that was taken after the read, of the node that served it or of the
//! primary; the monitor brings such samples anyway.

use super::stamp::{self, TIME, stamp};
use crate::requirement::Seen;
use crate::sync::{AtomicU64, Ordering};
use crate::time::Moment;
use crate::topology::NodeId;

/// One word: the node's number + 1 in the upper bits (0: several nodes), and microseconds + 1 (0: nothing was read).
#[derive(Debug, Default)]
pub(crate) struct LastRead(AtomicU64);

/// The last read that a node was known to be able to follow when it was chosen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Follows(u64);

impl Follows {
    #[inline]
    pub(crate) fn of(seen: Option<Seen>) -> Self {
        Self(seen.map_or(0, pack))
    }
}

impl LastRead {
    #[inline]
    pub(crate) fn get(&self) -> Option<Seen> {
        unpack(self.0.load(Ordering::Acquire))
    }

    /// Notes a read that `node` had served by `at`, after it was chosen under the requirement `under`.
    ///
    /// What `under` says is proven for that node, and so is replaced. Anything else was noted meanwhile: two nodes
    /// served reads at once, and neither is known to have what the other one has.
    #[inline]
    pub(crate) fn note(&self, node: NodeId, at: Moment, under: Follows) {
        let new = pack(Seen::on(node, at));
        let mut old = self.0.load(Ordering::Acquire);
        loop {
            let same_node = stamp::number(old) == stamp::number(new) && stamp::number(new) != 0;
            let next = if old == 0 || old == under.0 || same_node {
                // Of reads on one node the latest counts.
                if same_node { old.max(new) } else { new }
            } else {
                (old & TIME).max(new & TIME)
            };
            match self.0.compare_exchange_weak(old, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => old = now,
            }
        }
    }

    /// Forgets a read, now that a position bounds what it saw; unless there was another one.
    pub(crate) fn settle(&self, seen: Seen) {
        let _ = self.0.compare_exchange(pack(seen), 0, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Takes over what another one has seen.
    pub(crate) fn absorb(&self, other: &Self) {
        let Some(seen) = other.get() else { return };
        match seen.node {
            Some(node) => self.note(node, seen.at, Follows::default()),
            None => self.note_nowhere(seen.at),
        }
    }

    /// Notes that something was seen by `at` that no node is known to have.
    pub(crate) fn note_nowhere(&self, at: Moment) {
        let new = pack(Seen { node: None, at });
        let merge = |old: u64| Some((old & TIME).max(new));
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, merge);
    }
}

/// A node's number that has no room is nobody's.
#[inline]
fn pack(seen: Seen) -> u64 {
    stamp(seen.node.map_or(0, |node| u64::from(node.number()) + 1), seen.at)
}

#[inline]
fn unpack(word: u64) -> Option<Seen> {
    let at = stamp::moment(word)?;
    let node = u32::try_from(stamp::number(word)).ok()?.checked_sub(1).map(NodeId::new);
    Some(Seen { node, at })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(node: u32, millis: u64) -> Seen {
        Seen::on(NodeId::new(node), Moment::from_millis(millis))
    }

    fn after(notes: &[(Seen, Option<Seen>)]) -> Option<Seen> {
        let last = LastRead::default();
        for (seen, under) in notes {
            last.note(seen.node.unwrap(), seen.at, Follows::of(*under));
        }
        last.get()
    }

    #[test]
    fn the_last_read_replaces_what_it_was_chosen_under() {
        assert_eq!(LastRead::default().get(), None);
        assert_eq!(after(&[(on(0, 0), None)]), Some(on(0, 0)));
        assert_eq!(after(&[(on(1, 5), None), (on(2, 9), Some(on(1, 5)))]), Some(on(2, 9)));
        assert_eq!(after(&[(on(1, 5), None), (on(1, 9), None), (on(1, 7), None)]), Some(on(1, 9)));
    }

    #[test]
    fn reads_on_two_nodes_at_once_leave_none_that_has_both() {
        let both = Some(Seen { node: None, at: Moment::from_millis(9) });
        assert_eq!(after(&[(on(1, 9), None), (on(2, 5), None)]), both);
        assert_eq!(after(&[(on(1, 5), None), (on(2, 9), None)]), both);
        assert_eq!(after(&[(on(1, 9), None), (on(2, 5), None), (on(1, 7), None)]), both);
    }

    #[test]
    fn times_are_rounded_up_and_numbers_without_room_are_nobody() {
        let at = Moment::from_nanos(1);
        assert_eq!(
            unpack(pack(Seen::on(NodeId::new(3), at))),
            Some(Seen::on(NodeId::new(3), Moment::from_nanos(1_000)))
        );
        assert_eq!(unpack(pack(Seen::on(NodeId::new(1 << 14), at))).unwrap().node, None);
        let last = NodeId::new((1 << 14) - 2);
        assert_eq!(unpack(pack(Seen::on(last, at))).unwrap().node, Some(last));
        assert!(unpack(pack(Seen::on(last, Moment::MAX))).is_some());
    }

    #[test]
    fn what_is_settled_is_forgotten_unless_there_was_another_read() {
        let last = LastRead::default();
        last.note(NodeId::new(1), Moment::from_millis(5), Follows::default());
        last.settle(on(1, 4));
        assert_eq!(last.get(), Some(on(1, 5)));
        last.settle(on(1, 5));
        assert_eq!(last.get(), None);
    }

    #[test]
    fn what_another_one_has_seen_is_taken_over() {
        let (one, other) = (LastRead::default(), LastRead::default());
        other.note(NodeId::new(1), Moment::from_millis(5), Follows::default());
        one.absorb(&other);
        assert_eq!(one.get(), Some(on(1, 5)));
        other.note_nowhere(Moment::from_millis(8));
        one.absorb(&other);
        assert_eq!(one.get(), Some(Seen { node: None, at: Moment::from_millis(8) }));
    }
}
