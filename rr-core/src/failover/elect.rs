//! Which replica takes over.

use std::fmt;

use crate::config::FailoverPolicy;
use crate::position::Position;
use crate::topology::{HealthState, NodeId};

/// What matters of a replica when the primary is gone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReplicaView {
    /// Which node.
    pub id: NodeId,
    /// What it has applied.
    pub applied: Option<Position>,
    /// What it has, applied or not; `None` where that is not known to be more than what it has applied.
    pub received: Option<Position>,
    /// How well it does.
    pub health: HealthState,
    /// 0 is preferred.
    pub priority: u8,
    /// Whether it still receives the primary's log; `None` is unknown.
    pub receiving: Option<bool>,
    /// It must not be promoted: draining, quarantined.
    pub barred: bool,
    /// It applies what it has only after a while, on purpose.
    pub delayed: bool,
    /// As a primary it would refuse to write.
    pub frozen: bool,
    /// Somebody has stopped its replay on purpose, and nothing is on fire.
    pub paused: bool,
}

impl ReplicaView {
    /// A healthy replica at `applied` that has lost its primary.
    #[must_use]
    pub const fn new(id: NodeId, applied: Option<Position>) -> Self {
        Self {
            id,
            applied,
            received: None,
            health: HealthState::Healthy,
            priority: 0,
            receiving: Some(false),
            barred: false,
            delayed: false,
            frozen: false,
            paused: false,
        }
    }

    /// All that it has: a promotion applies it before anything else.
    #[must_use]
    pub fn has(&self) -> Option<&Position> {
        match (&self.received, &self.applied) {
            (Some(received), Some(applied)) if applied.covers(received) => Some(applied),
            (Some(received), _) => Some(received),
            (None, applied) => applied.as_ref(),
        }
    }

    /// Whether it answers.
    #[must_use]
    pub const fn answers(&self) -> bool {
        matches!(self.health, HealthState::Healthy | HealthState::Degraded)
    }
}

/// Why a replica is no candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CandidateRefusal {
    /// It does not answer.
    NotAnswering,
    /// It is draining or quarantined.
    Barred,
    /// It was tried, and could not.
    Tried,
    /// Another one has more of the primary's log.
    Outdone {
        /// That one.
        by: NodeId,
    },
    /// It is a delayed replica, kept in the past on purpose.
    Delayed,
    /// Its replay is paused, and it is not needed.
    Paused,
    /// As a primary it would refuse to write: it was one, and has not been told that it may again.
    Frozen,
    /// What it has is not known.
    PositionUnknown,
    /// It lacks more of the primary's log than the policy allows.
    TooFarBehind {
        /// Bytes that would be lost.
        bytes: u64,
        /// Bytes that may be lost.
        limit: u64,
    },
    /// What it lacks of the primary's log cannot be told.
    LagUnknown,
}

impl fmt::Display for CandidateRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnswering => f.write_str("does not answer"),
            Self::Barred => f.write_str("draining or quarantined"),
            Self::Tried => f.write_str("was tried and could not"),
            Self::Outdone { by } => write!(f, "has less than {by}"),
            Self::Delayed => f.write_str("is delayed on purpose (`recovery_min_apply_delay`)"),
            Self::Paused => f.write_str("has its replay paused (`SELECT pg_wal_replay_resume()`)"),
            Self::Frozen => f.write_str(
                "would refuse to write (`ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf();`)",
            ),
            Self::PositionUnknown => f.write_str("position unknown"),
            Self::TooFarBehind { bytes, limit } => {
                write!(f, "lacks {bytes} bytes of the primary's log, allowed are {limit}")
            }
            Self::LagUnknown => f.write_str("cannot tell what it lacks of the primary's log"),
        }
    }
}

/// Nobody can take over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no replica can take over: {}", .refused.iter().map(|(id, why)| format!("{id} {why}")).collect::<Vec<_>>().join(", "))]
#[non_exhaustive]
pub struct NoCandidate {
    /// Why each of them cannot.
    pub refused: Vec<(NodeId, CandidateRefusal)>,
}

/// The replica that has the most of the primary's log; among equals the one of first priority, then the healthiest,
/// then the one that was configured first.
///
/// What counts is what a replica has *received*: it will have applied that before it is promoted, and a replay that is
/// paused or slow must not cost what the primary has acknowledged. `last_known` is the primary's newest known position.
/// `force` lets a lagging replica, and a delayed one, take over.
///
/// # Errors
/// [`NoCandidate`] says why nobody can.
pub fn elect(
    replicas: &[ReplicaView],
    last_known: Option<&Position>,
    policy: &FailoverPolicy,
    force: bool,
) -> Result<NodeId, NoCandidate> {
    let mut refused = Vec::new();
    let mut best: Option<(&ReplicaView, &Position)> = None;
    for replica in replicas {
        match candidate(replica, last_known, policy, force) {
            Err(why) => refused.push((replica.id, why)),
            Ok(has) if best.is_none_or(|best| beats((replica, has), best)) => best = Some((replica, has)),
            Ok(_) => {}
        }
    }
    best.map(|(replica, _)| replica.id).ok_or(NoCandidate { refused })
}

/// Why a replica is no candidate, or what it has.
fn candidate<'a>(
    replica: &'a ReplicaView,
    last_known: Option<&Position>,
    policy: &FailoverPolicy,
    force: bool,
) -> Result<&'a Position, CandidateRefusal> {
    if replica.barred {
        return Err(CandidateRefusal::Barred);
    }
    if !replica.answers() {
        return Err(CandidateRefusal::NotAnswering);
    }
    if replica.paused {
        return Err(CandidateRefusal::Paused);
    }
    if replica.frozen {
        return Err(CandidateRefusal::Frozen);
    }
    if replica.delayed && !force {
        return Err(CandidateRefusal::Delayed);
    }
    let has = replica.has().ok_or(CandidateRefusal::PositionUnknown)?;
    let (Some(limit), Some(last_known), false) = (policy.max_lag_bytes, last_known, force) else {
        return Ok(has);
    };
    if has.covers(last_known) {
        return Ok(has);
    }
    match last_known.lag_bytes(has) {
        Some(bytes) if bytes > limit => Err(CandidateRefusal::TooFarBehind { bytes, limit }),
        Some(_) => Ok(has),
        None => Err(CandidateRefusal::LagUnknown),
    }
}

/// Why a replica is no candidate; `None` when it is one.
#[must_use]
pub fn refusal(
    replica: &ReplicaView,
    last_known: Option<&Position>,
    policy: &FailoverPolicy,
    force: bool,
) -> Option<CandidateRefusal> {
    candidate(replica, last_known, policy, force).err()
}

/// Whether `a` is the better candidate. Positions that cannot be compared count as equal.
fn beats((a, at_a): (&ReplicaView, &Position), (b, at_b): (&ReplicaView, &Position)) -> bool {
    match (at_a.covers(at_b), at_b.covers(at_a)) {
        (true, false) => true,
        (false, true) => false,
        (true, true) | (false, false) => (a.priority, a.health, a.id) < (b.priority, b.health, b.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{Lsn, PgPosition, Timeline};

    fn at(lsn: u64) -> Position {
        Position::Postgres(PgPosition::new(Timeline::FIRST, Lsn::from_u64(lsn)))
    }

    fn replica(id: u32, lsn: u64) -> ReplicaView {
        ReplicaView::new(NodeId::new(id), Some(at(lsn)))
    }

    fn winner(replicas: &[ReplicaView]) -> Option<u32> {
        elect(replicas, Some(&at(100)), &FailoverPolicy::default(), false).ok().map(NodeId::number)
    }

    #[test]
    fn the_most_advanced_wins_whatever_its_priority() {
        let spare = ReplicaView { priority: 9, ..replica(2, 90) };
        assert_eq!(winner(&[replica(1, 80), spare, replica(3, 85)]), Some(2));
    }

    #[test]
    fn ties_go_by_priority_then_health_then_order() {
        let second = ReplicaView { priority: 1, ..replica(1, 90) };
        let shaky = ReplicaView { health: HealthState::Degraded, ..replica(2, 90) };
        assert_eq!(winner(&[second.clone(), shaky.clone()]), Some(2));
        assert_eq!(winner(&[second, shaky, replica(4, 90), replica(3, 90)]), Some(3));
    }

    #[test]
    fn what_was_received_counts_and_not_what_was_applied() {
        let paused = ReplicaView { received: Some(at(95)), ..replica(1, 10) };
        assert_eq!(winner(&[paused.clone(), replica(2, 90)]), Some(1));
        let stale = ReplicaView { received: Some(at(80)), ..replica(2, 99) };
        assert_eq!(winner(&[paused, stale]), Some(2), "what it has applied it has");
    }

    #[test]
    fn those_that_cannot_are_refused_with_a_reason() {
        let policy = FailoverPolicy { max_lag_bytes: Some(50), ..FailoverPolicy::default() };
        let replicas = [
            ReplicaView { health: HealthState::Unhealthy, ..replica(1, 99) },
            ReplicaView { barred: true, ..replica(2, 99) },
            ReplicaView { applied: None, ..replica(3, 0) },
            ReplicaView { delayed: true, ..replica(5, 40) },
            replica(4, 49),
        ];
        let refused = elect(&replicas, Some(&at(100)), &policy, false).unwrap_err().refused;
        let reasons: Vec<CandidateRefusal> = refused.into_iter().map(|(_, why)| why).collect();
        assert_eq!(
            reasons,
            [
                CandidateRefusal::NotAnswering,
                CandidateRefusal::Barred,
                CandidateRefusal::PositionUnknown,
                CandidateRefusal::Delayed,
                CandidateRefusal::TooFarBehind { bytes: 51, limit: 50 },
            ]
        );
        assert_eq!(elect(&replicas, Some(&at(100)), &policy, true), Ok(NodeId::new(4)), "unless forced");
    }
}
