//! What there is to count: each a word of few values.

use crate::route::RouteReason;

/// A read that wanted a replica and was left to the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fallback {
    /// No replica stands in the rotation, and the primary serves it.
    Down,
    /// No replica has what it must see, and the primary serves it.
    Behind,
    /// As `Down`, and the budget (`primary_reads.per_second`) is spent: it failed.
    DownSpent,
    /// As `Behind`, and the budget is spent: it failed.
    BehindSpent,
}

impl Fallback {
    pub(crate) const ALL: [Self; 4] = [Self::Down, Self::Behind, Self::DownSpent, Self::BehindSpent];

    /// That of a read with this reason.
    pub(crate) const fn of(reason: RouteReason, served: bool) -> Option<Self> {
        match (reason, served) {
            (RouteReason::ReplicasDown, true) => Some(Self::Down),
            (RouteReason::ReplicasDown, false) => Some(Self::DownSpent),
            (RouteReason::ReplicasBehind, true) => Some(Self::Behind),
            (RouteReason::ReplicasBehind, false) => Some(Self::BehindSpent),
            _ => None,
        }
    }

    pub(crate) const fn reason(self) -> RouteReason {
        match self {
            Self::Down | Self::DownSpent => RouteReason::ReplicasDown,
            Self::Behind | Self::BehindSpent => RouteReason::ReplicasBehind,
        }
    }

    pub(crate) const fn outcome(self) -> &'static str {
        match self {
            Self::Down | Self::Behind => "served",
            Self::DownSpent | Self::BehindSpent => "budget_spent",
        }
    }
}

/// What may be run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retried {
    /// A read, on another node.
    Read,
    /// A whole transaction.
    Transaction,
}

impl Retried {
    const ALL: [Self; 2] = [Self::Read, Self::Transaction];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Transaction => "transaction",
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryOutcome {
    /// It is run again.
    Again,
    /// It is not: the budget (`retries.per_second`) is spent.
    BudgetSpent,
    /// It is not: it has been tried for too long, or too often.
    GaveUp,
}

impl RetryOutcome {
    const ALL: [Self; 3] = [Self::Again, Self::BudgetSpent, Self::GaveUp];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Again => "again",
            Self::BudgetSpent => "budget_spent",
            Self::GaveUp => "gave_up",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    pub(crate) what: Retried,
    pub(crate) outcome: RetryOutcome,
}

impl Retry {
    pub(crate) const COUNT: usize = Retried::ALL.len() * RetryOutcome::ALL.len();

    pub(crate) const fn index(self) -> usize {
        self.what as usize * RetryOutcome::ALL.len() + self.outcome as usize
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let outcomes = |what| RetryOutcome::ALL.map(|outcome| Self { what, outcome });
        Retried::ALL.into_iter().flat_map(outcomes)
    }
}

/// Who is told of a write that a failover has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// A session, or whoever brought its token.
    Session,
    /// Nobody in particular: it was written by this process, outside of any session or not.
    Process,
}

impl Loss {
    pub(crate) const ALL: [Self; 2] = [Self::Session, Self::Process];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Process => "process",
        }
    }
}
