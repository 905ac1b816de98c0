//! Alert levels with hysteresis: up at once, down only when the lag has stayed well below for a while.

use std::fmt;
use std::time::Duration;

use crate::config::LagConfig;
use crate::time::Moment;

/// How bad the lag of a replica is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LagLevel {
    /// Below every threshold.
    #[default]
    Ok,
    /// Worth a look.
    Info,
    /// Reads begin to suffer.
    Warning,
    /// It is not keeping up.
    Error,
    /// It is of no use.
    Critical,
}

impl fmt::Display for LagLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "OK",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        })
    }
}

impl LagLevel {
    const ALARMS: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// The level for this lag, every threshold taken times `percent` / 100.
    fn of(lag: Duration, config: &LagConfig, percent: u32) -> Self {
        let reached =
            |level: &Self| lag.saturating_mul(100) >= level.threshold(config).saturating_mul(percent);
        Self::ALARMS.into_iter().rev().find(reached).unwrap_or(Self::Ok)
    }

    const fn threshold(self, config: &LagConfig) -> Duration {
        match self {
            Self::Ok => Duration::ZERO,
            Self::Info => config.info,
            Self::Warning => config.warning,
            Self::Error => config.error,
            Self::Critical => config.critical,
        }
    }
}

/// The alert of one replica.
#[derive(Clone, Debug, Default)]
pub struct LagAlert {
    level: LagLevel,
    /// Since when the lag asks for a lower level.
    calm_since: Option<Moment>,
}

impl LagAlert {
    /// The present level.
    #[must_use]
    pub const fn level(&self) -> LagLevel {
        self.level
    }

    /// Takes in the lag at `now`; the old and new level when it changed.
    ///
    /// A level is entered as soon as its threshold is reached. It is left when the lag has been below
    /// `clear_ratio` of the threshold for the time `hold`, so that a lag around a threshold rings once.
    pub fn step(&mut self, lag: Duration, config: &LagConfig, now: Moment) -> Option<(LagLevel, LagLevel)> {
        let old = self.level;
        let raised = LagLevel::of(lag, config, 100);
        if raised >= old {
            self.calm_since = None;
            self.level = raised;
            return (raised > old).then_some((old, raised));
        }
        let calmed = LagLevel::of(lag, config, u32::from(config.clear_ratio.get()));
        if calmed >= old {
            self.calm_since = None;
            return None;
        }
        let since = *self.calm_since.get_or_insert(now);
        if now.since(since) < config.hold {
            return None;
        }
        self.calm_since = None;
        self.level = calmed;
        Some((old, calmed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LagLevel::{Critical, Error, Info, Ok, Warning};

    fn run(lags: &[(u64, u64)]) -> Vec<(LagLevel, LagLevel)> {
        let config = LagConfig::default();
        let mut alert = LagAlert::default();
        let step = |&(at, lag): &(u64, u64)| {
            alert.step(Duration::from_millis(lag), &config, Moment::from_millis(at))
        };
        lags.iter().filter_map(step).collect()
    }

    #[test]
    fn every_level_is_entered_at_its_threshold() {
        let steps = run(&[(0, 999), (1, 1_000), (2, 5_000), (3, 15_000), (4, 60_000)]);
        assert_eq!(steps, [(Ok, Info), (Info, Warning), (Warning, Error), (Error, Critical)]);
    }

    #[test]
    fn a_lag_around_a_threshold_rings_once() {
        let around: Vec<(u64, u64)> =
            (0..100).map(|n| (n * 100, if n % 2 == 0 { 5_100 } else { 4_100 })).collect();
        assert_eq!(run(&around), [(Ok, Warning)]);
    }

    #[test]
    fn it_clears_after_it_stayed_low_for_the_hold_time() {
        assert_eq!(run(&[(0, 5_000), (100, 0), (900, 0)]), [(Ok, Warning)]);
        assert_eq!(run(&[(0, 5_000), (100, 0), (1_100, 0)]), [(Ok, Warning), (Warning, Ok)]);
        // A relapse starts the wait again.
        assert_eq!(run(&[(0, 5_000), (100, 0), (600, 4_500), (1_200, 0), (1_900, 0)]), [(Ok, Warning)]);
    }

    #[test]
    fn it_jumps_levels_in_both_directions() {
        assert_eq!(run(&[(0, 70_000), (10, 2_000), (1_010, 2_000)]), [(Ok, Critical), (Critical, Info)]);
    }
}
