//! The first write that a new primary answers: the end of an outage as the application sees it.
//!
//! The worker begins to wait for one before anybody can choose the new primary. Whoever has a write answered looks at one word,
//! and the first one after a change of primary finds something there.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Worker;
use crate::connector::Connector;
use crate::failover::Report;
use crate::sync::{AtomicU64, Ordering};
use crate::time::Moment;
use crate::topology::Epoch;
use crate::world::Notice;

#[cfg(all(test, rr_loom))]
mod models;

/// Changes of primary whose first write the worker has not heard of yet, at most. It hears of each before the next.
const QUEUE: usize = 4;

/// A write that was the first of its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct First {
    epoch: Epoch,
    at: Moment,
}

/// Where writes are told of. At most one of each change of primary goes through the channel.
#[derive(Debug)]
pub(crate) struct FirstWrites {
    /// The epoch whose first write is awaited; 0: none is.
    awaited: AtomicU64,
    told: mpsc::Sender<First>,
}

impl FirstWrites {
    pub(super) fn new() -> (Self, mpsc::Receiver<First>) {
        let (told, first) = mpsc::channel(QUEUE);
        (Self { awaited: AtomicU64::default(), told }, first)
    }

    /// Waits for one of this epoch. To be called before the epoch is published: whoever chooses a node in it finds this.
    fn expect(&self, epoch: Epoch) {
        self.awaited.store(epoch.number(), Ordering::Release);
    }

    /// A write was answered whose node was chosen in this epoch. An old primary answers as well, late.
    #[inline]
    pub(crate) fn answered(&self, epoch: Epoch, now: impl FnOnce() -> Moment) {
        let awaited = self.awaited.load(Ordering::Relaxed);
        if awaited != 0 {
            self.tell(awaited, epoch, now);
        }
    }

    #[cold]
    fn tell(&self, awaited: u64, epoch: Epoch, now: impl FnOnce() -> Moment) {
        let first = epoch.number() >= awaited
            && self.awaited.compare_exchange(awaited, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if first {
            // Without a worker nobody wants to know.
            let _ = self.told.try_send(First { epoch: Epoch::new(awaited), at: now() });
        }
    }
}

/// Another node became the primary, and what became of that.
#[derive(Debug)]
pub(super) struct Accession {
    epoch: Epoch,
    node: Arc<str>,
    at: Moment,
    /// Since when nobody took writes, where that was seen.
    lost_at: Option<Moment>,
    first_write: Option<Moment>,
    /// The report that tells of it, when it is this router's own doing and that has ended.
    report: Option<u64>,
}

impl Accession {
    pub(super) const fn new(epoch: Epoch, node: Arc<str>, at: Moment, lost_at: Option<Moment>) -> Self {
        Self { epoch, node, at, lost_at, first_write: None, report: None }
    }

    pub(super) fn outage(&self) -> Option<Duration> {
        Some(self.at.since(self.lost_at?))
    }

    fn write_outage(&self) -> Option<Duration> {
        Some(self.first_write?.since(self.lost_at?))
    }

    /// Completes the report of a promotion, if that made this node the primary.
    fn tell(&mut self, report: &mut Report) {
        if report.succeeded() && report.to.as_ref() == Some(&self.node) && self.at >= report.began {
            self.report = Some(report.id);
            report.durations.outage = self.outage();
            report.durations.first_write = self.write_outage();
        }
    }
}

impl<C: Connector> Worker<C> {
    /// Takes up the rule of another primary, before anybody hears of it.
    pub(super) fn accede(&mut self, accession: Accession) {
        self.shared.first_writes.expect(accession.epoch);
        self.accession = Some(accession);
    }

    /// The new primary has answered a write.
    pub(super) fn note_first_write(&mut self, first: First) {
        let Some(accession) = self.accession.as_mut().filter(|accession| accession.epoch == first.epoch)
        else {
            return;
        };
        accession.first_write = Some(first.at);
        let notice = Notice::FirstWrite {
            epoch: first.epoch,
            node: Arc::clone(&accession.node),
            outage: accession.write_outage(),
            accepted: first.at.since(accession.at),
        };
        if let (Some(id), Some(outage)) = (accession.report, accession.write_outage()) {
            self.shared.board.note_first_write(id, outage);
        }
        self.report(notice);
    }

    pub(super) fn complete(&mut self, report: &mut Report) {
        if let Some(accession) = &mut self.accession {
            accession.tell(report);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::{Durations, Ending, Stop};
    use crate::topology::NodeId;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn of_each_change_of_primary_the_first_write_is_told_and_none_of_an_older_one() {
        let (writes, mut told) = FirstWrites::new();
        let asked = std::cell::Cell::new(0);
        let answer = |epoch, millis| {
            writes.answered(Epoch::new(epoch), || {
                asked.set(asked.get() + 1);
                at(millis)
            });
        };
        answer(1, 1);
        assert_eq!(asked.get(), 0, "nobody waits for one, and nobody looks at the clock");
        writes.expect(Epoch::new(2));
        answer(1, 2);
        assert!(told.try_recv().is_err(), "it was chosen before, and answers late");
        answer(2, 3);
        answer(2, 4);
        assert_eq!(told.try_recv(), Ok(First { epoch: Epoch::new(2), at: at(3) }));
        assert!(told.try_recv().is_err());
        // The next epoch begins with the same primary.
        writes.expect(Epoch::new(3));
        answer(4, 5);
        assert_eq!(told.try_recv(), Ok(First { epoch: Epoch::new(3), at: at(5) }));
        assert_eq!(asked.get(), 2);
    }

    fn report(to: &str, began: u64, ending: Ending) -> Report {
        Report {
            id: 7,
            reason: "a test".into(),
            planned: false,
            began: at(began),
            from: None,
            to: Some(to.into()),
            ending,
            durations: Durations::default(),
            to_do: Vec::new(),
        }
    }

    #[test]
    fn a_report_has_the_outage_and_the_first_write_of_the_primary_that_it_made() {
        let promoted = || Ending::Promoted(NodeId::new(1));
        let mut accession = Accession::new(Epoch::new(2), "a".into(), at(150), Some(at(100)));
        for mut other in [
            report("b", 110, promoted()),
            report("a", 160, promoted()),
            report("a", 110, Ending::Stopped(Stop::Rehearsal)),
        ] {
            accession.tell(&mut other);
            assert_eq!((other.durations, accession.report), (Durations::default(), None), "{other}");
        }
        let mut own = report("a", 110, promoted());
        accession.tell(&mut own);
        assert_eq!(own.durations.outage, Some(Duration::from_millis(50)));
        assert_eq!((own.durations.first_write, accession.report), (None, Some(7)));
        accession.first_write = Some(at(170));
        accession.tell(&mut own);
        assert_eq!(own.durations.first_write, Some(Duration::from_millis(70)));
        assert_eq!(own.durations.to_string(), "; no writes for 50.0ms, the first one answered after 70.0ms");
    }
}
