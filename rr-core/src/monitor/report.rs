//! Telling of notices: to the log, metrics, the journal, notifiers and subscribers.

use std::sync::Arc;

use super::Worker;
use super::first_write::Accession;
use crate::connector::Connector;
use crate::notify::Notification;
use crate::tally::{Loss, Turnover, TurnoverOutcome};
use crate::time::Wall;
use crate::topology::Epoch;
use crate::world::{Notice, Turn};

impl<C: Connector> Worker<C> {
    pub(super) fn report(&mut self, notice: Notice) {
        if notice.is_warning() {
            tracing::warn!(target: "rr", "{notice}");
        } else {
            tracing::info!(target: "rr", "{notice}");
        }
        self.shared.metrics.notice(&notice);
        self.count(&notice);
        self.shared.journal.enter(self.shared.clock.now(), notice.clone());
        if !self.couriers.is_empty() {
            let epoch = match &notice {
                Notice::Primary { epoch, .. } => *epoch,
                _ => self.shared.snapshot.load().topology.epoch(),
            };
            self.couriers.send(Notification::of(&notice, &self.cluster, epoch, Wall::now()));
        }
        // Nobody has to listen.
        drop(self.shared.notices.send(notice));
    }

    fn count(&mut self, notice: &Notice) {
        let tally = &self.shared.tally;
        if notice.turn() != Turn::Closes {
            tally.count_alert(notice.severity());
        }
        match notice {
            Notice::LostWrite(_) => tally.count_loss(Loss::Process),
            Notice::Promotion(report) => {
                let kind = tally.failovers.count_report(report);
                if let (true, Some(outage)) = (report.succeeded(), report.durations.outage) {
                    self.shared.metrics.turnover(kind, outage);
                }
            }
            Notice::Primary { epoch, to, .. } => self.succeed(to.as_ref().map(|to| (*epoch, to))),
            Notice::Holding { .. } => self.succeed(None),
            Notice::Resumed => self.reign.resumes(),
            _ => {}
        }
    }

    /// An epoch begins with this primary, or nobody is written to.
    fn succeed(&mut self, to: Option<(Epoch, &Arc<str>)>) {
        let last = self.reign.last();
        let last = last.and_then(|last| self.nodes.iter().find(|node| node.common.name == *last));
        let (silent_since, now) = (last.and_then(|node| node.silent_since), self.shared.clock.now());
        let succession = self.reign.passes(to.map(|(_, to)| to), silent_since, now);
        let (Some((epoch, to)), Some(succession)) = (to, succession) else { return };
        let accession = Accession::new(epoch, Arc::clone(to), now, succession.lost_at);
        // What this router does itself is told by its report.
        if !self.desk.is_busy() {
            self.shared.tally.failovers.count(Turnover::Followed, TurnoverOutcome::Promoted);
            if let Some(outage) = accession.outage() {
                self.shared.metrics.turnover(Turnover::Followed, outage);
            }
        }
        self.accede(accession);
    }
}
