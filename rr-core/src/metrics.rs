//! OpenTelemetry instruments.
//!
//! What changes with every statement is counted in plain atomics ([`Counters`](crate::snapshot::Counters),
//! [`Load`](crate::load::Load), [`Tally`](crate::tally::Tally)) and read when metrics are collected; nothing on the way of a
//! statement knows about OpenTelemetry. What is told of as it happens is rare: probes, changes of primary, reads that waited.
//!
//! Labels are names of nodes, notifiers and discoveries, and words of this crate: their number is bounded by the
//! configuration. Names of nodes are told by instruments that are read only, so that a node that has left is told of no
//! more. What is unknown has no value, rather than 0. docs/guide/metrics.md lists all instruments.

use std::sync::{Arc, Weak};
use std::time::Duration;

use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};
use opentelemetry::{KeyValue, global};

use crate::connector::Connector;
use crate::monitor::Shared;
use crate::tally::Turnover;
use crate::topology::{Node, Role};
use crate::world::Notice;

#[cfg(feature = "prometheus")]
mod both;
mod cluster;
mod counts;
mod decisions;
mod nodes;
mod pools;
#[cfg(feature = "prometheus")]
mod text;

/// Boundaries for what servers take, in seconds.
const ANSWERS: [f64; 11] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0];

/// Those for reads that wait for a replica.
const WAITS: [f64; 11] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0];

/// Those for outages.
const OUTAGES: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

#[derive(Debug)]
pub(crate) struct Metrics {
    meter: Meter,
    #[cfg(feature = "prometheus")]
    text: text::Text,
    probe_duration: Histogram<f64>,
    causal_duration: Histogram<f64>,
    failover_duration: Histogram<f64>,
    notices: Counter<u64>,
    discovery: Counter<u64>,
    discovered: Gauge<u64>,
    decisions: decisions::Decisions,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let meter = global::meter("rr");
        #[cfg(feature = "prometheus")]
        let text = text::Text::new();
        #[cfg(feature = "prometheus")]
        let meter = text.beside(meter);
        let seconds = |name: &'static str, description: &'static str, boundaries: &[f64]| {
            let histogram = meter.f64_histogram(name).with_unit("s").with_description(description);
            histogram.with_boundaries(boundaries.to_vec()).build()
        };
        Self {
            probe_duration: seconds("rr.probe.duration", "Time that a node took to answer a probe", &ANSWERS),
            causal_duration: seconds(
                "rr.causal.duration",
                "Time that a read waited for a replica to catch up, by outcome",
                &WAITS,
            ),
            failover_duration: seconds(
                "rr.failover.duration",
                "Time without a primary that takes writes, at a change of primary",
                &OUTAGES,
            ),
            notices: meter
                .u64_counter("rr.notices")
                .with_unit("{notice}")
                .with_description("Changes that were reported, by kind")
                .build(),
            discovery: meter
                .u64_counter("rr.discovery.answers")
                .with_unit("{answer}")
                .with_description("Answers of a discovery, by outcome")
                .build(),
            discovered: meter
                .u64_gauge("rr.discovery.nodes")
                .with_unit("{node}")
                .with_description("Nodes that a discovery has found, and that are there")
                .build(),
            decisions: decisions::Decisions::new(&meter),
            #[cfg(feature = "prometheus")]
            text,
            meter,
        }
    }

    /// All that was measured, as Prometheus reads it.
    #[cfg(feature = "prometheus")]
    pub(crate) fn text(&self) -> String {
        self.text.render()
    }

    pub(crate) fn deliveries(&self) -> Deliveries {
        Deliveries::new(&self.meter)
    }

    pub(crate) fn discovery(&self, source: &str, outcome: &'static str) {
        let labels = [KeyValue::new("rr.source", source.to_owned()), KeyValue::new("rr.outcome", outcome)];
        self.discovery.add(1, &labels);
    }

    pub(crate) fn discovered(&self, source: &str, nodes: usize) {
        let nodes = u64::try_from(nodes).unwrap_or(u64::MAX);
        self.discovered.record(nodes, &[KeyValue::new("rr.source", source.to_owned())]);
    }

    /// A node that says that it has this role has answered. Not by name: what a histogram has heard of stays in it, and nodes
    /// come and go.
    pub(crate) fn probe(&self, role: Role, latency: Duration) {
        self.probe_duration.record(latency.as_secs_f64(), &[KeyValue::new("rr.role", role.as_str())]);
    }

    pub(crate) fn notice(&self, notice: &Notice) {
        self.notices.add(1, &[KeyValue::new("rr.kind", notice.kind())]);
    }

    /// A read has waited.
    pub(crate) fn waited(&self, outcome: &'static str, waited: Duration) {
        self.causal_duration.record(waited.as_secs_f64(), &[KeyValue::new("rr.outcome", outcome)]);
    }

    /// There is another primary, after so long without one.
    pub(crate) fn turnover(&self, kind: Turnover, outage: Duration) {
        self.failover_duration.record(outage.as_secs_f64(), &[KeyValue::new("rr.reason", kind.as_str())]);
    }

    /// Whether this thread is to take the time of its next decision.
    #[inline]
    pub(crate) fn is_decision_due(&self) -> bool {
        self.decisions.is_due()
    }

    /// A decision took so long.
    pub(crate) fn decided(&self, took: Duration) {
        self.decisions.note(took);
    }

    /// To be called now and then: hands over what was noted without a lock.
    pub(crate) fn hand_over(&self) {
        self.decisions.hand_over();
    }

    /// Registers the instruments that read the router's state when metrics are collected. They outlive the router,
    /// and then report nothing.
    pub(crate) fn observe<C: Connector>(&self, shared: &Arc<Shared<C>>) {
        let watch = Watch { meter: &self.meter, shared };
        watch.nodes();
        watch.pools();
        watch.cluster();
        watch.counts();
    }
}

/// Registers instruments that look at what is shared.
struct Watch<'a, C: Connector> {
    meter: &'a Meter,
    shared: &'a Arc<Shared<C>>,
}

/// Takes values and their labels.
type Tell<'a, T> = &'a mut dyn FnMut(T, &[KeyValue]);

/// What an instrument is called, its unit, and what it tells.
type What = (&'static str, &'static str, &'static str);

impl<C: Connector> Watch<'_, C> {
    fn weak(&self) -> Weak<Shared<C>> {
        Arc::downgrade(self.shared)
    }

    fn counter(&self, (name, unit, description): What, read: fn(&Shared<C>, Tell<'_, u64>)) {
        let weak = self.weak();
        let counter = self.meter.u64_observable_counter(name).with_unit(unit).with_description(description);
        let _ = counter
            .with_callback(move |observer| {
                if let Some(shared) = weak.upgrade() {
                    read(&shared, &mut |value, labels| observer.observe(value, labels));
                }
            })
            .build();
    }

    fn gauge(&self, (name, unit, description): What, read: fn(&Shared<C>, Tell<'_, u64>)) {
        let weak = self.weak();
        let gauge = self.meter.u64_observable_gauge(name).with_unit(unit).with_description(description);
        let _ = gauge
            .with_callback(move |observer| {
                if let Some(shared) = weak.upgrade() {
                    read(&shared, &mut |value, labels| observer.observe(value, labels));
                }
            })
            .build();
    }

    fn gauge_of_time(&self, (name, unit, description): What, read: fn(&Shared<C>, Tell<'_, f64>)) {
        let weak = self.weak();
        let gauge = self.meter.f64_observable_gauge(name).with_unit(unit).with_description(description);
        let _ = gauge
            .with_callback(move |observer| {
                if let Some(shared) = weak.upgrade() {
                    read(&shared, &mut |value, labels| observer.observe(value, labels));
                }
            })
            .build();
    }
}

/// Counts what becomes of notifications.
#[derive(Clone, Debug)]
pub(crate) struct Deliveries(Counter<u64>);

impl Deliveries {
    fn new(meter: &Meter) -> Self {
        let counter = meter
            .u64_counter("rr.notifications")
            .with_unit("{notification}")
            .with_description("Notifications to people, by notifier and what became of them")
            .build();
        Self(counter)
    }

    pub(crate) fn count(&self, notifier: &str, outcome: &'static str) {
        let notifier = KeyValue::new("rr.notifier", notifier.to_owned());
        self.0.add(1, &[notifier, KeyValue::new("rr.outcome", outcome)]);
    }
}

fn labels(node: &Node) -> [KeyValue; 2] {
    [KeyValue::new("rr.node", node.name.to_string()), KeyValue::new("rr.role", node.role.as_str())]
}

/// The labels of a node, and one more.
fn labels_and(node: &Node, key: &'static str, value: &'static str) -> [KeyValue; 3] {
    let [name, role] = labels(node);
    [name, role, KeyValue::new(key, value)]
}

fn number(many: usize) -> u64 {
    u64::try_from(many).unwrap_or(u64::MAX)
}
