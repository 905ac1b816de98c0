//! What is counted beside routes: the steps of reads that must see something and of writes that wait, and what became of
//! tokens.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::consistency::Consistency;
use crate::token::TokenError;
use crate::world::Severity;

#[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "read by instruments only"))]
mod failovers;
#[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "read by instruments only"))]
mod kinds;

pub(crate) use failovers::{Failovers, Reign, Turnover, TurnoverOutcome};
pub(crate) use kinds::{Fallback, Loss, Retried, Retry, RetryOutcome};

/// A step of a read that no replica could serve at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// It began to wait for a replica.
    Waited,
    /// A replica caught up in time.
    CaughtUp,
    /// None did.
    GaveUp,
    /// It did not wait: the replicas have been waited for in vain, and have not moved since.
    Spared,
    /// A replica served it that does not have what it asked for (`causal_else = "stale"`).
    Stale,
    /// It failed (`causal_else = "error"`).
    Refused,
    /// Its session wrote something that a failover has lost.
    LostWrite,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 7] = [
        Self::Waited,
        Self::CaughtUp,
        Self::GaveUp,
        Self::Spared,
        Self::Stale,
        Self::Refused,
        Self::LostWrite,
    ];

    /// Its name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waited => "waited",
            Self::CaughtUp => "caught_up",
            Self::GaveUp => "gave_up",
            Self::Spared => "spared",
            Self::Stale => "stale",
            Self::Refused => "refused",
            Self::LostWrite => "lost_write",
        }
    }
}

/// A step of a write that found no primary to connect to, or was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WriteStep {
    /// It began to wait for a primary.
    Waited,
    /// It was let go on, and has a connection.
    Served,
    /// There was none in time.
    GaveUp,
    /// Too many waited already (`write_queue`).
    Refused,
    /// Its connection was lost before the server answered.
    OutcomeUnknown,
}

impl WriteStep {
    /// Every step.
    pub const ALL: [Self; 5] =
        [Self::Waited, Self::Served, Self::GaveUp, Self::Refused, Self::OutcomeUnknown];

    /// Its name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waited => "waited",
            Self::Served => "served",
            Self::GaveUp => "gave_up",
            Self::Refused => "refused",
            Self::OutcomeUnknown => "outcome_unknown",
        }
    }
}

/// Outcomes of tokens: issued, resumed, and each kind of refusal.
const TOKENS: usize = 2 + TokenError::COUNT;

#[derive(Debug, Default)]
pub(crate) struct Tally {
    steps: [AtomicU64; Step::ALL.len()],
    writes: [AtomicU64; WriteStep::ALL.len()],
    tokens: [AtomicU64; TOKENS],
    upgrades: [AtomicU64; Consistency::KINDS.len()],
    fallbacks: [AtomicU64; Fallback::ALL.len()],
    retries: [AtomicU64; Retry::COUNT],
    losses: [AtomicU64; Loss::ALL.len()],
    alerts: [AtomicU64; Severity::ALL.len()],
    pub(crate) failovers: Failovers,
}

impl Tally {
    /// Counts a read on the primary because no replica had what its level asks for.
    pub(crate) fn upgraded(&self, level: Option<Consistency>) {
        self.upgrades[Consistency::kind_index(level)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_fallback(&self, fallback: Fallback) {
        self.fallbacks[fallback as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_retry(&self, retry: Retry) {
        self.retries[retry.index()].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_loss(&self, loss: Loss) {
        self.losses[loss as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_alert(&self, severity: Severity) {
        self.alerts[severity as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, step: Step) {
        self.steps[step as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self, step: Step) -> u64 {
        self.steps[step as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn count_write(&self, step: WriteStep) {
        self.writes[step as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn writes(&self, step: WriteStep) -> u64 {
        self.writes[step as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn issued(&self) {
        self.tokens[0].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what became of a token that somebody brought.
    pub(crate) fn brought<T>(&self, outcome: &Result<T, TokenError>) {
        let index = outcome.as_ref().err().map_or(1, |error| 2 + error.index());
        self.tokens[index].fetch_add(1, Ordering::Relaxed);
    }

    /// What became of tokens, by name.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let names = ["issued", "resumed"].into_iter().chain(TokenError::kinds());
        names.zip(self.tokens.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}

#[cfg(feature = "metrics")]
impl Tally {
    /// Those reads, in the order of [`Consistency::KINDS`].
    pub(crate) fn upgrades(&self) -> [u64; Consistency::KINDS.len()] {
        std::array::from_fn(|index| self.upgrades[index].load(Ordering::Relaxed))
    }

    pub(crate) fn fallbacks(&self, fallback: Fallback) -> u64 {
        self.fallbacks[fallback as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn retries(&self, retry: Retry) -> u64 {
        self.retries[retry.index()].load(Ordering::Relaxed)
    }

    pub(crate) fn losses(&self, loss: Loss) -> u64 {
        self.losses[loss as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn alerts(&self, severity: Severity) -> u64 {
        self.alerts[severity as usize].load(Ordering::Relaxed)
    }
}
