//! MariaDB positions: a sequence number in each replication domain.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::ParsePositionError;
use super::text::{Cursor, serde_as_text};

/// For each replication domain, the last transaction that is included: `0-1-100,1-2-50` in the server's own form
/// `domain-server-sequence`, as in `gtid_current_pos` and `last_gtid`.
///
/// Within a domain transactions are applied in the order of their sequence numbers, so one number stands for all
/// that came before. Domains are independent of each other; one that is missing has nothing included.
///
/// **Equal numbers from different servers.** With `gtid_strict_mode` this cannot happen in a healthy cluster: it means
/// that two servers wrote to one domain at the same time. The order must still be a total one within a domain, so
/// the greater server id counts as the later. Sequence numbers alone cannot show a write that a failover lost; only
/// strict mode keeps a server from going on without it.
///
/// Sequence number 0 comes before a domain's first transaction and is left out. The empty position is allowed, and
/// every position covers it. Cloning shares the value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MariaGtid {
    /// One for each domain, ascending, none with sequence number 0.
    domains: Arc<[Last]>,
}

/// The last transaction of a domain. The order of the fields is the order of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Last {
    domain: u32,
    sequence: u64,
    server: u32,
}

impl MariaGtid {
    /// Everything in `domain` up to the transaction that `server_id` wrote with this sequence number.
    #[must_use]
    pub fn new(domain: u32, server_id: u32, sequence: u64) -> Self {
        Self::from_lasts(vec![Last { domain, sequence, server: server_id }])
    }

    /// The last included sequence number of `domain`; `None` when nothing of it is included.
    #[must_use]
    pub fn sequence(&self, domain: u32) -> Option<u64> {
        let at = self.domains.binary_search_by_key(&domain, |last| last.domain).ok()?;
        self.domains.get(at).map(|last| last.sequence)
    }

    /// Whether nothing at all is included.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty()
    }

    /// Whether every domain of `other` is reached.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        // Both lists ascend, so one pass over each is enough.
        let mut mine = self.domains.iter();
        other.domains.iter().all(|needed| {
            mine.find(|have| have.domain >= needed.domain)
                .is_some_and(|have| have.domain == needed.domain && have >= needed)
        })
    }

    /// The later transaction of each domain.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        // One of the two is nearly always behind the other: then no list is built.
        if self.covers(other) {
            self.clone()
        } else if other.covers(self) {
            other.clone()
        } else {
            Self::from_lasts(self.domains.iter().chain(other.domains.iter()).copied().collect())
        }
    }

    /// The canonical position with these transactions, in any order and with repetitions.
    fn from_lasts(mut lasts: Vec<Last>) -> Self {
        lasts.retain(|last| last.sequence > 0);
        // Latest first, so that `dedup` keeps the latest of each domain.
        lasts.sort_by(|a, b| b.cmp(a));
        lasts.dedup_by_key(|last| last.domain);
        lasts.reverse();
        Self { domains: lasts.into() }
    }
}

/// `0-1-100,1-2-50`; empty text for the empty position.
impl fmt::Display for MariaGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Last { domain, sequence, server }) in self.domains.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{domain}-{server}-{sequence}")?;
        }
        Ok(())
    }
}

/// Reads what the server prints, with the domains in any order and with white space around them. When a domain comes
/// several times (`gtid_binlog_state` lists each server that wrote to it), the latest counts.
impl FromStr for MariaGtid {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const DASH: &str = "\"-\" inside a GTID such as 0-1-100";
        let mut cursor = Cursor::new(text);
        let mut lasts = Vec::new();
        cursor.skip_whitespace();
        if cursor.at_end() {
            return Ok(Self::default());
        }
        loop {
            cursor.skip_whitespace();
            let domain = cursor.decimal("a domain id, a decimal number below 2^32")?;
            cursor.expect(b'-', DASH)?;
            let server = cursor.decimal("a server id, a decimal number below 2^32")?;
            cursor.expect(b'-', DASH)?;
            let sequence = cursor.decimal("a sequence number, a decimal number below 2^64")?;
            lasts.push(Last { domain, sequence, server });
            cursor.skip_whitespace();
            if !cursor.eat(b',') {
                break;
            }
        }
        cursor.expect_end("\",\" or the end of the position")?;
        Ok(Self::from_lasts(lasts))
    }
}

serde_as_text!(MariaGtid, "a MariaDB position such as 0-1-100");

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::position::laws::{self, Lattice};

    fn position(text: &str) -> MariaGtid {
        text.parse().unwrap()
    }

    /// Domain → (sequence number, server id).
    type Model = BTreeMap<u32, (u64, u32)>;

    impl Lattice for MariaGtid {
        type Model = Model;

        fn from_model(model: &Model) -> Self {
            let points =
                model.iter().map(|(&domain, &(sequence, server))| Self::new(domain, server, sequence));
            points.fold(Self::default(), |sum, point| sum.join(&point))
        }

        fn model_covers(a: &Model, b: &Model) -> bool {
            b.iter().all(|(domain, last)| a.get(domain).is_some_and(|have| have >= last))
        }

        fn model_join(a: &Model, b: &Model) -> Model {
            let mut sum = a.clone();
            for (&domain, &last) in b {
                sum.entry(domain).and_modify(|have| *have = last.max(*have)).or_insert(last);
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

    /// Few domains, servers and numbers, so that any two positions often meet, ties included.
    fn models() -> impl Strategy<Value = Model> {
        prop::collection::btree_map(0_u32..4, (1_u64..4, 1_u32..3), 0..4)
    }

    laws::lattice_laws!(MariaGtid, models());

    fn any_position() -> impl Strategy<Value = MariaGtid> {
        let last = (any::<u32>(), any::<u64>(), any::<u32>());
        prop::collection::vec(last, 0..6).prop_map(|lasts| {
            let lasts = lasts.into_iter().map(|(domain, sequence, server)| Last { domain, sequence, server });
            MariaGtid::from_lasts(lasts.collect())
        })
    }

    #[test]
    fn each_domain_counts_for_itself() {
        let node = position("0-1-100,1-2-50");
        for (required, reached) in [
            ("", true),
            ("0-1-100", true),
            ("0-7-99", true),
            ("0-1-101", false),
            ("1-2-50,0-1-1", true),
            ("1-2-51,0-1-1", false),
            ("2-1-1", false),
            ("2-1-0", true),
        ] {
            assert_eq!(node.covers(&position(required)), reached, "{required:?}");
        }
        assert_eq!([0, 1, 2].map(|domain| node.sequence(domain)), [Some(100), Some(50), None]);
    }

    #[test]
    fn equal_numbers_are_ordered_by_server() {
        let [one, two] = ["0-1-100", "0-2-100"].map(position);
        assert!(two.covers(&one) && !one.covers(&two));
        assert_eq!(one.join(&two), two);
        assert_eq!(position("0-2-100,0-1-100"), two);
        assert!(position("0-1-101").covers(&two), "the number goes first");
    }

    #[test]
    fn texts_are_made_canonical() {
        assert_eq!(position(" 1-2-50 ,\n0-1-100\n").to_string(), "0-1-100,1-2-50");
        assert_eq!(position("0-1-5,0-2-9,0-3-7").to_string(), "0-2-9");
        assert_eq!(position(" \n"), MariaGtid::default());
        assert!(position("3-1-0").is_empty());
        assert_eq!(position("4294967295-4294967295-18446744073709551615").sequence(u32::MAX), Some(u64::MAX));
    }

    #[test]
    fn refuses_what_is_no_position() {
        for text in [
            "0",
            "0-1",
            "0-1-",
            "0-1-1,",
            ",",
            ",0-1-1",
            "0-1-1 0-1-2",
            "0--1-1",
            "-1-1-1",
            "0-1-1-1",
            "0- 1-1",
            "4294967296-1-1",
            "0-4294967296-1",
            "0-1-18446744073709551616",
            "0-1-0x1",
        ] {
            assert!(text.parse::<MariaGtid>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_huge_text_is_read() {
        let items: Vec<String> =
            (0..500_000_u32).rev().map(|n| format!("{n}-{n}-{}", u64::from(n) + 1)).collect();
        let read = position(&items.join(","));
        assert_eq!(read.sequence(499_999), Some(500_000));
        assert!(read.covers(&position("7-7-8")) && !read.covers(&position("7-7-9")));
    }

    proptest! {
        #[test]
        fn parse_inverts_display(position in any_position()) {
            prop_assert_eq!(position.to_string().parse(), Ok(position));
        }

        #[test]
        fn parse_survives_damage(position in any_position(), damage in laws::damage()) {
            if let Ok(read) = damage.apply(&position.to_string()).parse::<MariaGtid>() {
                prop_assert_eq!(read.to_string().parse(), Ok(read));
            }
        }
    }
}
