//! Runs that must fail: in each, one thing is done wrongly behind the judge's back, to prove that the judge sees it.

use std::time::Duration;

use rr_core::config::{Config, FailoverMode};
use rr_core::failover::ReplicaView;
use rr_core::position::Position;
use rr_core::topology::{Epoch, Rules, Topology};

/// What is done wrongly in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lie {
    /// Sessions ask for nothing and are still owed everything.
    Blind,
    /// Sessions forget what they have read as long as it has no position.
    Forgetful,
    /// A read that is tried again elsewhere counts on as in flight.
    Leaky,
    /// The epoch stays what it was when there first was a primary, whoever is the primary.
    Uncounted,
    /// The world promotes by itself, whatever the mode.
    Unasked,
    /// The world believes that the lease is held, always.
    Unleased,
    /// A promotion is told that the lease is held, always.
    LeaseUnconfirmed,
    /// One silence is enough for the world.
    Unconfirmed,
    /// The world asks no replica whether it has lost the primary too.
    Unwitnessed,
    /// The world needs no other replica.
    Alone,
    /// The world does not rest between two promotions.
    Restless,
    /// The world forgets at once that a promotion is under way.
    Distracted,
    /// The order names somebody else.
    Misdirected,
    /// Whoever was told to take over is given up at once, as if it certainly had not.
    Impatient,
    /// A promotion does not ask whether the old primary is back, or somebody else has promoted anybody.
    Oblivious,
    /// Nobody waits until the new primary of a switchover has all that the old one has.
    Hasty,
    /// Whoever takes over is elected as if all replicas had the same.
    Unelected,
}

impl Lie {
    /// The configuration that the world is given; the judge knows the true one.
    pub(super) fn configure(self, config: &mut Config) {
        let failover = &mut config.failover;
        match self {
            Self::Unasked => (failover.mode, failover.dry_run) = (FailoverMode::Automatic, false),
            Self::Unconfirmed => failover.confirmations = 1,
            Self::Unwitnessed => failover.witness = false,
            Self::Alone => failover.min_replicas = 0,
            Self::Restless => failover.cooldown = Duration::ZERO,
            _ => {}
        }
    }
}

/// The topology as if no primary had been accepted since that of `before`.
pub(super) fn uncounted(topology: &Topology, before: &Topology, config: &Config) -> Topology {
    let epoch = if before.epoch() == Epoch::default() { topology.epoch() } else { before.epoch() };
    let rules = Rules::new(topology.groups().into(), config.spill, config.health.panic_threshold.get());
    let primary = topology.primary().map(|node| node.id).map_err(Clone::clone);
    Topology::assemble(epoch, topology.nodes().to_vec(), primary, rules)
}

/// The replicas as if all of them had what the primary was last known to have.
pub(super) fn level(replicas: &mut [ReplicaView], last_known: Option<&Position>) {
    for replica in replicas {
        replica.applied = last_known.cloned();
        replica.received = None;
    }
}
