//! Whether another node is to be promoted.

use std::fmt;
use std::time::Duration;

use super::elect::{NoCandidate, ReplicaView, elect};
use crate::config::{FailoverMode, FailoverPolicy};
use crate::position::Position;
use crate::time::Moment;
use crate::topology::NodeId;

/// What matters of the primary.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PrimaryView {
    /// Which node.
    pub id: NodeId,
    /// Probes that failed in a row.
    pub failures: u32,
    /// The newest position known of it.
    pub last_known: Option<Position>,
}

impl PrimaryView {
    /// A primary that failed so many probes in a row.
    #[must_use]
    pub const fn new(id: NodeId, failures: u32, last_known: Option<Position>) -> Self {
        Self { id, failures, last_known }
    }
}

/// All that a decision is made from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Situation<'a> {
    /// The accepted primary; `None` when none was ever accepted.
    pub primary: Option<PrimaryView>,
    /// Two nodes take writes already.
    pub split_brain: bool,
    /// The replicas.
    pub replicas: &'a [ReplicaView],
    /// When the primary last changed, or an attempt to change it ended.
    pub last_failover: Option<Moment>,
    /// A promotion is under way.
    pub promoting: bool,
    /// This process holds the lease without which nobody may promote.
    pub lease: bool,
    /// This replica was told to take over, and nobody knows whether it has.
    pub in_doubt: Option<NodeId>,
}

impl<'a> Situation<'a> {
    /// A situation with this primary and these replicas, the lease held, and nothing under way.
    #[must_use]
    pub const fn new(primary: Option<PrimaryView>, replicas: &'a [ReplicaView]) -> Self {
        Self {
            primary,
            split_brain: false,
            replicas,
            last_failover: None,
            promoting: false,
            lease: true,
            in_doubt: None,
        }
    }
}

/// Why a failing primary is not replaced, although it would be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Block {
    /// Two nodes take writes; a third one would make it worse.
    SplitBrain,
    /// A promotion is under way.
    InProgress,
    /// A replica was told to take over and does not say whether it has. A second one would make two primaries.
    InDoubt(NodeId),
    /// The last failover is too recent.
    Cooldown {
        /// How much longer.
        left: Duration,
    },
    /// This many replicas still receive the primary's log, so it lives and the fault is on our side; or they do not
    /// answer or cannot tell.
    WitnessesDisagree {
        /// Replicas that do not confirm.
        dissenting: usize,
    },
    /// Fewer replicas answer than the policy asks for.
    TooFewReplicas {
        /// Replicas that answer.
        answering: usize,
        /// Replicas asked for.
        needed: u32,
    },
    /// No replica can take over.
    NoCandidate(NoCandidate),
    /// Somebody else holds the lease.
    NoLease,
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SplitBrain => f.write_str("two nodes take writes"),
            Self::InProgress => f.write_str("a promotion is under way"),
            Self::InDoubt(node) => {
                write!(f, "{node} was told to take over, and nobody knows whether it has; look at it")
            }
            Self::Cooldown { left } => write!(f, "the last failover is too recent, {left:.1?} to go"),
            Self::WitnessesDisagree { dissenting } => {
                write!(f, "{dissenting} replicas do not confirm that the primary is gone")
            }
            Self::TooFewReplicas { answering, needed } => {
                write!(f, "{answering} replicas answer, {needed} are needed")
            }
            Self::NoCandidate(why) => why.fmt(f),
            Self::NoLease => f.write_str("another process or router holds the lease"),
        }
    }
}

/// What is to be done about the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// All is well, or it is not our business.
    Stay,
    /// It fails, and more evidence is awaited.
    Confirming {
        /// Failed probes so far.
        failures: u32,
        /// Failed probes needed.
        needed: u32,
    },
    /// It is gone, and something stands in the way.
    Blocked(Block),
    /// It is gone; this node should take over when a human agrees.
    Propose(NodeId),
    /// It is gone; this node is to take over now.
    Promote(NodeId),
}

/// Decides what is to be done about the primary.
///
/// `follow` and `manual` never promote by themselves. `supervised` proposes what `automatic` does. A rehearsal
/// (`dry_run`) proposes as well.
#[must_use]
pub fn decide(situation: &Situation<'_>, policy: &FailoverPolicy, now: Moment) -> Decision {
    let Some(primary) = &situation.primary else { return Decision::Stay };
    if matches!(policy.mode, FailoverMode::Follow | FailoverMode::Manual) || primary.failures == 0 {
        return Decision::Stay;
    }
    if primary.failures < policy.confirmations {
        return Decision::Confirming { failures: primary.failures, needed: policy.confirmations };
    }
    match candidate(situation, primary, policy, now) {
        Err(block) => Decision::Blocked(block),
        Ok(target) if policy.mode == FailoverMode::Automatic && !policy.dry_run => Decision::Promote(target),
        Ok(target) => Decision::Propose(target),
    }
}

fn candidate(
    situation: &Situation<'_>,
    primary: &PrimaryView,
    policy: &FailoverPolicy,
    now: Moment,
) -> Result<NodeId, Block> {
    if situation.split_brain {
        return Err(Block::SplitBrain);
    }
    if situation.promoting {
        return Err(Block::InProgress);
    }
    if let Some(node) = situation.in_doubt {
        return Err(Block::InDoubt(node));
    }
    if let Some(last) = situation.last_failover {
        let left = policy.cooldown.saturating_sub(now.since(last));
        if !left.is_zero() {
            return Err(Block::Cooldown { left });
        }
    }
    witnessed(situation.replicas, policy)?;
    let target = elect(situation.replicas, primary.last_known.as_ref(), policy, false);
    let target = target.map_err(Block::NoCandidate)?;
    if situation.lease { Ok(target) } else { Err(Block::NoLease) }
}

/// Whether enough replicas answer, and confirm that the primary is gone.
pub(super) fn witnessed(replicas: &[ReplicaView], policy: &FailoverPolicy) -> Result<(), Block> {
    // Whoever is kept out of the election proves nothing by what it has.
    let answering = replicas.iter().filter(|r| r.answers() && !r.barred).count();
    if answering < usize::try_from(policy.min_replicas).unwrap_or(usize::MAX) {
        return Err(Block::TooFewReplicas { answering, needed: policy.min_replicas });
    }
    if policy.witness {
        // Every replica that answers is asked. One that cannot tell does not confirm: fail closed.
        let witnesses = replicas.iter().filter(|r| r.answers());
        let dissenting = witnesses.filter(|r| r.receiving != Some(false)).count();
        if dissenting > 0 {
            return Err(Block::WitnessesDisagree { dissenting });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{Lsn, PgPosition, Timeline};
    use crate::topology::HealthState;

    fn at(lsn: u64) -> Position {
        Position::Postgres(PgPosition::new(Timeline::FIRST, Lsn::from_u64(lsn)))
    }

    fn replicas() -> Vec<ReplicaView> {
        (1..=2).map(|n| ReplicaView::new(NodeId::new(n), Some(at(90 + u64::from(n))))).collect()
    }

    fn failing(replicas: &[ReplicaView], failures: u32) -> Situation<'_> {
        Situation::new(Some(PrimaryView::new(NodeId::new(0), failures, Some(at(100)))), replicas)
    }

    fn policy(mode: FailoverMode) -> FailoverPolicy {
        FailoverPolicy { mode, ..FailoverPolicy::default() }
    }

    fn automatic(situation: &Situation<'_>) -> Decision {
        decide(situation, &policy(FailoverMode::Automatic), Moment::from_millis(100_000))
    }

    #[test]
    fn follow_and_manual_never_promote() {
        let replicas = replicas();
        for mode in [FailoverMode::Follow, FailoverMode::Manual] {
            assert_eq!(decide(&failing(&replicas, 99), &policy(mode), Moment::ORIGIN), Decision::Stay);
        }
    }

    #[test]
    fn automatic_waits_for_confirmations_and_then_promotes_the_most_advanced() {
        let replicas = replicas();
        assert_eq!(automatic(&failing(&replicas, 0)), Decision::Stay);
        assert_eq!(automatic(&failing(&replicas, 2)), Decision::Confirming { failures: 2, needed: 3 });
        assert_eq!(automatic(&failing(&replicas, 3)), Decision::Promote(NodeId::new(2)));
    }

    #[test]
    fn supervised_and_a_rehearsal_propose_the_same() {
        let replicas = replicas();
        let proposed = Decision::Propose(NodeId::new(2));
        let supervised = policy(FailoverMode::Supervised);
        assert_eq!(decide(&failing(&replicas, 3), &supervised, Moment::ORIGIN), proposed);
        let rehearsal = FailoverPolicy { dry_run: true, ..policy(FailoverMode::Automatic) };
        assert_eq!(decide(&failing(&replicas, 3), &rehearsal, Moment::ORIGIN), proposed);
    }

    #[test]
    fn a_replica_that_still_receives_holds_the_promotion_back() {
        let mut replicas = replicas();
        for doubt in [Some(true), None] {
            replicas[0].receiving = doubt;
            let blocked = Decision::Blocked(Block::WitnessesDisagree { dissenting: 1 });
            assert_eq!(automatic(&failing(&replicas, 9)), blocked);
        }
        replicas[0].health = HealthState::Unhealthy;
        assert_eq!(automatic(&failing(&replicas, 9)), Decision::Promote(NodeId::new(2)));
    }

    #[test]
    fn cooldown_lease_and_a_running_promotion_hold_it_back() {
        let replicas = replicas();
        let blocked = |change: fn(&mut Situation<'_>)| {
            let mut situation = failing(&replicas, 3);
            change(&mut situation);
            automatic(&situation)
        };
        let left = Duration::from_secs(20);
        let recent = |s: &mut Situation<'_>| s.last_failover = Some(Moment::from_millis(60_000));
        assert_eq!(blocked(recent), Decision::Blocked(Block::Cooldown { left }));
        assert_eq!(blocked(|s| s.lease = false), Decision::Blocked(Block::NoLease));
        let doubtful = NodeId::new(1);
        assert_eq!(
            blocked(|s| s.in_doubt = Some(NodeId::new(1))),
            Decision::Blocked(Block::InDoubt(doubtful))
        );
        assert_eq!(blocked(|s| s.promoting = true), Decision::Blocked(Block::InProgress));
        assert_eq!(blocked(|s| s.split_brain = true), Decision::Blocked(Block::SplitBrain));
    }

    #[test]
    fn too_few_replicas_hold_it_back() {
        let blocked = Decision::Blocked(Block::TooFewReplicas { answering: 0, needed: 1 });
        assert_eq!(automatic(&failing(&[], 3)), blocked);
    }
}
