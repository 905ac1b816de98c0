//! Who is the primary, who should be, and how to get there. All of it pure.
//!
//! [`accept`] looks at every node that says it takes writes and accepts at most one of them. [`decide`] looks at a
//! primary that fails and says whether another node is to be promoted; [`elect`] says which. Neither of them does
//! anything: the world calls them after every observation. [`Promotion`] is what follows from a decision, step by step:
//! it says what to do next from what became of the last step, and the monitor (or the simulation) does it.
//!
//! Strangers plug in by [`Lease`] (who may promote), [`Fence`] and [`Promoter`].

use crate::position::Timeline;
use crate::topology::{NodeId, Quarantine};

mod decide;
mod elect;
mod hooks;
mod lease;
mod promotion;
mod report;
mod step;

pub use decide::{Block, Decision, PrimaryView, Situation, decide};
pub use elect::{CandidateRefusal, NoCandidate, ReplicaView, elect, refusal};
pub use hooks::{Fence, HookError, Order, Place, Promoter};
pub use lease::{BoxFuture, Grant, InProcessLease, Lease, LeaseError};
pub use promotion::Promotion;
pub use report::{Durations, Phase, Proposal, Report};
pub use step::{Ending, Step, Stop, Task, Told};

/// A node that says it takes writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// Which node.
    pub node: NodeId,
    /// On which timeline; `None` where the engine has no such thing.
    pub timeline: Option<Timeline>,
    /// It still answers. A claim of a node that went silent stands until somebody says otherwise.
    pub alive: bool,
}

impl Claim {
    /// This claim.
    #[must_use]
    pub const fn new(node: NodeId, timeline: Option<Timeline>, alive: bool) -> Self {
        Self { node, timeline, alive }
    }
}

/// What became of the claims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acceptance {
    /// The node that is the primary.
    pub primary: Option<NodeId>,
    /// Two nodes claim the same and nothing tells who is right: nobody is accepted.
    pub split: Option<(NodeId, NodeId)>,
    /// The claimants that must not be used, and why.
    pub quarantined: Vec<(NodeId, Quarantine)>,
}

/// Accepts at most one claim.
///
/// A claim on a timeline older than `highest` (the highest ever seen, by anybody) is a primary that another one
/// has left behind. Of several claims on the highest timeline, one that went silent gives way to one that answers,
/// and two that answer are a split brain: a wrong choice would lose writes, so there is none.
#[must_use]
pub fn accept(claims: &[Claim], highest: Option<Timeline>) -> Acceptance {
    let highest = claims.iter().filter_map(|claim| claim.timeline).chain(highest).max();
    let mut acceptance = Acceptance::default();
    let (current, stale): (Vec<&Claim>, Vec<&Claim>) =
        claims.iter().partition(|claim| claim.timeline.is_none() || claim.timeline == highest);
    let quarantine = |why| move |claim: &&Claim| (claim.node, why);
    acceptance.quarantined.extend(stale.iter().map(quarantine(Quarantine::StalePrimary)));
    let (alive, silent): (Vec<&Claim>, Vec<&Claim>) = current.iter().partition(|claim| claim.alive);
    let contenders = if alive.is_empty() { &silent } else { &alive };
    match contenders.as_slice() {
        [] => {}
        [only] => {
            acceptance.primary = Some(only.node);
            if !alive.is_empty() {
                acceptance.quarantined.extend(silent.iter().map(quarantine(Quarantine::RivalPrimary)));
            }
        }
        [first, second, ..] => {
            acceptance.split = Some((first.node, second.node));
            acceptance.quarantined.extend(current.iter().map(quarantine(Quarantine::RivalPrimary)));
        }
    }
    acceptance
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(node: u32, timeline: u32, alive: bool) -> Claim {
        Claim::new(NodeId::new(node), Timeline::new(timeline), alive)
    }

    fn primary(claims: &[Claim], highest: u32) -> Option<u32> {
        accept(claims, Timeline::new(highest)).primary.map(NodeId::number)
    }

    #[test]
    fn a_single_claim_on_the_highest_timeline_is_accepted() {
        assert_eq!(primary(&[claim(1, 3, true)], 3), Some(1));
        assert_eq!(primary(&[claim(1, 3, false)], 3), Some(1), "silence alone deposes nobody");
        assert_eq!(primary(&[claim(1, 4, true)], 3), Some(1));
        assert_eq!(primary(&[], 3), None);
    }

    #[test]
    fn a_claim_on_an_older_timeline_is_quarantined_even_when_it_is_the_only_one() {
        let acceptance = accept(&[claim(1, 2, true)], Timeline::new(3));
        assert_eq!(acceptance.primary, None);
        assert_eq!(acceptance.quarantined, [(NodeId::new(1), Quarantine::StalePrimary)]);
    }

    #[test]
    fn a_promotion_deposes_the_old_primary() {
        let acceptance = accept(&[claim(1, 1, true), claim(2, 2, true)], None);
        assert_eq!(acceptance.primary, Some(NodeId::new(2)));
        assert_eq!(acceptance.quarantined, [(NodeId::new(1), Quarantine::StalePrimary)]);
    }

    #[test]
    fn two_live_claims_on_one_timeline_are_a_split_brain() {
        let acceptance = accept(&[claim(1, 2, true), claim(2, 2, true), claim(3, 1, true)], None);
        assert_eq!(acceptance.primary, None);
        assert_eq!(acceptance.split, Some((NodeId::new(1), NodeId::new(2))));
        assert_eq!(acceptance.quarantined.len(), 3);
    }

    #[test]
    fn a_silent_rival_gives_way() {
        let acceptance = accept(&[claim(1, 2, false), claim(2, 2, true)], None);
        assert_eq!(acceptance.primary, Some(NodeId::new(2)));
        assert_eq!(acceptance.quarantined, [(NodeId::new(1), Quarantine::RivalPrimary)]);
    }
}
