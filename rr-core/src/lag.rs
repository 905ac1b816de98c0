//! How old a replica's data is, on our own monotonic clock only.
//!
//! The monitor samples the primary: "asked at 12.3 s, position P". A replica that has applied P holds everything
//! that was committed when we asked, so its data is *fresh as of* 12.3 s, and its staleness is the time since then.
//! No server clock takes part; an idle primary shows no lag, because the newest sample is covered; and with a
//! dead primary or a stalled monitor staleness grows, because there is no newer sample to cover.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::LagConfig;
use crate::position::Position;
use crate::time::Moment;

mod alert;
mod history;

pub use alert::{LagAlert, LagLevel};
pub use history::{LagHistory, LagSummary};

/// Samples kept at most. Beyond it the older half is thinned out, which can only make an answer more pessimistic.
const CAPACITY: usize = 512;

/// Samples that are closer together than this are one, the newer of them: whoever asks often must not shorten the time that
/// there is room for.
const SPACING: Duration = Duration::from_millis(100);

/// The primary's position over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrimaryTimeline {
    /// Ascending in both fields.
    samples: VecDeque<Sample>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Sample {
    /// The newest moment at which the primary was asked and had this position.
    asked_at: Moment,
    position: Position,
}

impl PrimaryTimeline {
    /// Nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in that the primary, asked at `asked_at`, was at `position`.
    ///
    /// Answers that come out of order are left out: a newer one says more.
    pub fn record(&mut self, asked_at: Moment, position: Position) {
        match self.samples.back_mut() {
            Some(last) if asked_at < last.asked_at => return,
            Some(last) if last.position == position => {
                last.asked_at = asked_at;
                return;
            }
            // Positions of one primary grow; one that does not is no ground for any statement about time.
            Some(last) if !position.covers(&last.position) => self.samples.clear(),
            _ => {}
        }
        // The newest one is always there as it is; the one before it gives way while it is close to its own predecessor.
        if let [.., before, last] = self.samples.make_contiguous()
            && last.asked_at.since(before.asked_at) < SPACING
        {
            *last = Sample { asked_at, position };
            return;
        }
        if self.samples.len() >= CAPACITY {
            self.thin_out();
        }
        self.samples.push_back(Sample { asked_at, position });
    }

    /// The newest moment at which everything committed by then is contained in `applied`.
    #[must_use]
    pub fn fresh_as_of(&self, applied: &Position) -> Option<Moment> {
        let covered = self.samples.partition_point(|sample| applied.covers(&sample.position));
        covered.checked_sub(1).map(|index| self.samples[index].asked_at)
    }

    /// The newest sample: when it was asked for, and the position.
    #[must_use]
    pub fn newest(&self) -> Option<(Moment, &Position)> {
        self.samples.back().map(|sample| (sample.asked_at, &sample.position))
    }

    /// A position that contains everything that was committed by then: the first one that was asked for no earlier.
    #[must_use]
    pub fn first_since(&self, moment: Moment) -> Option<&Position> {
        let earlier = self.samples.partition_point(|sample| sample.asked_at < moment);
        self.samples.get(earlier).map(|sample| &sample.position)
    }

    /// Drops every other sample of the older half.
    fn thin_out(&mut self) {
        let half = self.samples.len() / 2;
        let mut index = 0;
        self.samples.retain(|_| {
            index += 1;
            index > half || index % 2 == 0
        });
    }
}

/// What is known about the lag of one replica.
#[derive(Clone, Debug, Default)]
pub struct ReplicaLag {
    fresh_as_of: Option<Moment>,
    bytes: Option<u64>,
    history: LagHistory,
    alert: LagAlert,
}

impl ReplicaLag {
    /// Nothing is known yet; `since` is when we began to look.
    #[must_use]
    pub fn new(config: &LagConfig) -> Self {
        Self { history: LagHistory::with_capacity(config.history), ..Self::default() }
    }

    /// Takes in a new sample of the primary, with what the replica was last known to have applied.
    pub fn compare(&mut self, applied: &Position, primary: &PrimaryTimeline) {
        // What was once contained stays contained: freshness only grows, under one primary.
        self.fresh_as_of = self.fresh_as_of.max(primary.fresh_as_of(applied));
        self.bytes = primary.newest().and_then(|(_, newest)| newest.lag_bytes(applied));
    }

    /// Takes in what the replica has applied.
    pub fn observe(&mut self, applied: &Position, primary: &PrimaryTimeline, now: Moment) {
        self.compare(applied, primary);
        if let Some(staleness) = self.staleness(now) {
            self.history.push(now, staleness);
        }
    }

    /// Another primary's commits count from now on: what was known holds for it up to `limit`, or not at all.
    pub fn limit(&mut self, limit: Option<Moment>) {
        self.fresh_as_of = self.fresh_as_of.zip(limit).map(|(fresh, limit)| fresh.min(limit));
    }

    /// Forgets everything: the node has been given new data (rewound, rebuilt, promoted).
    pub fn reset(&mut self, config: &LagConfig) {
        *self = Self { alert: self.alert.clone(), ..Self::new(config) };
    }

    /// The replica's data was current at this moment.
    #[must_use]
    pub const fn fresh_as_of(&self) -> Option<Moment> {
        self.fresh_as_of
    }

    /// An upper bound of the age of its data; `None` is unknown, not zero.
    #[must_use]
    pub fn staleness(&self, now: Moment) -> Option<Duration> {
        self.fresh_as_of.map(|fresh| now.since(fresh))
    }

    /// The bytes of log between the primary's newest sample and the replica.
    #[must_use]
    pub const fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// Its lag over the last samples.
    #[must_use]
    pub fn summary(&self) -> Option<LagSummary> {
        self.history.summary()
    }

    /// The alert level after a look at `now`; `Some` when it changed.
    pub fn alert(&mut self, config: &LagConfig, now: Moment) -> Option<(LagLevel, LagLevel)> {
        let staleness = self.staleness(now)?;
        self.alert.step(staleness, config, now)
    }

    /// The present alert level.
    #[must_use]
    pub const fn level(&self) -> LagLevel {
        self.alert.level()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{Lsn, PgPosition, Timeline};

    fn at(lsn: u64) -> Position {
        Position::Postgres(PgPosition::new(Timeline::FIRST, Lsn::from_u64(lsn)))
    }

    fn ms(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn timeline(samples: &[(u64, u64)]) -> PrimaryTimeline {
        let mut timeline = PrimaryTimeline::new();
        samples.iter().for_each(|&(asked, lsn)| timeline.record(ms(asked), at(lsn)));
        timeline
    }

    #[test]
    fn a_replica_is_fresh_as_of_the_newest_sample_that_it_covers() {
        let primary = timeline(&[(100, 10), (200, 20), (300, 30)]);
        assert_eq!(primary.fresh_as_of(&at(25)), Some(ms(200)));
        assert_eq!(primary.fresh_as_of(&at(30)), Some(ms(300)));
        assert_eq!(primary.fresh_as_of(&at(9)), None);
    }

    #[test]
    fn an_idle_primary_shows_no_lag() {
        let mut primary = timeline(&[(100, 10)]);
        (2..600).for_each(|n| primary.record(ms(n * 100), at(10)));
        assert_eq!(primary.fresh_as_of(&at(10)), Some(ms(59_900)));
        assert_eq!(primary.samples.len(), 1);
    }

    #[test]
    fn staleness_grows_when_the_primary_is_gone() {
        let primary = timeline(&[(100, 10)]);
        let mut lag = ReplicaLag::new(&LagConfig::default());
        lag.observe(&at(10), &primary, ms(150));
        lag.observe(&at(10), &primary, ms(5_100));
        assert_eq!(lag.staleness(ms(5_100)), Some(Duration::from_secs(5)));
        assert_eq!(lag.bytes(), Some(0));
    }

    #[test]
    fn unknown_is_not_zero() {
        let mut lag = ReplicaLag::new(&LagConfig::default());
        lag.observe(&at(5), &PrimaryTimeline::new(), ms(100));
        assert_eq!((lag.staleness(ms(100)), lag.bytes()), (None, None));
        lag.observe(&at(5), &timeline(&[(50, 10)]), ms(100));
        assert_eq!((lag.staleness(ms(100)), lag.bytes()), (None, Some(5)));
    }

    #[test]
    fn another_primary_takes_over_only_what_holds_for_it_too() {
        let mut lag = ReplicaLag::new(&LagConfig::default());
        lag.observe(&at(30), &timeline(&[(100, 10), (300, 30)]), ms(300));
        lag.limit(Some(ms(400)));
        assert_eq!(lag.fresh_as_of(), Some(ms(300)));
        lag.limit(Some(ms(200)));
        assert_eq!(lag.fresh_as_of(), Some(ms(200)));
        lag.limit(None);
        assert_eq!(lag.fresh_as_of(), None);
    }

    #[test]
    fn answers_out_of_order_do_no_harm() {
        let mut primary = timeline(&[(100, 10), (300, 30)]);
        primary.record(ms(200), at(20));
        assert_eq!(primary.fresh_as_of(&at(25)), Some(ms(100)));
        assert_eq!(primary.newest().map(|(asked, _)| asked), Some(ms(300)));
    }

    #[test]
    fn a_primary_that_is_asked_often_is_remembered_as_long() {
        let samples: Vec<(u64, u64)> = (1..=10_000).map(|n| (n * 10, n)).collect();
        let primary = timeline(&samples);
        for behind in [50, 1_000, 10_000, 30_000] {
            let applied = 10_000 - behind / 10;
            let claimed = ms(100_000).since(primary.fresh_as_of(&at(applied)).unwrap());
            let truth = Duration::from_millis(behind);
            assert!(claimed >= truth && claimed <= truth + SPACING * 3, "{claimed:?} for {truth:?}");
        }
    }

    #[test]
    fn memory_is_bounded_and_old_answers_stay_safe() {
        let pairs: Vec<(u64, u64)> = (1..=100_000).map(|n| (n * 10, n)).collect();
        let primary = timeline(&pairs);
        assert!(primary.samples.len() <= CAPACITY);
        for lsn in [99_999, 99_000, 50_000, 10] {
            let claimed = primary.fresh_as_of(&at(lsn)).unwrap_or(Moment::ORIGIN);
            assert!(claimed <= ms(lsn * 10), "claims to be fresher than it can be: {lsn} {claimed:?}");
        }
        assert_eq!(primary.fresh_as_of(&at(100_000)), Some(ms(1_000_000)));
    }
}
