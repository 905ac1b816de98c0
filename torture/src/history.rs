//! What clients saw: every operation with the instants around it, on one clock that all processes read.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;

/// A list of the database; they are numbered from zero.
pub type Key = u32;
/// What is appended: each is appended at most once, so that it tells who wrote it.
pub type Item = i64;
/// A session, or a handle that has none: unique in its history.
pub type SessionId = u64;

/// One round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// What is known of it besides.
    pub facts: Facts,
    /// In any order.
    pub ops: Vec<Op>,
}

/// What is true of a history, and not seen by its clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// What it was made of.
    pub seed: u64,
    /// Acknowledged writes may be lost: an asynchronous primary has died, and a standby has taken over.
    pub lossy: bool,
    /// Only those that were asked for before this instant, when the old primary was dead; all of them, unless it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lossy_until: Option<u64>,
    /// What was done to the servers, and when.
    pub faults: Vec<Fault>,
    /// The lists in the end, on the last primary.
    pub finals: BTreeMap<Key, Vec<Item>>,
}

/// Something that was done to a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// When it began.
    pub at: u64,
    /// Its kind, one of few.
    pub kind: String,
    /// To which server.
    pub node: String,
    /// What a standby was disturbed by meanwhile, if the primary changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub during: Option<String>,
    /// Why it did not come to that, if it was planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        self.during.as_ref().map_or(Ok(()), |during| write!(f, "+{during}"))?;
        self.stopped.as_ref().map_or(Ok(()), |why| write!(f, "({why})"))
    }
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Op {
    /// The operating system's process, and the ORM in it: writes through one router.
    pub router: Router,
    /// Who did it, one operation after the other.
    pub client: u64,
    /// For whom.
    pub session: SessionId,
    /// The handle has no session: its reads must see what its router wrote for whomever.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unscoped: bool,
    /// Nanoseconds.
    pub invoked: u64,
    /// Nanoseconds.
    pub returned: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// What it was.
    pub action: Action,
}

/// A router of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Router {
    /// The process.
    pub process: u32,
    /// Its ORM.
    pub orm: Orm,
}

/// Whose router it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Orm {
    /// rr-diesel.
    Diesel,
    /// rr-seaorm.
    Seaorm,
}

/// What a client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Ok,
    /// It was certainly not done.
    Failed,
    /// It was done or not.
    Unknown,
    /// It was not done, because a write of this session is lost; the session was told, and goes on without.
    LostWrite,
}

/// What a client did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Appended to a list.
    Append {
        /// The list.
        key: Key,
        /// What.
        item: Item,
    },
    /// Read the ends of all lists, in one statement.
    Read {
        /// How fresh it had to be.
        level: Level,
        /// What was there, if it was answered.
        seen: Vec<Seen>,
        /// Whether a standby answered.
        standby: bool,
    },
    /// Read some lists as a whole, in one statement.
    Lists {
        /// How fresh they had to be.
        level: Level,
        /// What was there, if it was answered.
        lists: Vec<(Key, Vec<Item>)>,
        /// Whether a standby answered.
        standby: bool,
    },
    /// Made a token of the session.
    Export {
        /// Which.
        token: u64,
    },
    /// Began the session with a token.
    Resume {
        /// Which.
        token: u64,
    },
}

/// The level of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Any state.
    Eventual,
    /// One that was current at most so many milliseconds ago.
    Bounded(u64),
    /// With what the session wrote and saw.
    Session,
    /// The newest.
    Strong,
}

/// How far a list had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The list.
    pub key: Key,
    /// How many items it had.
    pub version: usize,
    /// The last of them; zero when there was none.
    pub item: Item,
}

impl Op {
    /// What it saw of each list: nothing, unless it is a read that was answered.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        match &self.action {
            _ if self.outcome != Outcome::Ok => Vec::new(),
            Action::Read { seen, .. } => seen.clone(),
            Action::Lists { lists, .. } => lists
                .iter()
                .map(|(key, items)| Seen {
                    key: *key,
                    version: items.len(),
                    item: items.last().copied().unwrap_or_default(),
                })
                .collect(),
            Action::Append { .. } | Action::Export { .. } | Action::Resume { .. } => Vec::new(),
        }
    }

    /// The level of a read that was answered, and whether a standby did.
    #[must_use]
    pub fn read(&self) -> Option<(Level, bool)> {
        match self.action {
            Action::Read { level, standby, .. } | Action::Lists { level, standby, .. }
                if self.outcome == Outcome::Ok =>
            {
                Some((level, standby))
            }
            _ => None,
        }
    }

    /// Whether it is a read that was answered and had to see what its session knows.
    #[must_use]
    pub fn reads_for_session(&self) -> bool {
        matches!(self.read(), Some((Level::Session | Level::Strong, _)))
    }
}

impl History {
    /// Writes it as lines of JSON: what is known, then one operation a line.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let mut file = BufWriter::new(std::fs::File::create(path)?);
        serde_json::to_writer(&mut file, &self.facts)?;
        file.write_all(b"\n")?;
        write_ops(&mut file, &self.ops)?;
        Ok(file.flush()?)
    }

    /// Reads what [`write`](Self::write) has written.
    ///
    /// # Errors
    /// When it cannot be read, or is something else.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut lines = BufReader::new(std::fs::File::open(path)?).lines();
        let first = lines.next().ok_or("an empty file is no history")??;
        let facts = serde_json::from_str(&first)?;
        let ops = lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect::<Result<_, Error>>()?;
        Ok(Self { facts, ops })
    }
}

fn write_ops(file: &mut impl Write, ops: &[Op]) -> Result<(), Error> {
    for op in ops {
        serde_json::to_writer(&mut *file, op)?;
        file.write_all(b"\n")?;
    }
    Ok(())
}

/// Now, on the clock that all processes of this machine read.
#[must_use]
pub fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let part = |number: i64| u64::try_from(number).unwrap_or_default();
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}
