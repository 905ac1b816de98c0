//! Which cluster is ours, and which of its databases.
//!
//! A node that belongs to another cluster (a wrong address in the configuration, an address that was given to somebody
//! else) must never be taken for ours because it happened to answer first: it would be written to. The node that is
//! configured as the primary says which cluster is meant. Only when it does not answer do the others.
//!
//! A standby has all databases of its cluster. One whose URL names another database than the primary's would answer, from
//! tables of the same names.

use super::World;
use crate::engine::Observation;
use crate::topology::{NodeId, Quarantine, Role};

/// A database of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    system: u64,
    /// Not told by every engine.
    database: Option<String>,
}

impl Identity {
    pub(super) const fn system(&self) -> u64 {
        self.system
    }

    fn of(seen: &Observation) -> Option<Self> {
        seen.system.map(|system| Self { system, database: seen.database.clone() })
    }
}

impl World {
    /// Learns the identity of the cluster, once.
    pub(super) fn learn_identity(&mut self) {
        if self.identity.is_some() {
            return;
        }
        let meant = self.nodes.iter().find(|n| n.spec.expected == Role::Primary);
        self.identity = match meant.and_then(|n| n.seen.as_ref()) {
            Some(seen) => Identity::of(seen),
            None if self.awaits_identity() => None,
            None => self.most_common_identity(),
        };
    }

    /// Whether the configured primary may still say which cluster is meant. Nobody is believed before.
    pub(super) fn awaits_identity(&self) -> bool {
        let meant = self.nodes.iter().find(|n| n.spec.expected == Role::Primary);
        self.identity.is_none() && meant.is_some_and(|n| n.seen.is_none() && n.health.failures() == 0)
    }

    pub(super) fn is_ours(&self, seen: &Observation) -> bool {
        self.foreign(seen).is_none()
    }

    /// Why an answer is not one of ours.
    pub(super) fn foreign(&self, seen: &Observation) -> Option<Quarantine> {
        let ours = self.identity.as_ref()?;
        if ours.system != seen.system? {
            return Some(Quarantine::ForeignCluster);
        }
        let other = ours.database.as_ref()? != seen.database.as_ref()?;
        other.then_some(Quarantine::ForeignDatabase)
    }

    /// While nobody has claimed anything, and nobody ever was the primary, the node that the configuration calls the
    /// primary and that was never seen is taken at its word: a write to it fails by itself, with the driver's message.
    pub(super) fn presumed_primary(&self) -> Option<NodeId> {
        let unseen = self.nodes.iter().find(|n| n.spec.expected == Role::Primary && n.seen.is_none())?;
        let claimed =
            self.nodes.iter().any(|n| n.seen.as_ref().is_some_and(|seen| seen.role == Role::Primary));
        // An old primary that comes back would be believed as well.
        if self.remembers_failover() {
            return None;
        }
        let first = self.last_primary.as_ref().is_none_or(|(last, _)| *last == unseen.id);
        (first && (self.awaits_identity() || !claimed)).then_some(unseen.id)
    }

    /// The one that most nodes have; among equals that of the node that was configured first.
    fn most_common_identity(&self) -> Option<Identity> {
        let all = || self.nodes.iter().filter_map(|n| Identity::of(n.seen.as_ref()?));
        let votes = |identity: &Identity| all().filter(|other| other == identity).count();
        all().rev().max_by_key(votes)
    }
}
