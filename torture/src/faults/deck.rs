//! Disturbances, and the order in which a round has them.

use fastrand::Rng;

use super::Change;

/// A disturbance that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A standby receives and does not replay.
    ReplayPause,
    /// A standby replays late.
    ApplyDelay,
    /// A standby is killed and started again.
    ReplicaKill,
    /// All sessions of a server are ended by an administrator.
    ConnectionKill,
    /// A server stands still.
    Freeze,
    /// The network of a server is gone.
    Cut,
    /// Nothing comes through, and nobody is told.
    HalfOpen,
    /// The network of a server is slow.
    SlowLink,
    /// A standby receives nothing, and clients reach it.
    ReplicationCut,
    /// What a standby receives is late.
    ReplicationDelay,
    /// The primary is killed and started again.
    PrimaryKill,
    /// The log ends with a page, while nobody writes.
    PageBoundary,
}

impl Kind {
    /// Each of them.
    pub const ALL: [Self; 12] = [
        Self::ReplayPause,
        Self::ApplyDelay,
        Self::ReplicaKill,
        Self::ConnectionKill,
        Self::Freeze,
        Self::Cut,
        Self::HalfOpen,
        Self::SlowLink,
        Self::ReplicationCut,
        Self::ReplicationDelay,
        Self::PrimaryKill,
        Self::PageBoundary,
    ];

    /// As histories have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReplayPause => "replay-pause",
            Self::ApplyDelay => "apply-delay",
            Self::ReplicaKill => "replica-kill",
            Self::ConnectionKill => "connection-kill",
            Self::Freeze => "freeze",
            Self::Cut => "cut",
            Self::HalfOpen => "half-open",
            Self::SlowLink => "slow-link",
            Self::ReplicationCut => "replication-cut",
            Self::ReplicationDelay => "replication-delay",
            Self::PrimaryKill => "primary-kill",
            Self::PageBoundary => "page-boundary",
        }
    }
}

/// All kinds in an order that is drawn by lot, again and again: none has its second turn before all had their first.
#[derive(Debug)]
pub(super) struct Deck {
    kinds: Vec<Kind>,
    next: usize,
    through: bool,
    rng: Rng,
}

impl Deck {
    /// For a round in which the primary changes so.
    pub(super) fn new(mut rng: Rng, change: Change) -> Self {
        let mut kinds = Kind::ALL.to_vec();
        // It would be replaced while it starts again: that is what the change is for.
        kinds.retain(|kind| *kind != Kind::PrimaryKill || change != Change::Automatic);
        rng.shuffle(&mut kinds);
        Self { kinds, next: 0, through: false, rng }
    }

    pub(super) fn draw(&mut self) -> Kind {
        let kind = self.kinds[self.next];
        self.next += 1;
        if self.next == self.kinds.len() {
            (self.next, self.through) = (0, true);
            self.rng.shuffle(&mut self.kinds);
        }
        kind
    }

    /// Whether each kind had a turn.
    pub(super) const fn is_through(&self) -> bool {
        self.through
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_turn_before_any_has_its_second_and_a_seed_has_one_order() {
        for change in Change::ALL {
            let deal = |seed| {
                let mut deck = Deck::new(Rng::with_seed(seed), change);
                let count = deck.kinds.len();
                let first: Vec<Kind> = (0..count)
                    .map(|_| {
                        assert!(!deck.is_through());
                        deck.draw()
                    })
                    .collect();
                assert!(deck.is_through());
                (first, (0..count).map(|_| deck.draw()).collect::<Vec<_>>())
            };
            let (first, second) = deal(1);
            let expected = |kind: &&Kind| **kind != Kind::PrimaryKill || change != Change::Automatic;
            for kind in Kind::ALL.iter().filter(expected) {
                assert!(first.contains(kind) && second.contains(kind), "{kind:?} in a round with {change:?}");
            }
            assert_eq!(deal(1), (first, second));
            assert_ne!(deal(1), deal(2));
        }
    }
}
