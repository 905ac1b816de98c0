//! Judges of histories: pure functions, one for each rule, in linear time but for sorting.
//!
//! None of them guesses. A read is only held to what *returned* before it was *invoked*; a write with an unknown outcome
//! obliges nobody; what a failover has lost is only owed a word (see [`told`]).

pub mod appends;
pub mod bounded;
pub mod counts;
pub mod durable;
pub mod follows;
mod ground;
pub mod monotonic;
pub mod prefix;
pub mod strong;
pub mod told;
pub mod writes;

#[cfg(test)]
pub(crate) mod tests;

use std::fmt;

use crate::history::History;
pub use counts::Counts;
pub use ground::Ground;

/// What must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Rule {
    /// A read did not see what its session wrote.
    OwnWrites,
    /// A read saw less than an earlier one of its session.
    MonotonicReads,
    /// A write was seen without what its session knew when it wrote it, or a hand-over lost something.
    WritesFollowReads,
    /// A read was older than it was allowed to be.
    Bounded,
    /// A state was seen that never was.
    Prefix,
    /// A strong read did not see everything.
    Strong,
    /// A lost write was not told.
    ToldLoss,
    /// An acknowledged write is gone though nothing could lose it, or a failed one is there.
    Durable,
    /// The independent judge objects.
    Appends,
}

impl Rule {
    /// Each of them.
    pub const ALL: [Self; 9] = [
        Self::OwnWrites,
        Self::MonotonicReads,
        Self::WritesFollowReads,
        Self::Bounded,
        Self::Prefix,
        Self::Strong,
        Self::ToldLoss,
        Self::Durable,
        Self::Appends,
    ];
}

/// A rule was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// By which operations: their places in the history.
    pub ops: Vec<usize>,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {} (operations {:?})", self.rule, self.what, self.ops)
    }
}

/// What the judges say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// What must not be.
    pub violations: Vec<Violation>,
    /// Reads that missed a write which a standby had shown before the primary did: PostgreSQL ships a commit before it
    /// shows it.
    pub ahead: Vec<usize>,
    /// The independent judge could not tell.
    pub undecided: bool,
    /// What they had to judge.
    pub counts: Counts,
}

/// By all judges.
#[must_use]
pub fn check(history: &History) -> Verdict {
    let ground = Ground::new(history);
    let mut verdict = Verdict { counts: Counts::of(history), ..Verdict::default() };
    verdict.violations.extend(writes::check(&ground));
    monotonic::check(&ground, &mut verdict);
    follows::check(&ground, &mut verdict);
    verdict.violations.extend(bounded::check(&ground));
    verdict.violations.extend(prefix::check(&ground));
    verdict.violations.extend(strong::check(&ground));
    verdict.violations.extend(told::check(&ground));
    verdict.violations.extend(durable::check(&ground));
    appends::check(&ground, &mut verdict);
    verdict
}
