//! How the primary changes, and what says so.

use rr_core::config::FailoverMode;

/// How the primary changes in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It does not.
    Stays,
    /// It dies, and a router promotes a standby by itself.
    Automatic,
    /// It dies, and somebody promotes a standby.
    Outside,
    /// As planned.
    Switchover,
}

impl Change {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Stays, Self::Automatic, Self::Outside, Self::Switchover];

    /// As the seed of a round says. Seeds that count up have each in turn.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        match seed % 4 {
            0 => Self::Stays,
            1 => Self::Automatic,
            2 => Self::Outside,
            _ => Self::Switchover,
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|change| change.name() == name)
    }

    /// What the one router does that may promote.
    #[must_use]
    pub const fn mode(self) -> FailoverMode {
        match self {
            Self::Stays | Self::Outside => FailoverMode::Follow,
            Self::Automatic => FailoverMode::Automatic,
            Self::Switchover => FailoverMode::Manual,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Stays => "none",
            Self::Automatic => "automatic-promotion",
            Self::Outside => "outside-promotion",
            Self::Switchover => "switchover",
        }
    }
}

/// Whether a standby is disturbed when the primary begins to change, as the seed of a round says.
#[must_use]
pub const fn disturbed(seed: u64) -> bool {
    seed / 4 % 2 == 1
}

/// A seed near to this one for the round of this number: four in a row have each change, every second change of the primary
/// begins while a standby is disturbed, and each has it so and so in turn.
#[must_use]
pub fn seeded(turn: u64, change: Option<Change>, seed: u64) -> u64 {
    let change = change.unwrap_or_else(|| Change::of(turn));
    let is_wished =
        |seed: &u64| Change::of(*seed) == change && disturbed(*seed) == ((turn + turn / 4) % 2 == 1);
    let first = seed - seed % 8;
    (first..first + 8).find(is_wished).unwrap_or(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_rounds_in_a_row_have_every_change_of_them_one_with_and_one_without_a_disturbance() {
        let mut rng = fastrand::Rng::with_seed(7);
        for first in 0..8 {
            let seeds: Vec<u64> =
                (first..first + 4).map(|turn| seeded(turn, None, rng.u64(..1 << 32))).collect();
            let of = |seed: &u64| Change::of(*seed);
            assert!(
                Change::ALL.iter().all(|change| seeds.iter().any(|seed| of(seed) == *change)),
                "{seeds:?}"
            );
            let changes = seeds.iter().filter(|seed| of(seed) != Change::Stays);
            let with = changes.filter(|seed| disturbed(**seed)).count();
            assert!((1..=2).contains(&with), "{seeds:?}");
        }
        for change in Change::ALL {
            let seeds: Vec<u64> = (0..8).map(|turn| seeded(turn, Some(change), 77)).collect();
            assert!(seeds.iter().all(|seed| Change::of(*seed) == change));
            assert_eq!(seeds.iter().filter(|seed| disturbed(**seed)).count(), 4);
        }
    }
}
