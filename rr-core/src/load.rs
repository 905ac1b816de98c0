//! The live side of a node: what changes with every statement.
//!
//! Facts ([`Node`](crate::topology::Node)) are replaced as a whole by one writer; these few atomics are updated
//! by everybody in place. They guide balancing and nothing else: no promise depends on them.

use std::sync::Arc;
use std::time::Duration;

use crate::sync::{AtomicU32, AtomicU64, Ordering};

#[cfg(all(test, rr_loom))]
mod models;

/// Latencies are remembered as a peak-sensitive moving average: a slower sample counts at once, faster ones let it
/// sink, those of statements by an eighth of the difference each ...
const STATEMENT_SHIFT: u32 = 3;

/// ... and those of probes by half of it. A node that nobody asks because it once was slow has nothing but its few
/// probes to become attractive again.
const PROBE_SHIFT: u32 = 1;

/// The bits of those in flight: sixteen million at once have no place in memory.
const IN_FLIGHT: u64 = USUAL - 1;

/// One that was sent to it by the usual reason.
const USUAL: u64 = 1 << 24;

/// What a node is doing at present.
#[derive(Debug, Default)]
pub struct Load {
    /// How many statements are on it, and above that how many were sent to it by the usual reason. In one word, because
    /// nearly every statement changes both.
    flights: AtomicU64,
    latency_nanos: AtomicU64,
    /// Faults since the last success.
    faults: AtomicU32,
}

impl Load {
    /// An idle node of unknown latency.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Statements on it at present.
    #[inline]
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        u32::try_from(self.flights.load(Ordering::Relaxed) & IN_FLIGHT).unwrap_or(u32::MAX)
    }

    /// Statements that were sent to it by the usual reason, so far. It begins anew after 2^40 of them.
    pub(crate) fn usual(&self) -> u64 {
        self.flights.load(Ordering::Relaxed) / USUAL
    }

    /// A statement that is run without a router, as in a test of a [balancer](crate::balance::Balancer).
    pub fn fly(self: &Arc<Self>) -> Flight {
        self.enter();
        Flight(Arc::clone(self))
    }

    /// Its moving average of latency in nanoseconds; 0 when nothing is known.
    #[inline]
    #[must_use]
    pub fn latency_nanos(&self) -> u64 {
        self.latency_nanos.load(Ordering::Relaxed)
    }

    /// Takes the latency of a statement into the average.
    pub fn observe(&self, latency: Duration) {
        self.average(latency, STATEMENT_SHIFT);
    }

    /// Takes the latency of a probe into the average.
    pub fn observe_probe(&self, latency: Duration) {
        self.average(latency, PROBE_SHIFT);
    }

    /// Two updates at once may lose one of them; an average can bear that and the hot path is spared a loop.
    fn average(&self, latency: Duration, shift: u32) {
        let sample = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX).max(1);
        let old = self.latency_nanos.load(Ordering::Relaxed);
        let new = if sample >= old { sample } else { old - ((old - sample) >> shift).max(1) };
        self.latency_nanos.store(new, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn enter(&self) {
        self.flights.fetch_add(1, Ordering::Relaxed);
    }

    /// As [`enter`](Self::enter), by the usual reason; how many were sent to it before by that one.
    #[inline]
    pub(crate) fn enter_as_usual(&self) -> u64 {
        self.flights.fetch_add(USUAL + 1, Ordering::Relaxed) / USUAL
    }

    #[inline]
    pub(crate) fn leave(&self) {
        let before = self.flights.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before & IN_FLIGHT > 0, "a route left a node that it never entered");
    }

    /// Counts a fault; the number of faults since the last success.
    pub(crate) fn fault(&self) -> u32 {
        self.faults.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Ends a run of faults. Almost always there is none, and then nothing is written.
    #[inline]
    pub(crate) fn success(&self) {
        if self.faults.load(Ordering::Relaxed) != 0 {
            self.faults.store(0, Ordering::Relaxed);
        }
    }
}

/// A statement that is in flight until this is dropped. With a router it is the [route](crate::route::Route) that counts.
#[derive(Debug)]
#[must_use = "a statement is in flight until this is dropped"]
pub struct Flight(Arc<Load>);

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_sample_counts_at_once_and_fades_slowly() {
        let load = Load::new();
        load.observe(Duration::from_nanos(800));
        load.observe(Duration::from_nanos(8_000));
        assert_eq!(load.latency_nanos(), 8_000);
        load.observe(Duration::from_nanos(800));
        assert_eq!(load.latency_nanos(), 7_100);
        for _ in 0..200 {
            load.observe(Duration::from_nanos(800));
        }
        assert_eq!(load.latency_nanos(), 800);
    }

    #[test]
    fn a_few_probes_make_a_node_attractive_again() {
        let load = Load::new();
        load.observe(Duration::from_millis(5));
        (0..6).for_each(|_| load.observe_probe(Duration::from_micros(100)));
        assert!(load.latency_nanos() < 200_000, "{}", load.latency_nanos());
    }

    #[test]
    fn flights_and_the_usual_ones_are_counted_apart() {
        let load = Load::new();
        load.enter();
        assert_eq!((load.enter_as_usual(), load.enter_as_usual()), (0, 1));
        assert_eq!((load.in_flight(), load.usual()), (3, 2));
        (0..3).for_each(|_| load.leave());
        assert_eq!((load.in_flight(), load.usual()), (0, 2));
    }

    #[test]
    fn a_flight_ends_when_it_is_dropped() {
        let load = Arc::new(Load::new());
        let flights = [load.fly(), load.fly()];
        assert_eq!((load.in_flight(), load.usual()), (2, 0));
        drop(flights);
        assert_eq!(load.in_flight(), 0);
    }

    #[test]
    fn a_success_ends_a_run_of_faults() {
        let load = Load::new();
        assert_eq!((load.fault(), load.fault()), (1, 2));
        load.success();
        assert_eq!(load.fault(), 1);
    }
}
