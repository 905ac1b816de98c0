//! MySQL positions: sets of global transaction identifiers.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::ParsePositionError;
use super::text::{Cursor, serde_as_text};

/// The highest transaction number that MySQL assigns.
const MAX_NUMBER: u64 = i64::MAX.unsigned_abs() - 1;

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
    sources: Arc<[Source]>,
}

/// The transactions of one server under one tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Source {
    server: ServerUuid,
    /// Lower case; empty for transactions without a tag.
    tag: Box<str>,
    /// Ascending, with a gap between any two.
    intervals: Vec<Interval>,
}

/// The transactions from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Interval {
    first: u64,
    last: u64,
}

impl Source {
    fn key(&self) -> (ServerUuid, &str) {
        (self.server, &self.tag)
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
            mine.find(|have| have.key() >= needed.key())
                .is_some_and(|have| have.key() == needed.key() && have.covers(&needed.intervals))
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
        let wanted = tag.unwrap_or_default();
        let order = |have: &Source| have.server.cmp(&server).then_with(|| compare_tags(&have.tag, wanted));
        let source = self.sources.binary_search_by(order).ok().and_then(|at| self.sources.get(at));
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
    fn from_sources(mut sources: Vec<Source>) -> Self {
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

/// The order of a canonical tag and one in any case.
fn compare_tags(canonical: &str, other: &str) -> Ordering {
    canonical.bytes().cmp(other.bytes().map(|b| b.to_ascii_lowercase()))
}

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
            if !source.tag.is_empty() {
                write!(f, ":{}", source.tag)?;
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
    let mut source = Source { server: ServerUuid::read(cursor)?, tag: Box::default(), intervals: Vec::new() };
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
        } else if source.tag.is_empty() || !source.intervals.is_empty() {
            // Its length is the server's business: versions differ, and a position must not fail for it.
            let tag =
                cursor.take_while(|b| b.is_ascii_alphanumeric() || b == b'_').to_ascii_lowercase().into();
            let untagged = std::mem::replace(&mut source, Source { server, tag, intervals: Vec::new() });
            if !untagged.intervals.is_empty() {
                sources.push(untagged);
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

/// The UUID that a MySQL server gave itself (`server_uuid`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerUuid([u8; 16]);

impl ServerUuid {
    /// The UUID with these bytes, in the order in which they are printed.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, ParsePositionError> {
        let start = *cursor;
        Self::read_bytes(cursor)
            .ok_or_else(|| start.unexpected("a server UUID such as 3e11fa47-71ca-11e1-9e33-c80aa9429562"))
    }

    fn read_bytes(cursor: &mut Cursor<'_>) -> Option<Self> {
        let mut bytes = [0; 16];
        for (i, byte) in bytes.iter_mut().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) && !cursor.eat(b'-') {
                return None;
            }
            *byte = cursor.hex_byte()?;
        }
        Some(Self(bytes))
    }
}

/// Lower case with dashes, as the server prints it.
impl fmt::Display for ServerUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            let dash = if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for ServerUuid {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut cursor = Cursor::new(text);
        let uuid = Self::read(&mut cursor)?;
        cursor.expect_end("the end of the UUID")?;
        Ok(uuid)
    }
}
