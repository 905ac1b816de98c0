//! MySQL positions: sets of global transaction identifiers.

use std::sync::Arc;

use super::ServerUuid;

/// The highest transaction number that MySQL assigns.
pub(super) const MAX_NUMBER: u64 = i64::MAX.unsigned_abs() - 1;

/// A MySQL GTID set: `3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7`, as in `gtid_executed`.
///
/// Every transaction has the UUID of the server that wrote it, since MySQL 8.3 perhaps a tag, and a number from 1 to
/// 2^63 − 2. The set may have holes, because a server applies transactions in parallel and numbers may be lost, so
/// "as far as" is not enough: a set covers another when it is a superset.
///
/// The empty set is allowed, and every set covers it. Cloning shares the value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct GtidSet {
    /// Ascending by server and tag, each pair once, none without an interval.
    pub(super) sources: Arc<[Source]>,
}

/// The transactions of one server under one tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) server: ServerUuid,
    /// Lower case, never empty.
    pub(super) tag: Option<Box<str>>,
    /// Ascending, with a gap between any two.
    pub(super) intervals: Vec<Interval>,
}

/// The transactions from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Interval {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Source {
    fn key(&self) -> (ServerUuid, Option<&str>) {
        (self.server, self.tag.as_deref())
    }

    /// Both lists ascend, so one pass over each is enough. As there is a gap between any two intervals, what is
    /// needed lies within a single one or is not covered.
    fn covers(&self, needed: &[Interval]) -> bool {
        let mut mine = self.intervals.iter().peekable();
        needed.iter().all(|needed| {
            while mine.next_if(|have| have.last < needed.last).is_some() {}
            mine.peek().is_some_and(|have| have.first <= needed.first)
        })
    }

    /// Sorts the intervals and merges those that touch.
    fn make_canonical(&mut self) {
        self.intervals.sort();
        self.intervals.dedup_by(|next, kept| {
            // No overflow: numbers end at `MAX_NUMBER`.
            let touch = next.first <= kept.last + 1;
            if touch {
                kept.last = kept.last.max(next.last);
            }
            touch
        });
        self.intervals.shrink_to_fit();
    }
}

impl GtidSet {
    /// Whether every transaction of `other` is in this set. Linear in the lengths of both.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.sources, &other.sources) {
            return true;
        }
        let mut mine = self.sources.iter();
        other.sources.iter().all(|needed| {
            let mut ordered = mine.by_ref().map(|have| (have.key().cmp(&needed.key()), have));
            let found = ordered.find(|(order, _)| order.is_ge());
            found.is_some_and(|(order, have)| order.is_eq() && have.covers(&needed.intervals))
        })
    }

    /// The transactions that are in either set.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        // One of the two is nearly always behind the other: then no list is built.
        if self.covers(other) {
            self.clone()
        } else if other.covers(self) {
            other.clone()
        } else {
            Self::from_sources(self.sources.iter().chain(other.sources.iter()).cloned().collect())
        }
    }

    /// Whether the set has the transaction that `server` wrote under `tag` (in either case) with this number.
    #[must_use]
    pub fn contains(&self, server: ServerUuid, tag: Option<&str>, number: u64) -> bool {
        let tag = tag.map(str::to_ascii_lowercase);
        let key = (server, tag.as_deref());
        let source =
            self.sources.binary_search_by_key(&key, Source::key).ok().and_then(|at| self.sources.get(at));
        source.is_some_and(|source| {
            let after = source.intervals.partition_point(|interval| interval.last < number);
            source.intervals.get(after).is_some_and(|interval| interval.first <= number)
        })
    }

    /// How many transactions the set has; `u64::MAX` when they are more than that.
    #[must_use]
    pub fn count(&self) -> u64 {
        let intervals = self.sources.iter().flat_map(|source| &source.intervals);
        intervals.fold(0, |sum: u64, interval| sum.saturating_add(interval.last - interval.first + 1))
    }

    /// Whether the set has no transaction.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// The canonical set with these sources, in any order and with repetitions.
    pub(super) fn from_sources(mut sources: Vec<Source>) -> Self {
        sources.sort_by(|a, b| a.key().cmp(&b.key()));
        sources.dedup_by(|next, kept| {
            let same = next.key() == kept.key();
            if same {
                kept.intervals.append(&mut next.intervals);
            }
            same
        });
        sources.iter_mut().for_each(Source::make_canonical);
        Self { sources: sources.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::position::laws::{self, Lattice};

    const TAGS: [&str; 3] = ["", "_x", "batch_7"];

    fn server(n: u8) -> ServerUuid {
        ServerUuid::from_bytes([n; 16])
    }

    /// Transactions one by one: (server, index into `TAGS`, number).
    type Model = BTreeSet<(u8, usize, u64)>;

    impl Lattice for GtidSet {
        type Model = Model;

        fn from_model(model: &Model) -> Self {
            // Backwards, so that canonical order is the parser's work and not the model's.
            let gtids = model.iter().rev().map(|&(s, tag, number)| match TAGS[tag] {
                "" => format!("{}:{number}", server(s)),
                tag => format!("{}:{tag}:{number}", server(s)),
            });
            gtids.collect::<Vec<_>>().join(",").parse().unwrap()
        }

        fn model_covers(a: &Model, b: &Model) -> bool {
            a.is_superset(b)
        }

        fn model_join(a: &Model, b: &Model) -> Model {
            a | b
        }

        fn covers(&self, other: &Self) -> bool {
            self.covers(other)
        }

        fn join(&self, other: &Self) -> Self {
            self.join(other)
        }
    }

    /// Few servers, tags and numbers, so that any two sets often meet.
    fn models() -> impl Strategy<Value = Model> {
        let dense = prop::collection::btree_set((0_u8..2, 0_usize..1, 1_u64..8), 0..10);
        let tagged = prop::collection::btree_set((0_u8..3, 0..TAGS.len(), 1_u64..4), 0..8);
        prop_oneof![dense, tagged]
    }

    laws::lattice_laws!(GtidSet, models());

    proptest! {
        #[test]
        fn contains_and_count_agree_with_the_model(model in models()) {
            let set = GtidSet::from_model(&model);
            prop_assert_eq!(set.count(), u64::try_from(model.len()).unwrap());
            prop_assert_eq!(set.is_empty(), model.is_empty());
            for s in 0..4 {
                for (t, tag) in TAGS.iter().enumerate() {
                    let loud = tag.to_uppercase();
                    for number in 0..9 {
                        let expected = model.contains(&(s, t, number));
                        let tag = (!tag.is_empty()).then_some(loud.as_str());
                        prop_assert_eq!(set.contains(server(s), tag, number), expected);
                    }
                }
            }
        }
    }

    #[test]
    fn a_hole_is_not_covered() {
        let uuid = server(1);
        let set = |text: &str| format!("{uuid}:{text}").parse::<GtidSet>().unwrap();
        let node = set("1-5:7-9:20");
        for (needed, reached) in [
            ("1-5", true),
            ("2:4", true),
            ("6", false),
            ("5-7", false),
            ("8-9:20", true),
            ("9-20", false),
            ("21", false),
        ] {
            assert_eq!(node.covers(&set(needed)), reached, "{needed}");
        }
        assert!(!node.covers(&format!("{}:1", server(0)).parse().unwrap()), "another server's transaction");
        assert!(!node.covers(&set("tag:1")), "a tagged transaction is another one");
    }

    #[test]
    fn count_stops_at_the_largest_number() {
        let all = |n: u8| format!("{}:1-{MAX_NUMBER}", server(n)).parse::<GtidSet>().unwrap();
        assert_eq!(all(1).count(), MAX_NUMBER);
        let three = all(1).join(&all(2)).join(&all(3));
        assert_eq!(three.count(), u64::MAX);
    }
}
