//! What a promotion consists of: the task, its steps, what becomes of each, and how it ends.

use std::fmt;

use super::decide::Block;
use super::elect::{NoCandidate, ReplicaView};
use super::report::Phase;
use crate::position::Position;
use crate::time::Moment;
use crate::topology::NodeId;

/// What is undertaken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Task {
    /// The present primary, or the last one.
    pub from: Option<NodeId>,
    /// Who is to take over; `None` for the best candidate.
    pub target: Option<NodeId>,
    /// The present primary is well, and is asked to stop first.
    pub planned: bool,
    /// Takes a candidate that lacks too much, ends what does not drain.
    pub force: bool,
    /// Somebody else ([`Promoter`](super::Promoter)) fences, promotes and re-points.
    pub delegated: bool,
    /// There is a [`Fence`](super::Fence).
    pub fence: bool,
    /// The first failed look at the primary.
    pub failing_since: Option<Moment>,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Get the lease, or show that it is still held.
    Lease,
    /// Have the old primary fenced.
    Fence,
    /// Look closely at all replicas, and whether the primary answers.
    Look,
    /// Hold all writes of this router.
    Hold,
    /// Wait until nothing of this router is under way on the old primary.
    Drain,
    /// Make the old primary refuse writes of everybody, and learn where its log ends.
    Freeze,
    /// Wait until the candidate has applied all it has, and all that the frozen primary has.
    CatchUp(NodeId),
    /// Show, once more, that the lease is held.
    ConfirmLease,
    /// Tell the candidate to take over.
    Promote(NodeId),
    /// Have somebody else do it.
    Delegate(NodeId),
    /// Wait until it is the accepted primary.
    Verify(NodeId),
    /// Have a candidate fenced that may have taken over.
    FenceCandidate(NodeId),
    /// Let the old primary write again.
    Thaw,
    /// Let the others follow the new primary.
    Repoint(NodeId),
    /// Nothing.
    End,
}

impl Step {
    pub(super) const fn phase(self) -> Phase {
        match self {
            Self::Fence | Self::FenceCandidate(_) => Phase::Fencing,
            Self::Lease | Self::Look => Phase::Election,
            Self::Hold | Self::Drain | Self::Freeze | Self::Thaw => Phase::Draining,
            Self::CatchUp(_) => Phase::CatchingUp,
            Self::ConfirmLease | Self::Promote(_) | Self::Delegate(_) | Self::Verify(_) => Phase::Promotion,
            Self::Repoint(_) | Self::End => Phase::Repointing,
        }
    }
}

/// What became of a step.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Told {
    /// It is done.
    Done,
    /// It is not done, and certainly will not be.
    Failed(String),
    /// It may be done.
    Unknown(String),
    /// It is not done, and nobody is to take over any more.
    Objected(Stop),
    /// The router is shut down meanwhile, so that what becomes of it is not seen.
    Abandoned,
    /// What the closer look showed.
    Looked {
        /// The replicas.
        replicas: Vec<ReplicaView>,
        /// The newest position known of the old primary.
        last_known: Option<Position>,
        /// The old primary answers.
        primary_answers: bool,
    },
    /// Whom the new primary is followed by now, and by whom not and why.
    Repointed(Vec<(NodeId, Result<(), String>)>),
}

/// Why nobody was promoted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// The lease is not held.
    NoLease(String),
    /// The old primary could not be fenced.
    NotFenced(String),
    /// The replicas could not be looked at.
    NotLooked(String),
    /// Nobody can take over.
    NoCandidate(NoCandidate),
    /// At a closer look, something stands in the way.
    Blocked(Block),
    /// Somebody else has promoted somebody meanwhile, or is about to.
    Overtaken(String),
    /// The old primary answers again.
    PrimaryIsBack,
    /// A switchover needs a primary that answers.
    PrimaryIsGone,
    /// Something was still under way on the old primary.
    NotDrained(String),
    /// The old primary could not be made to refuse writes.
    NotFrozen(String),
    /// The candidate does not have everything.
    NotCaughtUp(String),
    /// The candidate could not be told to take over.
    NotPromoted(String),
    /// It was a rehearsal.
    Rehearsal,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLease(why) => write!(f, "the lease is not held: {why}"),
            Self::NotFenced(why) => write!(f, "the old primary could not be fenced: {why}"),
            Self::NotLooked(why) => write!(f, "the replicas could not be looked at: {why}"),
            Self::NoCandidate(why) => why.fmt(f),
            Self::Blocked(why) => why.fmt(f),
            Self::Overtaken(why) => write!(f, "another one has taken over, or is about to: {why}"),
            Self::PrimaryIsBack => f.write_str("the primary answers again"),
            Self::PrimaryIsGone => {
                f.write_str("the primary does not answer, and a switchover needs one that does")
            }
            Self::NotDrained(why) => write!(f, "the old primary was not drained: {why}"),
            Self::NotFrozen(why) => write!(f, "the old primary could not be made to refuse writes: {why}"),
            Self::NotCaughtUp(why) => write!(f, "the candidate does not have everything: {why}"),
            Self::NotPromoted(why) => write!(f, "the candidate could not be told to take over: {why}"),
            Self::Rehearsal => f.write_str("it was a rehearsal (`failover.dry_run`)"),
        }
    }
}

/// How a promotion ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// This node is the primary.
    Promoted(NodeId),
    /// Nobody was told to take over, or whoever was is fenced.
    Stopped(Stop),
    /// This node was told to take over, and nobody knows whether it has.
    InDoubt(NodeId, String),
}

impl Told {
    pub(super) const fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    pub(super) fn why(self) -> String {
        match self {
            Self::Failed(why) | Self::Unknown(why) => why,
            Self::Objected(why) => why.to_string(),
            Self::Abandoned => "the router is shut down".to_owned(),
            Self::Done | Self::Looked { .. } | Self::Repointed(_) => "it makes no sense here".to_owned(),
        }
    }
}
