//! Why a node may not serve.

use std::fmt;
use std::time::Duration;

use crate::topology::Quarantine;

/// Why a node may not serve a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// The request is for replicas and it is none.
    NotAReplica,
    /// The request is for the primary and it is not.
    NotThePrimary,
    /// It answered no probe yet.
    NotSeenYet,
    /// It does not answer.
    Down,
    /// Statements failed on it lately.
    Ejected,
    /// It is being taken out of service.
    Draining,
    /// It answers, and must not be used.
    Quarantined(Quarantine),
    /// The caller tried it already.
    AlreadyTried,
    /// It is not in the group that was asked for.
    NotInGroup,
    /// It serves another workload only.
    ReservedForGroup,
    /// It has not yet applied what the request must see; by so many bytes, where that is known.
    Behind {
        /// How many bytes of log are missing.
        bytes: Option<u64>,
    },
    /// Its position is not known, so it cannot prove what it has applied.
    PositionUnknown,
    /// Something was written and no position of the primary has been sampled since.
    WriteUnplaced,
    /// Its data may be older than allowed.
    TooStale {
        /// How old its data may be.
        staleness: Duration,
        /// What is allowed.
        limit: Duration,
    },
    /// Something was read elsewhere, and nothing proves yet that this node has it.
    ReadUnplaced,
    /// Nothing is known about the age of its data.
    StalenessUnknown,
    /// A node that is nearer, or comes first by priority, serves.
    Spare,
    /// The rule says that reads do not leave the region.
    OtherRegion,
}

impl Rejection {
    /// Whether waiting may help: the node only has to get further, or to be asked again.
    #[must_use]
    pub const fn is_about_position(self) -> bool {
        matches!(
            self,
            Self::Behind { .. }
                | Self::PositionUnknown
                | Self::WriteUnplaced
                | Self::ReadUnplaced
                | Self::TooStale { .. }
                | Self::StalenessUnknown
        )
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAReplica => f.write_str("not a replica"),
            Self::NotThePrimary => f.write_str("not the primary"),
            Self::NotSeenYet => f.write_str("answered no probe yet"),
            Self::Down => f.write_str("does not answer"),
            Self::Ejected => f.write_str("statements failed on it lately"),
            Self::Draining => f.write_str("draining"),
            Self::Quarantined(why) => write!(f, "quarantined: {why}"),
            Self::AlreadyTried => f.write_str("already tried"),
            Self::NotInGroup => f.write_str("not in the group asked for"),
            Self::ReservedForGroup => f.write_str("reserved for a group"),
            Self::Behind { bytes: Some(bytes) } => write!(f, "behind by {bytes} bytes"),
            Self::Behind { bytes: None } => f.write_str("behind"),
            Self::PositionUnknown => f.write_str("position unknown"),
            Self::WriteUnplaced => f.write_str("a write whose position is not known yet"),
            Self::ReadUnplaced => f.write_str("a read on another node, of which no position is known yet"),
            Self::TooStale { staleness, limit } => {
                write!(f, "data may be {staleness:.1?} old, allowed are {limit:?}")
            }
            Self::StalenessUnknown => f.write_str("age of its data unknown"),
            Self::Spare => f.write_str("spare: a nearer or preferred node serves"),
            Self::OtherRegion => f.write_str("in another region"),
        }
    }
}
