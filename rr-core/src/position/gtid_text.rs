//! The text of MySQL's GTID sets.
//!
//! ```text
//! set      = [server {"," server}]
//! server   = uuid ":" part {":" part}
//! part     = [tag ":"] interval             a tag holds for all intervals after it
//! interval = number ["-" number]
//! ```

use std::fmt;
use std::str::FromStr;

use super::gtid::{Interval, MAX_NUMBER, Source};
use super::text::{Cursor, serde_as_text};
use super::{GtidSet, ParsePositionError, ServerUuid};

/// `uuid:1-5:7,uuid:tag:1-3` in lower case, on one line; empty text for the empty set.
impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut previous = None;
        for source in self.sources.iter() {
            if previous != Some(source.server) {
                let comma = if previous.is_none() { "" } else { "," };
                write!(f, "{comma}{}", source.server)?;
                previous = Some(source.server);
            }
            if let Some(tag) = &source.tag {
                write!(f, ":{tag}")?;
            }
            for Interval { first, last } in &source.intervals {
                write!(f, ":{first}")?;
                if last != first {
                    write!(f, "-{last}")?;
                }
            }
        }
        Ok(())
    }
}

/// Reads what the server prints: either case, sources and intervals in any order and overlapping, white space
/// between the parts, empty items between commas.
///
/// Stricter than the server where a set would come out smaller than its text suggests: an interval that ends before
/// it starts, a UUID or a tag without an interval, and a number with leading zeros (octal to some) are refused.
impl FromStr for GtidSet {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut cursor = Cursor::new(text);
        let mut sources = Vec::new();
        loop {
            cursor.take_while(|b| b.is_ascii_whitespace() || b == b',');
            if cursor.at_end() {
                return Ok(Self::from_sources(sources));
            }
            read_server(&mut cursor, &mut sources)?;
            if cursor.peek() != Some(b',') {
                cursor.expect_end("\":\", \",\" or the end of the GTID set")?;
            }
        }
    }
}

/// `uuid:1-5:7:tag:1-3`: one server with all its tags.
fn read_server(cursor: &mut Cursor<'_>, sources: &mut Vec<Source>) -> Result<(), ParsePositionError> {
    let mut source = Source { server: ServerUuid::read(cursor)?, tag: None, intervals: Vec::new() };
    let server = source.server;
    loop {
        cursor.skip_whitespace();
        if source.intervals.is_empty() {
            cursor.expect(b':', "\":\" and an interval such as 1-5")?;
        } else if !cursor.eat(b':') {
            sources.push(source);
            return Ok(());
        }
        cursor.skip_whitespace();
        let starts_tag = cursor.peek().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if !starts_tag {
            source.intervals.push(Interval::read(cursor)?);
        } else if source.tag.is_none() || !source.intervals.is_empty() {
            // Its length is the server's business: versions differ, and a position must not fail for it.
            let tag =
                cursor.take_while(|b| b.is_ascii_alphanumeric() || b == b'_').to_ascii_lowercase().into();
            let finished =
                std::mem::replace(&mut source, Source { server, tag: Some(tag), intervals: Vec::new() });
            if !finished.intervals.is_empty() {
                sources.push(finished);
            }
        } else {
            return Err(cursor.unexpected("an interval such as 1-5 after the tag"));
        }
    }
}

impl Interval {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, ParsePositionError> {
        let first = read_number(cursor)?;
        cursor.skip_whitespace();
        if !cursor.eat(b'-') {
            return Ok(Self { first, last: first });
        }
        cursor.skip_whitespace();
        let end = *cursor;
        let last = read_number(cursor)?;
        if last < first {
            return Err(end.unexpected("an interval that does not end before it starts"));
        }
        Ok(Self { first, last })
    }
}

fn read_number(cursor: &mut Cursor<'_>) -> Result<u64, ParsePositionError> {
    const EXPECTED: &str = "a transaction number from 1 to 9223372036854775806, without leading zeros";
    let start = *cursor;
    let leading_zero = cursor.peek() == Some(b'0');
    let number = cursor.decimal(EXPECTED)?;
    if leading_zero || number > MAX_NUMBER { Err(start.unexpected(EXPECTED)) } else { Ok(number) }
}

serde_as_text!(GtidSet, "a MySQL GTID set such as 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::position::laws;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "4350f323-7565-4e59-8763-4b1b83a0ce0e";

    fn canonical(text: &str) -> String {
        text.parse::<GtidSet>().unwrap().to_string()
    }

    #[test]
    fn texts_are_made_canonical() {
        let loud = A.to_uppercase();
        for (text, expected) in [
            (String::new(), String::new()),
            (" \n,, ,".to_owned(), String::new()),
            (format!("{A}:1"), format!("{A}:1")),
            (format!("{loud}:1-5:7"), format!("{A}:1-5:7")),
            (format!("{A}:7:1-5"), format!("{A}:1-5:7")),
            (format!("{A}:1-3:4-5:5-9:2"), format!("{A}:1-9")),
            (format!("{A}:3-3"), format!("{A}:3")),
            (format!("{A}:1-5,\n{B}:1-3"), format!("{A}:1-5,{B}:1-3")),
            (format!("{B}:1-3,{A}:1-5,{B}:4"), format!("{A}:1-5,{B}:1-4")),
            (format!(" {A} : 1 - 5 : 7 \r\n, \t{B}:1,\n"), format!("{A}:1-5:7,{B}:1")),
            (format!("{A}:1-9223372036854775806"), format!("{A}:1-9223372036854775806")),
            // As MySQL 8.3 and newer print tags, and as its manual writes them.
            (format!("{A}:1-5:tag:1-3:another_tag:7"), format!("{A}:1-5:another_tag:7:tag:1-3")),
            (
                format!("{A}:Domain_1:1-3:15-21, {A}:Domain_2:8-52"),
                format!("{A}:domain_1:1-3:15-21:domain_2:8-52"),
            ),
            (format!("{A}:x:1,{A}:2,{A}:X:2"), format!("{A}:2:x:1-2")),
            (format!("{A}:x:2:y:1:x:1"), format!("{A}:x:1-2:y:1")),
            (format!("{A}:_:1,{A}:{}:1", "t".repeat(64)), format!("{A}:_:1:{}:1", "t".repeat(64))),
        ] {
            assert_eq!(canonical(&text), expected, "{text:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_set_and_says_why() {
        for (text, expected) in [
            ("x".to_owned(), "server UUID"),
            (A[..35].to_owned(), "server UUID"),
            (A.replace('-', ""), "server UUID"),
            (format!("{{{A}}}:1"), "server UUID"),
            (format!("{}é:1", &A[..35]), "server UUID"),
            (A.to_owned(), "\":\" and an interval"),
            (format!("{A},{B}:1"), "\":\" and an interval"),
            (format!("{A}:"), "transaction number"),
            (format!("{A}:1:"), "transaction number"),
            (format!("{A}:-1"), "transaction number"),
            (format!("{A}:1-"), "transaction number"),
            (format!("{A}:0"), "leading zeros"),
            (format!("{A}:07"), "leading zeros"),
            (format!("{A}:9223372036854775807"), "9223372036854775806"),
            (format!("{A}:99999999999999999999999"), "9223372036854775806"),
            (format!("{A}:5-4"), "end before it starts"),
            (format!("{A}:tag"), "\":\" and an interval"),
            (format!("{A}:1:tag,{B}:1"), "\":\" and an interval"),
            (format!("{A}:tag:tag:1"), "after the tag"),
            (format!("{A}:täg:1"), "\":\" and an interval"),
            (format!("{A}:1x"), "the end of the GTID set"),
            (format!("{A}:1-2-3"), "the end of the GTID set"),
            (format!("{A}:1;{B}:1"), "the end of the GTID set"),
            (format!("{A}:1 {B}:1"), "the end of the GTID set"),
        ] {
            let error = text.parse::<GtidSet>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn huge_texts_are_read() {
        let holes: String = (1..1_000_000_u64).rev().map(|n| format!(":{}", n * 2)).collect();
        let set: GtidSet = format!("{A}{holes}").parse().unwrap();
        assert_eq!(set.count(), 999_999);
        assert!(set.covers(&format!("{A}:{}", 2 * 77_777).parse().unwrap()));

        let tags = format!("{A}{}", ":b:1:a:1".repeat(200_000));
        assert_eq!(canonical(&tags), format!("{A}:a:1:b:1"));

        let servers: Vec<String> = (0..100_000_u128)
            .rev()
            .map(|n| {
                let uuid = ServerUuid::from_bytes(n.to_be_bytes());
                format!("{uuid}:{}", n + 1)
            })
            .collect();
        assert_eq!(servers.join(",").parse::<GtidSet>().unwrap().count(), 100_000);
    }

    fn any_set() -> impl Strategy<Value = GtidSet> {
        let interval = prop_oneof![
            (1..=MAX_NUMBER, 1..=MAX_NUMBER).prop_map(|(a, b)| Interval { first: a.min(b), last: a.max(b) }),
            (1_u64..20, 0_u64..3).prop_map(|(first, more)| Interval { first, last: first + more }),
        ];
        let tag = prop_oneof![2 => Just(None), 1 => "[a-z_][a-z0-9_]{0,31}".prop_map(|tag| Some(tag.into()))];
        let source = (any::<[u8; 16]>(), tag, prop::collection::vec(interval, 1..6));
        let source = source.prop_map(|(uuid, tag, intervals)| Source {
            server: ServerUuid::from_bytes(uuid),
            tag,
            intervals,
        });
        prop::collection::vec(source, 0..6).prop_map(GtidSet::from_sources)
    }

    proptest! {
        #[test]
        fn parse_inverts_display(set in any_set()) {
            let text = set.to_string();
            prop_assert_eq!(text.parse(), Ok(set.clone()));
            prop_assert_eq!(text.to_uppercase().parse(), Ok(set.clone()));
            prop_assert_eq!(text.replace(',', " ,\n").replace(':', " :\t").parse(), Ok(set));
        }

        #[test]
        fn parse_survives_damage(set in any_set(), damage in laws::damage()) {
            if let Ok(read) = damage.apply(&set.to_string()).parse::<GtidSet>() {
                prop_assert_eq!(read.to_string().parse(), Ok(read));
            }
        }
    }
}
