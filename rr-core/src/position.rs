//! How far a server has come in the replication stream, and whether that is far enough.
//!
//! "Does this replica already have my write?" is a question about *sets*: the transactions that the replica
//! has applied must include those that the session has written or seen. Each engine names such a set in its
//! own way:
//!
//! | engine | position | text |
//! |---|---|---|
//! | PostgreSQL | an LSN on each timeline ([`PgPosition`]) | `1:0/64,2:0/1F4` |
//! | MySQL | a GTID set ([`GtidSet`]) | `3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7` |
//! | MariaDB | a sequence number in each domain ([`MariaGtid`]) | `0-1-100,1-2-50` |
//!
//! Sets are a **lattice**, and that is all the rest of the crate needs to know:
//!
//! - [`covers`](Position::covers) is "includes everything of". It is a *partial* order: after a failover the
//!   old and the new primary may each have something that the other lacks, and then neither covers the other.
//! - [`join`](Position::join) is the smallest position that covers both. A session that wrote here and read
//!   there needs the join of the two. Joining in any order, or twice, gives the same result.
//!
//! Every value is canonical (one set, one representation, one text), so `==` and `Hash` mean what they should.
//! Nothing here reads a clock, waits or talks to a server. Parsing accepts hostile input: it is linear but for
//! the sorting of input that is out of order, never panics, and its errors echo only a short excerpt.

mod forks;
mod gtid;
mod gtid_text;
#[cfg(test)]
mod laws;
mod lsn;
mod mariadb;
mod postgres;
mod server_uuid;
mod text;
mod timeline;
mod word;

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::engine::Engine;

pub use self::gtid::GtidSet;
pub use self::lsn::Lsn;
pub use self::mariadb::MariaGtid;
pub use self::postgres::PgPosition;
pub use self::server_uuid::ServerUuid;
pub use self::timeline::Timeline;

/// A set of transactions of one cluster, as its engine names it.
///
/// Positions of two *clusters* of the same engine compare without an error and mean nothing: the caller keeps
/// them apart (a token carries the cluster's identity for this).
///
/// Cloning is cheap: what may be long is shared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Position {
    /// LSNs on PostgreSQL timelines.
    Postgres(PgPosition),
    /// A MySQL GTID set.
    MySql(GtidSet),
    /// MariaDB sequence numbers by domain.
    MariaDb(MariaGtid),
}

impl Position {
    /// Whether everything in `other` is included in `self`; `false` for positions of different engines.
    ///
    /// Never allocates. For PostgreSQL positions on the same timeline it is a comparison of two integers.
    #[inline]
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Postgres(a), Self::Postgres(b)) => a.covers(b),
            (Self::MySql(a), Self::MySql(b)) => a.covers(b),
            (Self::MariaDb(a), Self::MariaDb(b)) => a.covers(b),
            (Self::Postgres(_) | Self::MySql(_) | Self::MariaDb(_), _) => false,
        }
    }

    /// The smallest position that covers both.
    ///
    /// # Errors
    ///
    /// [`Incomparable`] when the two belong to different engines.
    pub fn join(&self, other: &Self) -> Result<Self, Incomparable> {
        match (self, other) {
            (Self::Postgres(a), Self::Postgres(b)) => Ok(Self::Postgres(a.join(b))),
            (Self::MySql(a), Self::MySql(b)) => Ok(Self::MySql(a.join(b))),
            (Self::MariaDb(a), Self::MariaDb(b)) => Ok(Self::MariaDb(a.join(b))),
            (Self::Postgres(_) | Self::MySql(_) | Self::MariaDb(_), _) => {
                Err(Incomparable { left: self.engine(), right: other.engine() })
            }
        }
    }

    /// The order of two positions by what they cover; `None` when each has something that the other lacks, or
    /// when they belong to different engines.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self.covers(other), other.covers(self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (false, false) => None,
        }
    }

    /// How many bytes of log `behind` lacks of this position; `None` where that is not counted or the two are not
    /// on the same timeline.
    #[must_use]
    pub fn lag_bytes(&self, behind: &Self) -> Option<u64> {
        match (self, behind) {
            (Self::Postgres(a), Self::Postgres(b)) => a.lag_bytes(b),
            (Self::Postgres(_) | Self::MySql(_) | Self::MariaDb(_), _) => None,
        }
    }

    /// The newest timeline that it names.
    pub(crate) const fn timeline(&self) -> Option<Timeline> {
        match self {
            Self::Postgres(own) => Some(own.head().0),
            Self::MySql(_) | Self::MariaDb(_) => None,
        }
    }

    /// The engine that names positions in this way.
    #[must_use]
    pub const fn engine(&self) -> Engine {
        match self {
            Self::Postgres(_) => Engine::Postgres,
            Self::MySql(_) => Engine::MySql,
            Self::MariaDb(_) => Engine::MariaDb,
        }
    }

    /// Reads the text that `engine`'s position prints; the inverse of `Display`.
    ///
    /// The text itself does not name its engine, because it usually comes from a server whose engine is known.
    ///
    /// # Errors
    ///
    /// [`ParsePositionError`] when the text is not a position of that engine, or the engine has none.
    pub fn parse(engine: Engine, text: &str) -> Result<Self, ParsePositionError> {
        match engine {
            Engine::Postgres => text.parse().map(Self::Postgres),
            Engine::MySql => text.parse().map(Self::MySql),
            Engine::MariaDb => text.parse().map(Self::MariaDb),
            Engine::Sqlite => Err(ParsePositionError::NoPositions { engine }),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(position) => position.fmt(f),
            Self::MySql(position) => position.fmt(f),
            Self::MariaDb(position) => position.fmt(f),
        }
    }
}

impl From<PgPosition> for Position {
    fn from(position: PgPosition) -> Self {
        Self::Postgres(position)
    }
}

impl From<GtidSet> for Position {
    fn from(position: GtidSet) -> Self {
        Self::MySql(position)
    }
}

impl From<MariaGtid> for Position {
    fn from(position: MariaGtid) -> Self {
        Self::MariaDb(position)
    }
}

/// Two positions of different engines have no join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a position of {left:?} cannot be joined with one of {right:?}: \
     check that the session or token belongs to this cluster"
)]
#[non_exhaustive]
pub struct Incomparable {
    /// The engine of the position that was asked to join.
    pub left: Engine,
    /// The engine of the position that it was given.
    pub right: Engine,
}

/// Why a text is not a position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParsePositionError {
    /// The text leaves the grammar, or a number its range.
    #[error("expected {expected} at byte {at}, found {found}")]
    #[non_exhaustive]
    Unexpected {
        /// What would have been right there.
        expected: &'static str,
        /// Where in the text, in bytes from its start.
        at: usize,
        /// A short, escaped excerpt of what is there instead. It never grows with the input.
        found: Box<str>,
    },
    /// The engine does not replicate, so it has no positions.
    #[error("{engine:?} has no replication positions: check the engine that is configured for this cluster")]
    #[non_exhaustive]
    NoPositions {
        /// The engine that was named.
        engine: Engine,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn position(engine: Engine, text: &str) -> Position {
        Position::parse(engine, text).unwrap()
    }

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn one_of_each() -> [Position; 3] {
        [
            position(Engine::Postgres, "1:0/64,2:0/1F4"),
            position(Engine::MySql, &format!("{UUID}:1-5")),
            position(Engine::MariaDb, "0-1-100"),
        ]
    }

    #[test]
    fn stays_small_enough_to_pass_by_value() {
        assert!(size_of::<Position>() <= 40, "{} bytes", size_of::<Position>());
        assert!(size_of::<Option<Position>>() <= 40);
    }

    #[test]
    fn engines_do_not_mix() {
        for (i, a) in one_of_each().iter().enumerate() {
            for (j, b) in one_of_each().iter().enumerate() {
                assert_eq!(a.covers(b), i == j);
                assert_eq!(a.compare(b), (i == j).then_some(Ordering::Equal));
                let mixed = Incomparable { left: a.engine(), right: b.engine() };
                assert_eq!(a.join(b), if i == j { Ok(a.clone()) } else { Err(mixed) });
            }
        }
    }

    #[test]
    fn empty_positions_of_different_engines_do_not_mix_either() {
        let mysql = Position::from(GtidSet::default());
        let maria = Position::from(MariaGtid::default());
        assert!(!mysql.covers(&maria) && !maria.covers(&mysql));
    }

    #[test]
    fn compare_is_the_partial_order() {
        let low = position(Engine::Postgres, "1:0/64");
        let high = position(Engine::Postgres, "1:0/64,2:0/1");
        let lost = position(Engine::Postgres, "1:0/65");
        assert_eq!(low.compare(&high), Some(Ordering::Less));
        assert_eq!(high.compare(&low), Some(Ordering::Greater));
        assert_eq!(high.compare(&high.clone()), Some(Ordering::Equal));
        assert_eq!(lost.compare(&high), None);
    }

    #[test]
    fn sqlite_has_no_positions() {
        let error = Position::parse(Engine::Sqlite, "").unwrap_err();
        assert_eq!(error, ParsePositionError::NoPositions { engine: Engine::Sqlite });
        assert!(error.to_string().contains("Sqlite"));
    }

    #[test]
    fn serde_tags_the_text_with_the_engine() {
        let json = one_of_each().map(|p| serde_json::to_string(&p).unwrap());
        assert_eq!(
            json,
            [
                r#"{"postgres":"1:0/64,2:0/1F4"}"#,
                &format!(r#"{{"mysql":"{UUID}:1-5"}}"#),
                r#"{"mariadb":"0-1-100"}"#
            ]
        );
        for (text, expected) in json.iter().zip(one_of_each()) {
            assert_eq!(serde_json::from_str::<Position>(text).unwrap(), expected);
        }
        let error = serde_json::from_str::<Position>(r#"{"postgres":"nonsense"}"#).unwrap_err();
        assert!(error.to_string().contains("expected a timeline"), "{error}");
    }

    proptest! {
        #[test]
        fn parse_survives_any_text(text in any::<String>()) {
            for engine in [Engine::Postgres, Engine::MySql, Engine::MariaDb, Engine::Sqlite] {
                if let Ok(position) = Position::parse(engine, &text) {
                    prop_assert_eq!(position.engine(), engine);
                    prop_assert_eq!(Position::parse(engine, &position.to_string()), Ok(position));
                }
            }
        }
    }
}
