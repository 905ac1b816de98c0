//! How fresh a read must be.
//!
//! A replica is always a little behind its primary. The level says which of its states a read may see,
//! from "any" ([`Consistency::Eventual`]) to "everything committed before the read began"
//! ([`Consistency::Strong`]). Stronger levels send more reads to the primary or make them wait.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// How fresh a read must be.
///
/// In text (configuration, environment, hints) a level is written `eventual`, `bounded(2s)` or `bounded:2s`,
/// `read-after-write`, `session`, `strong`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Consistency {
    /// Any state of any eligible replica; reads may go back in time.
    Eventual,
    /// Any state that is at most this old.
    Bounded(Duration),
    /// At least the session's own writes, for as long after a write as the read-after-write window lasts.
    ReadAfterWrite,
    /// At least the session's own writes and everything it has already seen: what one database gives.
    #[default]
    Session,
    /// Everything committed before the read began, by whomever.
    Strong,
}

impl Consistency {
    /// The names that a label of metrics may have: those of the levels, without any age, and one for reads whose level was
    /// not told.
    pub const KINDS: [&'static str; 6] =
        ["eventual", "bounded", "read-after-write", "session", "strong", "untold"];

    /// Its name without an age: one of few, for labels of metrics.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        Self::KINDS[Self::kind_index(Some(self))]
    }

    pub(crate) const fn kind_index(level: Option<Self>) -> usize {
        match level {
            Some(Self::Eventual) => 0,
            Some(Self::Bounded(_)) => 1,
            Some(Self::ReadAfterWrite) => 2,
            Some(Self::Session) => 3,
            Some(Self::Strong) => 4,
            None => 5,
        }
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eventual => f.write_str("eventual"),
            Self::Bounded(age) => write!(f, "bounded({})", humantime::format_duration(*age)),
            Self::ReadAfterWrite => f.write_str("read-after-write"),
            Self::Session => f.write_str("session"),
            Self::Strong => f.write_str("strong"),
        }
    }
}

/// The text names no consistency level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseConsistencyError {
    /// None of the five names.
    #[error("not a consistency level; write eventual, bounded(2s), read-after-write, session or strong")]
    Unknown,
    /// `bounded` without an age that can be read.
    #[error("bounded needs an age, such as bounded(500ms) or bounded(2s)")]
    Age,
}

impl FromStr for Consistency {
    type Err = ParseConsistencyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        match text {
            "eventual" => return Ok(Self::Eventual),
            "read-after-write" => return Ok(Self::ReadAfterWrite),
            "session" => return Ok(Self::Session),
            "strong" => return Ok(Self::Strong),
            _ => {}
        }
        let rest = text.strip_prefix("bounded").ok_or(ParseConsistencyError::Unknown)?;
        let age = rest
            .strip_prefix(':')
            .or_else(|| rest.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')))
            .ok_or(if rest.is_empty() {
                ParseConsistencyError::Age
            } else {
                ParseConsistencyError::Unknown
            })?;
        humantime::parse_duration(age.trim()).map(Self::Bounded).map_err(|_| ParseConsistencyError::Age)
    }
}

impl Serialize for Consistency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Consistency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Level;
        impl de::Visitor<'_> for Level {
            type Value = Consistency;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a consistency level such as \"session\" or \"bounded(2s)\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Consistency, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_reads_back_what_it_prints() {
        let levels = [
            (Consistency::Eventual, "eventual"),
            (Consistency::Bounded(Duration::from_millis(2500)), "bounded(2s 500ms)"),
            (Consistency::Bounded(Duration::ZERO), "bounded(0s)"),
            (Consistency::ReadAfterWrite, "read-after-write"),
            (Consistency::Session, "session"),
            (Consistency::Strong, "strong"),
        ];
        for (level, text) in levels {
            assert_eq!(level.to_string(), text);
            assert_eq!(text.parse(), Ok(level));
            let json = serde_json::to_string(&level).unwrap();
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<Consistency>(&json).unwrap(), level);
        }
    }

    #[test]
    fn other_ways_to_write_an_age() {
        let two = Ok(Consistency::Bounded(Duration::from_secs(2)));
        for text in ["bounded:2s", "bounded(2s)", " bounded( 2s ) ", "bounded: 2s", "bounded:2000ms"] {
            assert_eq!(text.parse(), two, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        use ParseConsistencyError::{Age, Unknown};
        let wrong = [
            ("", Unknown),
            ("Session", Unknown),
            ("sessions", Unknown),
            ("boundedly", Unknown),
            ("bounded2s", Unknown),
            ("bounded(2s", Unknown),
            ("bounded", Age),
            ("bounded()", Age),
            ("bounded:", Age),
            ("bounded(-2s)", Age),
            ("bounded(2)", Age),
            ("bounded(2 parsecs)", Age),
        ];
        for (text, error) in wrong {
            assert_eq!(text.parse::<Consistency>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn the_default_is_session() {
        assert_eq!(Consistency::default(), Consistency::Session);
    }
}
