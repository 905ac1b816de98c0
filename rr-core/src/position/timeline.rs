//! PostgreSQL's timelines.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use super::ParsePositionError;
use super::text::Cursor;

/// Length of the timeline at the start of a WAL file name, in hexadecimal digits.
const TIMELINE_DIGITS: usize = 8;
/// Length of a WAL segment's file name: the timeline and two numbers of the same length.
const SEGMENT_DIGITS: usize = 24;

/// The number of a PostgreSQL timeline.
///
/// A cluster starts on 1; each promotion of a replica begins a new one with a higher number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timeline(NonZeroU32);

impl Timeline {
    /// The timeline on which `initdb` starts a cluster.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The timeline with this number; `None` for 0, which PostgreSQL does not use.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The timeline that a WAL file belongs to: the first eight hexadecimal digits of its name.
    ///
    /// `pg_walfile_name(pg_current_wal_lsn())` names the current timeline right after a promotion, when
    /// `pg_control_checkpoint()` still names the old one. Takes those eight digits alone, a segment
    /// (`000000020000000000000003`, also `….partial` and `….00000028.backup`), or `00000002.history`.
    ///
    /// # Errors
    ///
    /// [`ParsePositionError`] when the name is no WAL file's.
    pub fn from_wal_file_name(name: &str) -> Result<Self, ParsePositionError> {
        const EXPECTED: &str = "a WAL file name such as 000000020000000000000003";
        let mut cursor = Cursor::new(name);
        let digits = cursor.take_while(|b| b.is_ascii_hexdigit());
        let well_formed = [TIMELINE_DIGITS, SEGMENT_DIGITS].contains(&digits.len())
            && (cursor.at_end() || cursor.peek() == Some(b'.'));
        let timeline = digits.get(..TIMELINE_DIGITS).filter(|_| well_formed);
        timeline
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .and_then(Self::new)
            .ok_or_else(|| Cursor::new(name).unexpected(EXPECTED))
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, ParsePositionError> {
        const EXPECTED: &str = "a timeline, a decimal number from 1 to 4294967295";
        let start = *cursor;
        Self::new(cursor.decimal(EXPECTED)?).ok_or_else(|| start.unexpected(EXPECTED))
    }
}

impl From<NonZeroU32> for Timeline {
    fn from(number: NonZeroU32) -> Self {
        Self(number)
    }
}

/// Decimal, as `pg_control_checkpoint()` and the server's log print it.
impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Timeline {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut cursor = Cursor::new(text);
        let timeline = Self::read(&mut cursor)?;
        cursor.expect_end("the end of the timeline")?;
        Ok(timeline)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wal_file_names() {
        for (name, number) in [
            ("00000001", 1),
            ("0000000A", 10),
            ("0000000a", 10),
            ("FFFFFFFF", u32::MAX),
            ("000000020000000000000003", 2),
            ("000000020000000000000003.partial", 2),
            ("000000020000000000000003.00000028.backup", 2),
            ("00000003.history", 3),
        ] {
            assert_eq!(Timeline::from_wal_file_name(name), Ok(Timeline::new(number).unwrap()), "{name}");
        }
        for name in [
            "",
            "1",
            "0000001",
            "00000000",
            "000000000000000000000003",
            "0000000g",
            "00000001-x",
            "0000000200000000",
            "00000002000000000000000300",
            " 00000001",
            "0000000é",
        ] {
            assert!(Timeline::from_wal_file_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn zero_and_overflow_are_no_timelines() {
        for text in ["", "0", "000", "4294967296", "-1", "1 ", "0x1"] {
            assert!(text.parse::<Timeline>().is_err(), "{text:?}");
        }
        assert_eq!("1".parse(), Ok(Timeline::FIRST));
    }

    proptest! {
        #[test]
        fn texts_round_trip(number in 1..=u32::MAX, segment in any::<u64>(), junk in any::<String>()) {
            let timeline = Timeline::new(number).unwrap();
            prop_assert_eq!(timeline.to_string().parse(), Ok(timeline));
            prop_assert_eq!(Timeline::from_wal_file_name(&format!("{number:08X}{segment:016X}")), Ok(timeline));
            for name in [junk.clone(), format!("{number:08X}{junk}")] {
                if let Ok(read) = Timeline::from_wal_file_name(&name) {
                    let digits = format!("{:08X}", read.get());
                    prop_assert!(name.to_uppercase().starts_with(&digits), "{} from {:?}", read, name);
                }
            }
        }
    }
}
