//! How long decisions take: of one in so many, on each thread.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::metrics::{Histogram, Meter};

/// One decision in so many has its time taken. The others need no clock.
const SAMPLE: u32 = 1024;

/// Samples between two hand-overs at most; what is more is left out.
const KEPT: usize = 64;

const BOUNDARIES: [f64; 10] = [1e-7, 2.5e-7, 5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5, 1e-4, 1e-3, 1e-2];

thread_local! {
    /// Decisions of this thread until the next sample.
    static UNTIL: Cell<u32> = const { Cell::new(SAMPLE) };
}

/// Samples are noted without a lock, and handed over by the monitor.
#[derive(Debug)]
pub(super) struct Decisions {
    histogram: Histogram<f64>,
    next: AtomicUsize,
    /// Nanoseconds; 0 is free.
    noted: [AtomicU64; KEPT],
}

impl Decisions {
    pub(super) fn new(meter: &Meter) -> Self {
        let histogram = meter.f64_histogram("rr.decision.duration").with_unit("s");
        let histogram =
            histogram.with_description("Time that choosing a node took, of one statement in 1024");
        Self {
            histogram: histogram.with_boundaries(BOUNDARIES.to_vec()).build(),
            next: AtomicUsize::new(0),
            noted: [const { AtomicU64::new(0) }; KEPT],
        }
    }

    #[inline]
    pub(super) fn is_due(&self) -> bool {
        UNTIL.with(|until| {
            let left = until.get() - 1;
            until.set(if left == 0 { SAMPLE } else { left });
            left == 0
        })
    }

    #[cold]
    pub(super) fn note(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        let place = self.next.fetch_add(1, Ordering::Relaxed) % KEPT;
        self.noted[place].store(nanos, Ordering::Relaxed);
    }

    pub(super) fn hand_over(&self) {
        for noted in &self.noted {
            // Nearly always there is nothing, and then nothing is written.
            if noted.load(Ordering::Relaxed) != 0 {
                let took = Duration::from_nanos(noted.swap(0, Ordering::Relaxed));
                self.histogram.record(took.as_secs_f64(), &[]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_decision_in_so_many_is_sampled() {
        let decisions = Decisions::new(&opentelemetry::global::meter("rr"));
        let due = (0..10 * SAMPLE).filter(|_| decisions.is_due()).count();
        assert_eq!(due, 10);
        (0..1000).for_each(|n| decisions.note(Duration::from_nanos(n)));
        decisions.hand_over();
        assert!(decisions.noted.iter().all(|noted| noted.load(Ordering::Relaxed) == 0));
    }
}
