//! Whole transactions that are run again: when, how often, and when not.
//!
//! A transaction that the server certainly rolled back may be run again from its first statement, and only its caller can
//! do that. The adapters' `retry::transaction` does it: after a lost connection, a primary that is one no more, a
//! serialization failure, a deadlock, or a savepoint that failed half-way. A COMMIT that was not answered is run again only
//! when the primary says that nothing was committed ([`Router::resolve`]).

use std::time::Duration;

use crate::adapter::Patience;
use crate::connector::Connector;
use crate::outcome::{OutcomeUnknown, Resolution};
use crate::router::Router;
use crate::tally::Retried;

/// How often a transaction is run at most, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// Runs at most, the first one included. Default: 5; 1 runs nothing again.
    pub tries: u32,
    /// No new run begins later than this after the first failure. Default: 30 s.
    pub within: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self { tries: 5, within: Duration::from_secs(30) }
    }
}

impl Policy {
    /// The default one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs it so often at most.
    #[must_use]
    pub const fn tries(mut self, tries: u32) -> Self {
        self.tries = tries;
        self
    }

    /// Begins no new run later than this after the first failure.
    #[must_use]
    pub const fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }
}

/// Which run of a transaction this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// From 1.
    pub number: u32,
}

impl Attempt {
    /// Whether it was not run before.
    #[must_use]
    pub const fn is_first(self) -> bool {
        self.number <= 1
    }
}

/// Why a server rolled a transaction back, so that it may be run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// The connection was lost before COMMIT was sent.
    Lost,
    /// The server is the primary no more.
    Demoted,
    /// A serialization failure or a deadlock.
    Conflict,
    /// A savepoint failed or was dropped half-way, and took the transaction with it.
    Torn,
}

/// What is to be done after a COMMIT that was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// It was committed: the transaction has succeeded.
    Committed,
    /// It was not, and may be run again now.
    Again,
    /// Its error is the caller's.
    Unknown,
}

/// The runs of one transaction.
#[derive(Debug)]
pub struct Attempts<'r, C: Connector> {
    router: &'r Router<C>,
    tries: u32,
    patience: Patience,
    number: u32,
}

impl<'r, C: Connector> Attempts<'r, C> {
    /// Before the first one.
    #[must_use]
    pub const fn new(router: &'r Router<C>, policy: Policy) -> Self {
        Self { router, tries: policy.tries, patience: Patience::new(policy.within), number: 1 }
    }

    /// The present one.
    #[must_use]
    pub const fn attempt(&self) -> Attempt {
        Attempt { number: self.number }
    }

    /// Whether it is to be run again now, after a failure with this trouble (`None`: one of the application's own). Pauses
    /// before it says so.
    pub async fn again(&mut self, trouble: Option<Trouble>) -> bool {
        let Some(trouble) = trouble else { return false };
        let time = self.number < self.tries && self.patience.has_time();
        if !self.router.may_retry(Retried::Transaction, time) {
            return false;
        }
        self.patience.pause().await;
        self.number += 1;
        tracing::debug!(target: "rr", ?trouble, attempt = self.number, "a transaction is run again");
        true
    }

    /// What became of a COMMIT that was not answered.
    pub async fn fate(&mut self, unknown: &OutcomeUnknown) -> Fate {
        loop {
            match self.router.resolve(unknown).await {
                Resolution::Committed => return Fate::Committed,
                Resolution::Aborted if self.again(Some(Trouble::Lost)).await => return Fate::Again,
                Resolution::InProgress if self.patience.pause().await => {}
                Resolution::Unknown(doubt) => {
                    tracing::warn!(target: "rr", %doubt, "what became of a COMMIT cannot be told");
                    return Fate::Unknown;
                }
                Resolution::Aborted | Resolution::InProgress => return Fate::Unknown,
            }
        }
    }
}
