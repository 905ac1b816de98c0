//! Which cluster is ours.
//!
//! A node that belongs to another cluster (a wrong address in the configuration, an address that was given to somebody
//! else) must never be taken for ours because it happened to answer first: it would be written to. The node that is
//! configured as the primary says which cluster is meant. Only when it does not answer do the others.

use super::World;
use crate::engine::Observation;
use crate::topology::{NodeId, Role};

impl World {
    /// Learns the identity of the cluster, once.
    pub(super) fn learn_identity(&mut self) {
        if self.system.is_some() {
            return;
        }
        let meant = self.nodes.iter().find(|n| n.spec.expected == Role::Primary);
        self.system = match meant.and_then(|n| n.seen.as_ref()) {
            Some(seen) => seen.system,
            None if self.awaits_identity() => None,
            None => self.most_common_identity(),
        };
    }

    /// Whether the configured primary may still say which cluster is meant. Nobody is believed before.
    pub(super) fn awaits_identity(&self) -> bool {
        let meant = self.nodes.iter().find(|n| n.spec.expected == Role::Primary);
        self.system.is_none() && meant.is_some_and(|n| n.seen.is_none() && n.health.failures() == 0)
    }

    pub(super) fn is_ours(&self, seen: &Observation) -> bool {
        match (self.system, seen.system) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => true,
        }
    }

    /// While nobody has claimed anything, and nobody ever was the primary, the node that the configuration calls the
    /// primary and that was never seen is taken at its word: a write to it fails by itself, with the driver's message.
    pub(super) fn presumed_primary(&self) -> Option<NodeId> {
        let unseen = self.nodes.iter().find(|n| n.spec.expected == Role::Primary && n.seen.is_none())?;
        let claimed =
            self.nodes.iter().any(|n| n.seen.as_ref().is_some_and(|seen| seen.role == Role::Primary));
        let first = self.last_primary.as_ref().is_none_or(|(last, _)| *last == unseen.id);
        (first && (self.awaits_identity() || !claimed)).then_some(unseen.id)
    }

    /// The cluster that most nodes belong to; among equals the one of the node that was configured first.
    fn most_common_identity(&self) -> Option<u64> {
        let all = || self.nodes.iter().filter_map(|n| n.seen.as_ref()?.system);
        let votes = |system: u64| all().filter(|other| *other == system).count();
        all().rev().max_by_key(|system| votes(*system))
    }
}
