//! PostgreSQL positions: an LSN on each timeline.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::text::{Cursor, serde_as_text};
use super::{Lsn, ParsePositionError, Timeline};

/// For each timeline, the highest LSN that is known to be included: a vector clock over timelines.
///
/// A bare LSN cannot tell a kept write from a lost one. When timeline 2 forked off timeline 1 at 100, a write that
/// ended at (1, 90) is part of timeline 2 and one at (1, 120) is gone, yet a server at (2, 500) has a larger LSN
/// than both. Naming the fork point makes it plain:
///
/// ```
/// use rr_core::position::{Lsn, PgPosition, Timeline};
/// let [one, two] = [1, 2].map(|n| Timeline::new(n).expect("not zero"));
/// let node = PgPosition::new(two, Lsn::from_u64(500)).with_ancestor(one, Lsn::from_u64(100));
///
/// assert!(node.covers(&PgPosition::new(one, Lsn::from_u64(90))));
/// assert!(!node.covers(&PgPosition::new(one, Lsn::from_u64(120)))); // a lost write
/// ```
///
/// Without the ancestor a position on a newer timeline covers nothing of an older one: what is unknown is not
/// included.
///
/// LSN 0 comes before the first record, so a point with LSN 0 names nothing and is left out. All positions that
/// name nothing are equal; they print as `1:0/0` and every position covers them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PgPosition {
    /// The highest timeline with a point. [`Timeline::FIRST`] when there is none.
    timeline: Timeline,
    /// Zero only when the whole position names nothing.
    lsn: Lsn,
    /// The points of lower timelines, ascending, none with LSN 0; `None` instead of empty.
    ///
    /// Apart from the head because it is there only after a failover: the ordinary comparison must not follow a
    /// pointer.
    older: Option<Arc<[Point]>>,
}

/// "Timeline up to here."
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Point {
    timeline: Timeline,
    lsn: Lsn,
}

impl PgPosition {
    /// Everything on `timeline` up to `lsn`, and nothing that is known of older timelines.
    #[must_use]
    pub const fn new(timeline: Timeline, lsn: Lsn) -> Self {
        let timeline = if lsn.as_u64() == 0 { Timeline::FIRST } else { timeline };
        Self { timeline, lsn, older: None }
    }

    /// Adds that everything on `timeline` up to `switch_lsn` is included too, because the newer timeline forked off
    /// there.
    ///
    /// Points only ever rise: when the timeline has a higher LSN already, nothing changes.
    #[must_use]
    pub fn with_ancestor(self, timeline: Timeline, switch_lsn: Lsn) -> Self {
        self.join(&Self::new(timeline, switch_lsn))
    }

    /// The highest timeline and the LSN on it.
    #[must_use]
    pub const fn head(&self) -> (Timeline, Lsn) {
        (self.timeline, self.lsn)
    }

    /// Whether the head is all there is.
    pub(crate) const fn is_single(&self) -> bool {
        self.older.is_none()
    }

    /// How far `timeline` is included; `None` when nothing of it is known to be.
    #[must_use]
    pub fn point(&self, timeline: Timeline) -> Option<Lsn> {
        self.points().find_map(|(t, lsn)| (t == timeline).then_some(lsn))
    }

    /// All points, by ascending timeline. There is none when the position names nothing.
    pub fn points(&self) -> impl Iterator<Item = (Timeline, Lsn)> + '_ {
        self.all().map(|point| (point.timeline, point.lsn))
    }

    fn all(&self) -> impl Iterator<Item = Point> + '_ {
        let head = Point { timeline: self.timeline, lsn: self.lsn };
        let older = self.older.as_deref().unwrap_or_default();
        older.iter().copied().chain((head.lsn > Lsn::ZERO).then_some(head))
    }

    /// Whether every point of `other` is reached.
    #[inline]
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        if self.timeline == other.timeline && other.older.is_none() {
            self.lsn >= other.lsn
        } else {
            self.covers_history(other)
        }
    }

    /// Both lists ascend, so one pass over each is enough.
    fn covers_history(&self, other: &Self) -> bool {
        let mut mine = self.all();
        other.all().all(|needed| {
            mine.find(|have| have.timeline >= needed.timeline)
                .is_some_and(|have| have.timeline == needed.timeline && have.lsn >= needed.lsn)
        })
    }

    /// The higher LSN of each timeline.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        // One of the two is nearly always behind the other: then no list is built.
        if self.covers(other) {
            self.clone()
        } else if other.covers(self) {
            other.clone()
        } else {
            Self::from_points(self.all().chain(other.all()).collect())
        }
    }

    /// By how many bytes `behind` trails this position; zero when it does not.
    ///
    /// `None` when the two are on different timelines: their distance is not a number of bytes.
    #[must_use]
    pub fn lag_bytes(&self, behind: &Self) -> Option<u64> {
        (self.timeline == behind.timeline).then(|| self.lsn.bytes_since(behind.lsn))
    }

    /// The canonical position with these points, in any order and with repetitions.
    fn from_points(mut points: Vec<Point>) -> Self {
        points.retain(|point| point.lsn > Lsn::ZERO);
        // Highest first, so that `dedup` keeps the highest LSN of each timeline.
        points.sort_by(|a, b| b.cmp(a));
        points.dedup_by_key(|point| point.timeline);
        points.reverse();
        let Some(head) = points.pop() else {
            return Self::new(Timeline::FIRST, Lsn::ZERO);
        };
        Self { timeline: head.timeline, lsn: head.lsn, older: (!points.is_empty()).then(|| points.into()) }
    }
}

/// `2:0/1F4`, or with ancestors `1:0/64,2:0/1F4`.
impl fmt::Display for PgPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Point { timeline, lsn } in self.older.iter().flat_map(|older| older.iter()) {
            write!(f, "{timeline}:{lsn},")?;
        }
        write!(f, "{}:{}", self.timeline, self.lsn)
    }
}

/// Reads what `Display` prints, with the points in any order.
impl FromStr for PgPosition {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut cursor = Cursor::new(text);
        let mut points = Vec::new();
        loop {
            let timeline = Timeline::read(&mut cursor)?;
            cursor.expect(b':', "\":\" between a timeline and its LSN")?;
            points.push(Point { timeline, lsn: Lsn::read(&mut cursor)? });
            if !cursor.eat(b',') {
                break;
            }
        }
        cursor.expect_end("\",\" or the end of the position")?;
        Ok(Self::from_points(points))
    }
}

serde_as_text!(PgPosition, "a PostgreSQL position such as 2:0/1F4");

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::position::laws::{self, Lattice};

    fn position(text: &str) -> PgPosition {
        text.parse().unwrap()
    }

    impl Lattice for PgPosition {
        type Model = BTreeMap<Timeline, Lsn>;

        fn from_model(model: &Self::Model) -> Self {
            let points = model.iter().map(|(&timeline, &lsn)| Self::new(timeline, lsn));
            points.fold(Self::new(Timeline::FIRST, Lsn::ZERO), |sum, point| sum.join(&point))
        }

        fn model_covers(a: &Self::Model, b: &Self::Model) -> bool {
            b.iter().all(|(timeline, lsn)| a.get(timeline).is_some_and(|have| have >= lsn))
        }

        fn model_join(a: &Self::Model, b: &Self::Model) -> Self::Model {
            let mut sum = a.clone();
            for (&timeline, &lsn) in b {
                sum.entry(timeline).and_modify(|have| *have = lsn.max(*have)).or_insert(lsn);
            }
            sum
        }

        fn covers(&self, other: &Self) -> bool {
            self.covers(other)
        }

        fn join(&self, other: &Self) -> Self {
            self.join(other)
        }
    }

    /// Few timelines and LSNs, so that any two positions often meet.
    fn models() -> impl Strategy<Value = BTreeMap<Timeline, Lsn>> {
        let timeline = (1_u32..5).prop_map(|n| Timeline::new(n).unwrap());
        proptest::collection::btree_map(timeline, (1_u64..4).prop_map(Lsn::from_u64), 0..4)
    }

    laws::lattice_laws!(PgPosition, models());

    fn any_position() -> impl Strategy<Value = PgPosition> {
        proptest::collection::vec((1..=u32::MAX, any::<u64>()), 0..6).prop_map(|points| {
            let points = points.iter().map(|&(t, l)| (Timeline::new(t).unwrap(), Lsn::from_u64(l)));
            PgPosition::from_points(points.map(|(timeline, lsn)| Point { timeline, lsn }).collect())
        })
    }

    #[test]
    fn a_promoted_node_keeps_what_came_before_the_switch_and_nothing_later() {
        let promoted = position("1:0/64,2:0/1F4");
        for (required, reached) in [
            ("1:0/1", true),
            ("1:0/64", true),
            ("1:0/65", false),
            ("2:0/1F4", true),
            ("2:0/1F5", false),
            ("1:0/64,2:0/1F4", true),
            ("1:0/65,2:0/1F4", false),
            ("3:0/1", false),
            ("1:0/0", true),
        ] {
            assert_eq!(promoted.covers(&position(required)), reached, "{required}");
        }
        assert!(!position("2:0/1F4").covers(&position("1:0/1")), "an unknown ancestor is not included");
        assert!(!position("1:FF/0").covers(&position("2:0/1")), "nor is an unknown descendant");
    }

    #[test]
    fn ancestors_may_come_in_any_order_and_never_lower_a_point() {
        let [one, two, three] = [1, 2, 3].map(|n| Timeline::new(n).unwrap());
        let at = Lsn::from_u64;
        let expected = position("1:0/64,2:0/C8,3:0/12C");
        assert_eq!(
            PgPosition::new(three, at(300)).with_ancestor(one, at(100)).with_ancestor(two, at(200)),
            expected
        );
        assert_eq!(
            PgPosition::new(one, at(100)).with_ancestor(three, at(300)).with_ancestor(two, at(200)),
            expected
        );
        assert_eq!(expected.clone().with_ancestor(two, at(1)), expected);
        assert_eq!(expected.head(), (three, at(300)));
        assert_eq!([one, two, three].map(|t| expected.point(t)), [100, 200, 300].map(|n| Some(at(n))));
        assert_eq!(expected.point(Timeline::new(4).unwrap()), None);
        assert_eq!(expected.points().collect::<Vec<_>>(), [(one, at(100)), (two, at(200)), (three, at(300))]);
    }

    #[test]
    fn lsn_zero_names_nothing() {
        let nothing = PgPosition::new(Timeline::new(7).unwrap(), Lsn::ZERO);
        assert_eq!(nothing.to_string(), "1:0/0");
        assert_eq!(nothing, position("3:0/0,2:0/0"));
        assert_eq!(nothing.points().count(), 0);
        assert_eq!(nothing.point(Timeline::FIRST), None);
        assert_eq!(position("1:0/5,2:0/0"), position("1:0/5"));
    }

    #[test]
    fn lag_is_known_on_one_timeline_only() {
        assert_eq!(position("2:0/20").lag_bytes(&position("1:0/5,2:0/10")), Some(16));
        assert_eq!(position("2:0/10").lag_bytes(&position("2:0/20")), Some(0));
        assert_eq!(position("2:0/20").lag_bytes(&position("1:0/10")), None);
    }

    #[test]
    fn refuses_what_is_no_position() {
        for text in
            ["", "0/1F4", "0:0/1", "1:", "1:0/1,", ",1:0/1", "1:0/1 ", "1:0/1;2:0/1", "4294967296:0/1"]
        {
            assert!(text.parse::<PgPosition>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_huge_text_is_read_in_one_pass() {
        let text: Vec<String> = (1..=500_000).rev().map(|n| format!("{n}:{n:X}/{n:X}")).collect();
        let text = text.join(",");
        let read = position(&text);
        assert_eq!(read.points().count(), 500_000);
        assert!(read.covers(&position("77:4D/4D")));
    }

    proptest! {
        #[test]
        fn parse_inverts_display(position in any_position()) {
            prop_assert_eq!(position.to_string().parse(), Ok(position));
        }

        #[test]
        fn parse_survives_damage(position in any_position(), damage in laws::damage()) {
            if let Ok(read) = damage.apply(&position.to_string()).parse::<PgPosition>() {
                prop_assert_eq!(read.to_string().parse(), Ok(read));
            }
        }
    }
}
