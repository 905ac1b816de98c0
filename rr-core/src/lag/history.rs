//! Lag over time: mean, quantiles and trend of the last samples.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Moment;

/// The last samples of one replica's staleness.
#[derive(Clone, Debug, Default)]
pub struct LagHistory {
    capacity: usize,
    samples: VecDeque<(Moment, Duration)>,
}

/// What a history says.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LagSummary {
    /// How many samples it is made of.
    pub samples: usize,
    /// The arithmetic mean.
    pub mean: Duration,
    /// Half of the samples are at or below it.
    pub median: Duration,
    /// 95 % of the samples are at or below it.
    pub p95: Duration,
    /// 99 % of the samples are at or below it.
    pub p99: Duration,
    /// Seconds of lag gained per second (least squares): above 0 it falls behind, 1 is standing still, below 0 it
    /// catches up.
    pub trend: f64,
}

impl LagHistory {
    /// An empty history that keeps the last `capacity` samples.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), samples: VecDeque::new() }
    }

    /// Adds a sample.
    pub fn push(&mut self, at: Moment, staleness: Duration) {
        if self.samples.len() >= self.capacity.max(1) {
            self.samples.pop_front();
        }
        self.samples.push_back((at, staleness));
    }

    /// What the samples say; `None` while there is none.
    #[must_use]
    pub fn summary(&self) -> Option<LagSummary> {
        let mut sorted: Vec<Duration> = self.samples.iter().map(|&(_, staleness)| staleness).collect();
        sorted.sort_unstable();
        let count = u32::try_from(sorted.len()).ok().filter(|&count| count > 0)?;
        // Nearest rank: the smallest sample that at least this share of the samples does not exceed.
        let quantile = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1];
        Some(LagSummary {
            samples: sorted.len(),
            mean: sorted.iter().sum::<Duration>() / count,
            median: quantile(50),
            p95: quantile(95),
            p99: quantile(99),
            trend: self.trend(),
        })
    }

    fn trend(&self) -> f64 {
        let Some(&(origin, _)) = self.samples.front() else { return 0.0 };
        let points = || {
            self.samples
                .iter()
                .map(|&(at, staleness)| (at.since(origin).as_secs_f64(), staleness.as_secs_f64()))
        };
        let (mut count, mut sum_x, mut sum_y) = (0.0, 0.0, 0.0);
        for (x, y) in points() {
            count += 1.0;
            sum_x += x;
            sum_y += y;
        }
        let (mean_x, mean_y) = (sum_x / count, sum_y / count);
        let (mut covariance, mut variance) = (0.0, 0.0);
        for (x, y) in points() {
            covariance += (x - mean_x) * (y - mean_y);
            variance += (x - mean_x) * (x - mean_x);
        }
        if variance > 0.0 { covariance / variance } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(seconds: impl IntoIterator<Item = u64>) -> LagHistory {
        let mut history = LagHistory::with_capacity(100);
        for (n, s) in seconds.into_iter().enumerate() {
            history.push(Moment::from_millis(1_000 * n as u64), Duration::from_secs(s));
        }
        history
    }

    #[test]
    fn quantiles_of_a_known_series() {
        let summary = history(1..=100).summary().unwrap();
        let seconds = |d: Duration| d.as_secs_f64();
        assert_eq!(summary.samples, 100);
        assert_eq!((seconds(summary.mean), seconds(summary.median)), (50.5, 50.0));
        assert_eq!((seconds(summary.p95), seconds(summary.p99)), (95.0, 99.0));
        assert!((summary.trend - 1.0).abs() < 1e-9, "standing still gains a second per second");
    }

    #[test]
    fn catching_up_has_a_negative_trend_and_a_flat_line_none() {
        assert!(history((0..50).rev()).summary().unwrap().trend < -0.99);
        assert!(history([3; 50]).summary().unwrap().trend.abs() < 1e-9);
        assert!(history([3]).summary().unwrap().trend.abs() < 1e-9);
    }

    #[test]
    fn only_the_last_samples_count() {
        let summary = history((0..1_000).map(|n| if n < 900 { 1_000 } else { 1 })).summary().unwrap();
        assert_eq!((summary.samples, summary.p99), (100, Duration::from_secs(1)));
    }

    #[test]
    fn nothing_is_said_about_nothing() {
        assert_eq!(LagHistory::with_capacity(0).summary(), None);
    }
}
