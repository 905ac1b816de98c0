//! What outlives the process: the highest timeline, and where it left each older one.
//!
//! It is a claim about one cluster. Until a node has said which cluster this is, it is kept aside and nobody is taken at
//! their word; afterwards it is taken in, or refused when it is about another one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::notice::Notice;
use super::timelines::History;
use super::{Effect, World};
use crate::position::{Lsn, Timeline};

/// The version of the text.
const VERSION: u32 = 1;

/// What is known of a cluster's timelines.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// The cluster (PostgreSQL's system identifier).
    pub system: u64,
    /// The highest timeline on which somebody was a primary, as nodes have shown or a token has said.
    pub highest: Timeline,
    /// How far each older timeline is certainly part of a newer one, by the newer one.
    pub forks: BTreeMap<Timeline, BTreeMap<Timeline, Lsn>>,
}

/// A text is not what [`Memory::to_text`] writes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnreadableMemory {
    /// It is damaged, or was never one.
    #[error("it is damaged or no state file of rr ({0})")]
    Malformed(String),
    /// It is of a version that this one does not know.
    #[error("it is of version {0}, which is not known here; are all processes up to date?")]
    Version(u32),
}

/// The text: numbers that do not fit into a float are written as texts.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: u32,
    system: String,
    highest: u32,
    forks: BTreeMap<u32, BTreeMap<u32, String>>,
}

impl Memory {
    /// As a text for a file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let past = |past: &BTreeMap<Timeline, Lsn>| {
            past.iter().map(|(timeline, lsn)| (timeline.get(), lsn.to_string())).collect()
        };
        let text = Text {
            version: VERSION,
            system: self.system.to_string(),
            highest: self.highest.get(),
            forks: self.forks.iter().map(|(timeline, forks)| (timeline.get(), past(forks))).collect(),
        };
        // Maps of numbers and texts can always be written.
        let mut text = serde_json::to_string_pretty(&text).unwrap_or_default();
        text.push('\n');
        text
    }

    /// From a text.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn from_text(text: &str) -> Result<Self, UnreadableMemory> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let malformed = |error: &dyn std::fmt::Display| UnreadableMemory::Malformed(error.to_string());
        let Version { version } = serde_json::from_str(text).map_err(|error| malformed(&error))?;
        if version != VERSION {
            return Err(UnreadableMemory::Version(version));
        }
        let text: Text = serde_json::from_str(text).map_err(|error| malformed(&error))?;
        let timeline = |number: u32| Timeline::new(number).ok_or_else(|| malformed(&"timeline 0"));
        let highest = timeline(text.highest)?;
        let mut forks = BTreeMap::new();
        for (newer, past) in text.forks {
            let newer = timeline(newer)?;
            let mut own = BTreeMap::new();
            for (older, lsn) in past {
                let older = timeline(older)?;
                if older >= newer || newer > highest {
                    return Err(malformed(&"a fork that cannot be"));
                }
                own.insert(older, lsn.parse().map_err(|error| malformed(&error))?);
            }
            forks.insert(newer, own);
        }
        let system = text.system.parse().map_err(|error| malformed(&error))?;
        Ok(Self { system, highest, forks })
    }

    /// What both know of one cluster; another process may keep its knowledge in the same place.
    #[must_use]
    pub fn join(mut self, other: &Self) -> Self {
        if other.system != self.system {
            return self;
        }
        self.highest = self.highest.max(other.highest);
        for (newer, past) in &other.forks {
            match self.forks.get_mut(newer) {
                // Only what both are certain of is certain.
                Some(own) => {
                    own.retain(|older, _| past.contains_key(older));
                    own.iter_mut().for_each(|(older, at)| *at = (*at).min(past[older]));
                }
                None => drop(self.forks.insert(*newer, past.clone())),
            }
        }
        self
    }
}

/// What is to be done with what was remembered.
#[derive(Clone, Debug, Default)]
pub(super) enum Recall {
    /// There was nothing.
    #[default]
    None,
    /// Nobody knows yet whether it is about this cluster.
    Pending(Memory),
    /// It was taken in.
    Taken,
    /// It is about another one: it is not used, and not written over.
    Refused,
}

impl World {
    /// This world, with what an earlier process has seen.
    #[must_use]
    pub fn remembering(mut self, memory: Memory) -> Self {
        self.recall = Recall::Pending(memory);
        self
    }

    /// Whether there was a failover before, so that nobody is taken at their word.
    pub(super) fn remembers_failover(&self) -> bool {
        match &self.recall {
            Recall::Pending(memory) => memory.highest > Timeline::FIRST,
            Recall::Taken => self.history.highest() > Some(Timeline::FIRST),
            Recall::None | Recall::Refused => false,
        }
    }

    /// Takes in what was remembered as soon as it is known which cluster this is.
    pub(super) fn recall(&mut self, effects: &mut Vec<Effect>) {
        let Some(identity) = &self.identity else { return };
        let Recall::Pending(memory) = &self.recall else { return };
        if memory.system == identity.system() {
            self.history.recall(memory);
            self.recall = Recall::Taken;
        } else {
            effects.push(Effect::Report(Notice::ForeignMemory {
                file: memory.system,
                cluster: identity.system(),
            }));
            self.recall = Recall::Refused;
        }
    }

    /// What is worth keeping, when that has changed.
    pub(super) fn memorise(&mut self, effects: &mut Vec<Effect>) {
        if matches!(self.recall, Recall::Pending(_) | Recall::Refused) || !self.history.take_news() {
            return;
        }
        if let (Some(identity), Some(highest)) = (&self.identity, self.history.established()) {
            let (system, forks) = (identity.system(), self.history.forks().clone());
            effects.push(Effect::Remember(Memory { system, highest, forks }));
        }
    }
}

impl History {
    /// Takes in what an earlier process has seen.
    fn recall(&mut self, memory: &Memory) {
        self.establish(memory.highest);
        for (timeline, past) in &memory.forks {
            self.learn(*timeline, past.clone());
        }
    }
}
