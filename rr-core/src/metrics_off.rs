//! The twin of `metrics` that measures nothing, so that no caller needs a `cfg`.

use std::sync::Arc;
use std::time::Duration;

use crate::connector::Connector;
use crate::monitor::Shared;
use crate::tally::Turnover;
use crate::topology::Role;
use crate::world::Notice;

#[derive(Debug)]
pub(crate) struct Metrics;

#[expect(clippy::unused_self, reason = "the same signatures as the real one")]
impl Metrics {
    pub(crate) const fn new() -> Self {
        Self
    }

    pub(crate) const fn observe<C: Connector>(&self, _shared: &Arc<Shared<C>>) {}

    pub(crate) const fn deliveries(&self) -> Deliveries {
        Deliveries
    }

    pub(crate) const fn probe(&self, _role: Role, _latency: Duration) {}

    pub(crate) const fn discovery(&self, _source: &str, _outcome: &'static str) {}

    pub(crate) const fn discovered(&self, _source: &str, _nodes: usize) {}

    pub(crate) const fn notice(&self, _notice: &Notice) {}

    pub(crate) const fn waited(&self, _outcome: &'static str, _waited: Duration) {}

    pub(crate) const fn turnover(&self, _kind: Turnover, _outage: Duration) {}

    pub(crate) const fn is_decision_due(&self) -> bool {
        false
    }

    pub(crate) const fn decided(&self, _took: Duration) {}

    pub(crate) const fn hand_over(&self) {}
}

#[derive(Clone, Debug)]
pub(crate) struct Deliveries;

#[expect(clippy::unused_self, reason = "the same signatures as the real one")]
impl Deliveries {
    pub(crate) const fn count(&self, _notifier: &str, _outcome: &'static str) {}
}
