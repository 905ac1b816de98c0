//! Writes that were sent and not answered: what is known of them, and how it is found out what became of them.
//!
//! A connection that breaks under a write leaves open whether the write was done. Nobody runs it again by itself. A
//! transaction that learned its number before its COMMIT (`failover.resolve_outcomes`) can be asked for afterwards, with
//! [`Router::resolve`](crate::Router::resolve).
//!
//! A number alone proves nothing: a server that lost the end of its log, or a new primary that never had it, gives the
//! same number to another transaction. So the question takes along where the log ended when the number was learned. The
//! transaction had written by then, so that whoever has the log up to there has seen the number used, and does not give it
//! away again.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::position::{PgPosition, Position};

/// What was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unanswered {
    /// A statement outside of any transaction.
    Statement,
    /// The COMMIT of a transaction.
    Commit,
}

impl Unanswered {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Statement => "statement",
            Self::Commit => "commit",
        }
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Statement => "a statement that writes",
            Self::Commit => "a COMMIT",
        })
    }
}

/// A transaction that has written, as it knew itself before it was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionId {
    /// Its number (`xid8`).
    pub number: u64,
    /// Where the log ended when it was asked for its number: after the first thing that it wrote.
    pub at: PgPosition,
    /// When it began, on its server's clock, in microseconds since 1970.
    pub began: i64,
}

impl TransactionId {
    /// A transaction; `None` where nothing is known of its history.
    #[must_use]
    pub fn new(number: u64, at: Position, began: i64) -> Option<Self> {
        match at {
            Position::Postgres(at) => Some(Self { number, at, began }),
            _ => None,
        }
    }
}

/// A write was sent, and its connection was lost before the server answered: it may have been done or not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the connection to `{node}` was lost before {during} was answered: it may have been done or not; \
     find out before it is done again{}", advice(.transaction.as_ref())
)]
#[non_exhaustive]
pub struct OutcomeUnknown {
    /// The node that it was sent to.
    pub node: Arc<str>,
    /// What it was.
    pub during: Unanswered,
    /// The transaction, if it is known (`failover.resolve_outcomes`).
    pub transaction: Option<TransactionId>,
}

const fn advice(transaction: Option<&TransactionId>) -> &'static str {
    if transaction.is_some() { " (`Router::resolve` asks the primary)" } else { "" }
}

impl OutcomeUnknown {
    pub(crate) const fn new(node: Arc<str>, during: Unanswered, transaction: Option<TransactionId>) -> Self {
        Self { node, during, transaction }
    }

    /// All of it as a text that [`from_str`](str::parse) reads: for errors that have room for nothing else.
    #[must_use]
    pub fn to_text(&self) -> String {
        let during = self.during.as_str();
        let transaction = match &self.transaction {
            Some(TransactionId { number, at, began }) => format!("{number}@{at}@{began}"),
            None => "-".to_owned(),
        };
        format!("{MARK}{during} {transaction} {}", self.node)
    }
}

const MARK: &str = "rr: outcome unknown: ";

/// A text is not that of an [`OutcomeUnknown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it does not speak of a write whose outcome is unknown")]
#[non_exhaustive]
pub struct NoOutcome;

impl FromStr for OutcomeUnknown {
    type Err = NoOutcome;

    fn from_str(text: &str) -> Result<Self, NoOutcome> {
        let mut words = text.strip_prefix(MARK).ok_or(NoOutcome)?.splitn(3, ' ');
        let mut word = || words.next().ok_or(NoOutcome);
        let (during, transaction, node) = (word()?, word()?, word()?);
        let during = [Unanswered::Statement, Unanswered::Commit].into_iter().find(|d| d.as_str() == during);
        let transaction = match transaction {
            "-" => None,
            text => {
                let mut parts = text.splitn(3, '@');
                let mut part = || parts.next().ok_or(NoOutcome);
                let (number, at, began) = (part()?, part()?, part()?);
                Some(TransactionId {
                    number: number.parse().map_err(|_| NoOutcome)?,
                    at: at.parse().map_err(|_| NoOutcome)?,
                    began: began.parse().map_err(|_| NoOutcome)?,
                })
            }
        };
        Ok(Self { node: node.into(), during: during.ok_or(NoOutcome)?, transaction })
    }
}

/// What became of a write that was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolution {
    /// It was done.
    Committed,
    /// It was not done, and will not be.
    Aborted,
    /// Its server is still at it.
    InProgress,
    /// Nobody can tell.
    Unknown(Doubt),
}

/// Why nobody can tell what became of a write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Doubt {
    /// It has no number to ask for.
    #[error("it did not learn its number; set `failover.resolve_outcomes`, and write within a transaction")]
    NoNumber,
    /// There is no primary to ask, or it does not answer.
    #[error("there is no primary to ask: {0}")]
    NoPrimary(String),
    /// The present primary may never have had it: its history left that of the transaction before, or nobody knows where.
    #[error(
        "the present primary ({now}) is not known to have the log up to {at}, where the transaction had written; it may be lost"
    )]
    OtherHistory {
        /// Where the transaction had written.
        at: Position,
        /// Where the primary is.
        now: Position,
    },
    /// The server crashed in between, and may have given the number away again.
    #[error("the server has crashed since, and may have given the transaction's number to another one")]
    Crashed,
    /// The server has forgotten it.
    #[error("the server does not remember it any more")]
    Forgotten,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_it_all() {
        let at: PgPosition = "1:0/64,2:0/C8".parse().unwrap();
        let transaction = TransactionId::new(1 << 40, at.into(), -5);
        for (during, transaction) in [(Unanswered::Commit, transaction), (Unanswered::Statement, None)] {
            let unknown = OutcomeUnknown::new("a node of ours".into(), during, transaction);
            assert_eq!(unknown.to_text().parse(), Ok(unknown));
        }
        for text in [
            "",
            "rr: outcome unknown: commit",
            "rr: outcome unknown: x - n",
            "rr: outcome unknown: commit 1@2@3 n",
        ] {
            assert_eq!(text.parse::<OutcomeUnknown>(), Err(NoOutcome), "{text}");
        }
    }
}
