//! How well a node does: one pure step per signal.
//!
//! Two kinds of evidence are kept apart. **Probes** say whether the node answers: that moves it through
//! `Unknown → Healthy ⇄ Degraded ⇄ Unhealthy`, with separate thresholds for down and up, a probation before it is
//! trusted again, and a slow start of its weight. **Traffic** says whether statements succeed on a node that
//! answers: a run of transport faults *ejects* it for a while, longer each time. Only classified transport
//! errors count, never a constraint violation; who may be ejected at all is the caller's floor.

use std::time::Duration;

use crate::config::HealthConfig;
use crate::time::Moment;
use crate::topology::HealthState;

/// Share of its weight that a degraded node keeps, and that a slow start begins with, in percent.
const REDUCED_WEIGHT: u64 = 10;

/// An ejection is never longer than this many times the first one.
const LONGEST_EJECTION: u32 = 32;

/// What happened to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// It answered a probe.
    ProbeOk,
    /// It did not answer a probe, or too late.
    ProbeFailed,
    /// A statement met a transport fault on it, the n-th without a success in between.
    Faults(u32),
    /// Time went by.
    Tick,
}

/// How the health of a node changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// From one state to another.
    State(HealthState, HealthState),
    /// Out of the rotation until this moment.
    Ejected(Moment),
    /// Back in the rotation, on probation.
    Readmitted,
}

/// The health of one node.
#[derive(Clone, Debug, Default)]
pub struct Health {
    state: HealthState,
    /// Probes in a row with the same result.
    failures: u32,
    successes: u32,
    /// While on probation it stays degraded however well it answers.
    probation_until: Option<Moment>,
    /// Its weight grows from here.
    ramp_from: Option<Moment>,
    ejected_until: Option<Moment>,
    /// How often it was ejected without a quiet time in between.
    ejections: u32,
}

impl Health {
    /// A node that was never looked at.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The present state.
    #[must_use]
    pub const fn state(&self) -> HealthState {
        self.state
    }

    /// Probes that failed in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether it is out of the rotation although it answers.
    #[must_use]
    pub const fn is_ejected(&self) -> bool {
        self.ejected_until.is_some()
    }

    /// Takes in a signal. `may_eject` says whether the floor allows one more node to be ejected.
    pub fn step(
        &mut self,
        signal: Signal,
        may_eject: bool,
        config: &HealthConfig,
        now: Moment,
    ) -> Option<Change> {
        match signal {
            Signal::ProbeOk => {
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                self.answered(config, now)
            }
            Signal::ProbeFailed => {
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                self.unanswered(config)
            }
            Signal::Faults(run) => self.faulted(run, may_eject, config, now),
            Signal::Tick => self.readmit(config, now),
        }
    }

    /// Its weight is to grow slowly from now: it joined, recovered, or changed its role.
    pub const fn start_slowly(&mut self, now: Moment) {
        self.ramp_from = Some(now);
    }

    /// Its share of the traffic: `weight` reduced by degradation and slow start, never 0.
    #[must_use]
    pub fn effective_weight(&self, weight: u32, config: &HealthConfig, now: Moment) -> u32 {
        let share = if self.state == HealthState::Degraded { REDUCED_WEIGHT } else { self.ramp(config, now) };
        u32::try_from(u64::from(weight) * share / 100).unwrap_or(weight).max(1)
    }

    /// Whether its weight is still on its way up.
    #[must_use]
    pub fn is_ramping(&self, config: &HealthConfig, now: Moment) -> bool {
        self.ramp(config, now) < 100
    }

    fn ramp(&self, config: &HealthConfig, now: Moment) -> u64 {
        let Some(from) = self.ramp_from else { return 100 };
        let (passed, whole) = (now.since(from).as_millis(), config.slow_start.as_millis());
        if passed >= whole {
            return 100;
        }
        u64::try_from(passed * 100 / whole).unwrap_or(100).max(REDUCED_WEIGHT)
    }

    fn answered(&mut self, config: &HealthConfig, now: Moment) -> Option<Change> {
        match self.state {
            HealthState::Unknown => self.enter(HealthState::Healthy),
            HealthState::Healthy => None,
            HealthState::Unhealthy if self.successes >= config.up_after => {
                self.probation_until = Some(now + config.probation);
                self.enter(HealthState::Degraded)
            }
            HealthState::Unhealthy => None,
            HealthState::Degraded => {
                let on_probation = self.probation_until.is_some_and(|until| now < until);
                if on_probation || self.successes < config.up_after {
                    return None;
                }
                if self.probation_until.take().is_some() {
                    self.start_slowly(now);
                }
                self.enter(HealthState::Healthy)
            }
        }
    }

    fn unanswered(&mut self, config: &HealthConfig) -> Option<Change> {
        if self.failures >= config.down_after {
            self.probation_until = None;
            return self.enter(HealthState::Unhealthy);
        }
        match self.state {
            // On probation there is no second chance.
            HealthState::Degraded if self.probation_until.take().is_some() => {
                self.enter(HealthState::Unhealthy)
            }
            HealthState::Healthy if self.failures >= config.degraded_after => {
                self.enter(HealthState::Degraded)
            }
            HealthState::Healthy | HealthState::Degraded | HealthState::Unknown | HealthState::Unhealthy => {
                None
            }
        }
    }

    fn faulted(&mut self, run: u32, may_eject: bool, config: &HealthConfig, now: Moment) -> Option<Change> {
        if run < config.down_after || !may_eject || self.is_ejected() {
            return None;
        }
        self.ejections = (self.ejections + 1).min(LONGEST_EJECTION);
        let until = now + config.probation.saturating_mul(self.ejections);
        self.ejected_until = Some(until);
        Some(Change::Ejected(until))
    }

    /// Ends an ejection. The node starts slowly; when it then stays quiet as long as it was out, its record is clean.
    fn readmit(&mut self, config: &HealthConfig, now: Moment) -> Option<Change> {
        match self.ejected_until {
            Some(until) if now >= until => {
                self.ejected_until = None;
                self.start_slowly(now);
                Some(Change::Readmitted)
            }
            None if self.ejections > 0 => {
                let quiet = config.probation.saturating_mul(self.ejections).max(Duration::from_millis(1));
                if self.ramp_from.is_none_or(|from| now.since(from) >= quiet) {
                    self.ejections = 0;
                }
                None
            }
            Some(_) | None => None,
        }
    }

    fn enter(&mut self, state: HealthState) -> Option<Change> {
        let old = std::mem::replace(&mut self.state, state);
        (old != state).then_some(Change::State(old, state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use HealthState::{Degraded, Healthy, Unhealthy, Unknown};

    struct Patient {
        health: Health,
        config: HealthConfig,
    }

    impl Patient {
        fn new() -> Self {
            Self { health: Health::new(), config: HealthConfig::default() }
        }

        fn at(&mut self, millis: u64, signal: Signal) -> Option<Change> {
            self.health.step(signal, true, &self.config, Moment::from_millis(millis))
        }

        fn weight(&self, millis: u64) -> u32 {
            self.health.effective_weight(100, &self.config, Moment::from_millis(millis))
        }

        /// Down at 0 ms, and answering again from 100 ms on.
        fn recovering() -> Self {
            let mut patient = Self::new();
            patient.at(0, Signal::ProbeOk);
            (0..3).for_each(|_| {
                patient.at(0, Signal::ProbeFailed);
            });
            patient.at(100, Signal::ProbeOk);
            patient.at(200, Signal::ProbeOk);
            assert_eq!(patient.health.state(), Degraded);
            patient
        }
    }

    #[test]
    fn the_first_answer_makes_it_healthy_at_full_weight() {
        let mut patient = Patient::new();
        assert_eq!(patient.at(0, Signal::ProbeOk), Some(Change::State(Unknown, Healthy)));
        assert_eq!(patient.weight(0), 100);
    }

    #[test]
    fn it_degrades_first_and_goes_down_later() {
        let mut patient = Patient::new();
        patient.at(0, Signal::ProbeOk);
        assert_eq!(patient.at(1, Signal::ProbeFailed), Some(Change::State(Healthy, Degraded)));
        assert_eq!(patient.weight(1), 10);
        assert_eq!(patient.at(2, Signal::ProbeFailed), None);
        assert_eq!(patient.at(3, Signal::ProbeFailed), Some(Change::State(Degraded, Unhealthy)));
        assert_eq!(patient.at(4, Signal::ProbeFailed), None);
    }

    #[test]
    fn a_node_that_never_answered_is_down_only_after_the_threshold() {
        let mut patient = Patient::new();
        assert_eq!(patient.at(0, Signal::ProbeFailed), None);
        assert_eq!(patient.at(1, Signal::ProbeFailed), None);
        assert_eq!(patient.at(2, Signal::ProbeFailed), Some(Change::State(Unknown, Unhealthy)));
    }

    #[test]
    fn a_blip_needs_several_answers_to_be_forgiven() {
        let mut patient = Patient::new();
        patient.at(0, Signal::ProbeOk);
        patient.at(1, Signal::ProbeFailed);
        assert_eq!(patient.at(2, Signal::ProbeOk), None);
        assert_eq!(patient.at(3, Signal::ProbeOk), Some(Change::State(Degraded, Healthy)));
        assert_eq!(patient.weight(3), 100, "no slow start after a blip");
    }

    #[test]
    fn after_an_outage_there_is_probation_and_then_a_slow_start() {
        let mut patient = Patient::recovering();
        assert_eq!(patient.at(5_000, Signal::ProbeOk), None);
        assert_eq!(patient.at(5_200, Signal::ProbeOk), Some(Change::State(Degraded, Healthy)));
        assert_eq!((patient.weight(5_200), patient.weight(10_200), patient.weight(15_200)), (10, 50, 100));
    }

    #[test]
    fn one_failure_on_probation_is_one_too_many() {
        let mut patient = Patient::recovering();
        assert_eq!(patient.at(300, Signal::ProbeFailed), Some(Change::State(Degraded, Unhealthy)));
    }

    #[test]
    fn a_run_of_faults_ejects_and_time_readmits() {
        let mut patient = Patient::new();
        patient.at(0, Signal::ProbeOk);
        assert_eq!(patient.at(0, Signal::Faults(2)), None);
        let until = Moment::from_millis(5_000);
        assert_eq!(patient.at(0, Signal::Faults(3)), Some(Change::Ejected(until)));
        assert_eq!(patient.at(0, Signal::Faults(4)), None);
        assert_eq!(patient.at(4_999, Signal::Tick), None);
        assert_eq!(patient.at(5_000, Signal::Tick), Some(Change::Readmitted));
        assert_eq!(patient.weight(5_000), 10);
    }

    #[test]
    fn a_relapse_is_ejected_for_longer_until_it_has_been_quiet() {
        let mut patient = Patient::new();
        patient.at(0, Signal::ProbeOk);
        patient.at(0, Signal::Faults(3));
        patient.at(5_000, Signal::Tick);
        let until = Moment::from_millis(15_000);
        assert_eq!(patient.at(5_000, Signal::Faults(6)), Some(Change::Ejected(until)));
        patient.at(15_000, Signal::Tick);
        patient.at(25_000, Signal::Tick);
        let until = Moment::from_millis(30_000);
        assert_eq!(patient.at(25_000, Signal::Faults(9)), Some(Change::Ejected(until)));
    }

    #[test]
    fn the_floor_forbids_an_ejection() {
        let mut patient = Patient::new();
        patient.at(0, Signal::ProbeOk);
        let change = patient.health.step(Signal::Faults(50), false, &patient.config, Moment::ORIGIN);
        assert_eq!((change, patient.health.is_ejected()), (None, false));
    }
}
