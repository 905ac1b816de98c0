//! PostgreSQL's log sequence numbers.

use std::fmt;
use std::str::FromStr;

use super::ParsePositionError;
use super::text::{Cursor, serde_as_text};

/// Size of a WAL page (`XLOG_BLCKSZ`), as every distribution builds it.
const PAGE: u64 = 8192;
/// Length of the header of an ordinary WAL page.
const SHORT_HEADER: u64 = 24;
/// Length of the header of the first page of a WAL segment.
const LONG_HEADER: u64 = 40;

/// A byte offset in PostgreSQL's write-ahead log.
///
/// Alone it says nothing after a failover, because the offset exists on every timeline that has come so far;
/// [`PgPosition`](super::PgPosition) adds the timeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

impl Lsn {
    /// Before the first record; PostgreSQL's "invalid" LSN.
    pub const ZERO: Self = Self(0);

    /// The LSN with this offset.
    #[must_use]
    pub const fn from_u64(offset: u64) -> Self {
        Self(offset)
    }

    /// The offset.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Bytes of WAL from `earlier` to here; zero when `earlier` is not earlier.
    #[must_use]
    pub const fn bytes_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Takes an insert position back over a page header, to where a replica can get.
    ///
    /// `pg_current_wal_insert_lsn()` says where the *next* record will start. When the last record filled its page
    /// to the end, that is behind the next page's header: 24 bytes into the page, or 40 on the first page of a
    /// segment. A replica that has replayed everything says where the last record *ended*: the page start. The
    /// primary's number is then larger than any replica's until something else is written, and whoever waits for
    /// it on an idle primary waits for ever.
    ///
    /// Rounding down is sound because no part of a record lies in a header: exactly the same records end at or
    /// before the page start as at or before the header's end. A record that continues on the page has at
    /// least one byte behind the header, so no record ends on the header's last byte either.
    ///
    /// `wal_segment_size` is the server's setting of that name, in bytes. When it is not a whole number of pages
    /// the longer header is not recognised and such a position is left as it is, which can only make the caller
    /// wait.
    #[must_use]
    pub const fn normalised(self, wal_segment_size: u64) -> Self {
        let in_page = self.0 % PAGE;
        if in_page == SHORT_HEADER {
            return Self(self.0 - SHORT_HEADER);
        }
        let whole_pages = wal_segment_size >= PAGE && wal_segment_size.is_multiple_of(PAGE);
        if whole_pages && self.0 % wal_segment_size == LONG_HEADER {
            return Self(self.0 - LONG_HEADER);
        }
        self
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, ParsePositionError> {
        let high = cursor.hex_u32("an LSN such as 0/179EDE8")?;
        cursor.expect(b'/', "\"/\" inside an LSN such as 0/179EDE8")?;
        let low = cursor.hex_u32("one to eight hexadecimal digits, the second half of an LSN")?;
        Ok(Self(u64::from(high) << 32 | u64::from(low)))
    }
}

/// As PostgreSQL up to 18 prints it: `0/179EDE8`.
impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & u64::from(u32::MAX))
    }
}

/// Reads what any PostgreSQL prints, `0/179EDE8` or (from 19 on) `0/0179EDE8`, in either case.
impl FromStr for Lsn {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut cursor = Cursor::new(text);
        let lsn = Self::read(&mut cursor)?;
        cursor.expect_end("the end of the LSN")?;
        Ok(lsn)
    }
}

serde_as_text!(Lsn, "an LSN such as 0/179EDE8");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::position::laws;

    const SEGMENT: u64 = 16 << 20;

    #[test]
    fn reads_the_texts_of_all_server_versions() {
        for (text, offset) in [
            ("0/0", 0),
            ("0/179EDE8", 0x179_EDE8),
            ("0/0179EDE8", 0x179_EDE8),
            ("0/179ede8", 0x179_EDE8),
            ("16/B374D848", 0x16_B374_D848),
            ("00000016/B374D848", 0x16_B374_D848),
            ("FFFFFFFF/FFFFFFFF", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(Lsn(offset)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_lsn() {
        for text in [
            "",
            "/",
            "0",
            "0/",
            "/0",
            "0/0/0",
            " 0/0",
            "0/0 ",
            "+1/0",
            "0/-1",
            "000000001/0",
            "0/123456789",
            "g/0",
        ] {
            assert!(text.parse::<Lsn>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn bytes_never_go_below_zero() {
        assert_eq!(Lsn(10).bytes_since(Lsn(4)), 6);
        assert_eq!(Lsn(4).bytes_since(Lsn(10)), 0);
    }

    /// Where a primary's insert position stands, and where an idle replica's replay position does, after a
    /// record that ends at `end`.
    fn after_record_ending_at(end: u64) -> (Lsn, Lsn) {
        let header = match (end % SEGMENT, end % PAGE) {
            (0, _) => LONG_HEADER,
            (_, 0) => SHORT_HEADER,
            _ => 0,
        };
        (Lsn(end + header), Lsn(end))
    }

    #[test]
    fn a_record_that_ends_with_its_page_is_reached_by_an_idle_replica() {
        let ends = [3 * PAGE, 3 * PAGE + 24 + 8, SEGMENT, 5 * SEGMENT, 5 * SEGMENT + PAGE, 5 * SEGMENT - 8];
        for end in ends {
            let (captured, replayed) = after_record_ending_at(end);
            assert!(replayed >= captured.normalised(SEGMENT), "{captured} against {replayed}");
        }
        assert_eq!(
            Lsn(SEGMENT + PAGE + 40).normalised(SEGMENT),
            Lsn(SEGMENT + PAGE + 40),
            "not a segment start"
        );
    }

    #[test]
    fn a_wrong_segment_size_never_moves_a_position_into_a_record() {
        for size in [0, 1, 41, 48, PAGE - 1, PAGE + 1, u64::MAX] {
            assert_eq!(Lsn(SEGMENT + 40).normalised(size), Lsn(SEGMENT + 40), "{size}");
        }
    }

    fn near_page_starts() -> impl Strategy<Value = u64> {
        (0..=u64::MAX / PAGE, prop_oneof![Just(0), Just(24), Just(40), 0..PAGE])
            .prop_map(|(p, o)| p * PAGE + o)
    }

    fn segment_sizes() -> impl Strategy<Value = u64> {
        prop_oneof![(20_u32..=30).prop_map(|shift| 1_u64 << shift), any::<u64>()]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn normalising_steps_back_over_a_header_or_not_at_all(
            offset in prop_oneof![near_page_starts(), any::<u64>()], size in segment_sizes(),
        ) {
            let before = Lsn(offset);
            let after = before.normalised(size);
            prop_assert!([0, 24, 40].contains(&before.bytes_since(after)));
            prop_assert!(after <= before);
            prop_assert!(after == before || after.0.is_multiple_of(PAGE));
            prop_assert_eq!(after.normalised(size), after);
        }

        #[test]
        fn an_idle_replica_reaches_every_normalised_capture(
            end in prop_oneof![(1..1_u64 << 40).prop_map(|p| p * PAGE), (1..1_u64 << 28).prop_map(|s| s * SEGMENT), 1..1_u64 << 60],
        ) {
            // Not inside a header, where no record ends.
            prop_assume!(end % PAGE == 0 || end % PAGE > LONG_HEADER);
            let (captured, replayed) = after_record_ending_at(end);
            prop_assert_eq!(captured.normalised(SEGMENT), replayed);
        }

        #[test]
        fn parse_inverts_display(offset in any::<u64>()) {
            let text = Lsn(offset).to_string();
            prop_assert_eq!(text.parse(), Ok(Lsn(offset)));
            prop_assert_eq!(text.to_lowercase().parse(), Ok(Lsn(offset)));
            prop_assert_eq!(format!("{:X}/{:08X}", offset >> 32, offset & 0xFFFF_FFFF).parse(), Ok(Lsn(offset)));
        }

        #[test]
        fn parse_survives_damage(offset in any::<u64>(), damage in laws::damage()) {
            if let Ok(lsn) = damage.apply(&Lsn(offset).to_string()).parse::<Lsn>() {
                prop_assert_eq!(lsn.to_string().parse(), Ok(lsn));
            }
        }
    }
}
