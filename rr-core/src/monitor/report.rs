//! Telling of notices: to the log, metrics, the journal, notifiers and subscribers.

use super::Worker;
use crate::connector::Connector;
use crate::notify::Notification;
use crate::time::Wall;
use crate::world::Notice;

impl<C: Connector> Worker<C> {
    pub(super) fn report(&self, notice: Notice) {
        if notice.is_warning() {
            tracing::warn!(target: "rr", "{notice}");
        } else {
            tracing::info!(target: "rr", "{notice}");
        }
        self.shared.metrics.notice(&notice);
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
}
