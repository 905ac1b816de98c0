//! OpenTelemetry instruments.
//!
//! What changes with every statement is counted in plain atomics ([`Counters`](crate::snapshot::Counters),
//! [`Load`](crate::load::Load)) and read when metrics are collected; nothing on the way of a statement knows about
//! OpenTelemetry. Labels are node names, roles and reasons: their number is bounded by the configuration.

#[cfg(feature = "prometheus")]
mod both;
#[cfg(feature = "prometheus")]
mod text;

use std::sync::{Arc, Weak};
use std::time::Duration;

use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};
use opentelemetry::{KeyValue, global};

use crate::connector::Connector;
use crate::monitor::Shared;
use crate::route::RouteReason;
use crate::snapshot::{Member, Snapshot};
use crate::tally::{Step, WriteStep};
use crate::topology::Node;
use crate::world::Notice;

#[derive(Debug)]
pub(crate) struct Metrics {
    meter: Meter,
    #[cfg(feature = "prometheus")]
    text: text::Text,
    probe_duration: Histogram<f64>,
    notices: Counter<u64>,
    discovery: Counter<u64>,
    discovered: Gauge<u64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let meter = global::meter("rr");
        #[cfg(feature = "prometheus")]
        let text = text::Text::new();
        #[cfg(feature = "prometheus")]
        let meter = text.beside(meter);
        Self {
            probe_duration: meter
                .f64_histogram("rr.probe.duration")
                .with_unit("s")
                .with_description("Time that a node took to answer a probe")
                .build(),
            notices: meter
                .u64_counter("rr.notices")
                .with_description("Changes that were reported, by kind")
                .build(),
            discovery: meter
                .u64_counter("rr.discovery.answers")
                .with_description("Answers of a discovery, by outcome")
                .build(),
            discovered: meter
                .u64_gauge("rr.discovery.nodes")
                .with_unit("{node}")
                .with_description("Nodes that a discovery has found, and that are there")
                .build(),
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

    pub(crate) fn probe(&self, node: &str, latency: Duration) {
        self.probe_duration.record(latency.as_secs_f64(), &[KeyValue::new("rr.node", node.to_owned())]);
    }

    pub(crate) fn notice(&self, notice: &Notice) {
        self.notices.add(1, &[KeyValue::new("rr.kind", notice.kind())]);
    }

    /// Registers the instruments that read the router's state when metrics are collected. They outlive the router,
    /// and then report nothing.
    pub(crate) fn observe<C: Connector>(&self, shared: &Arc<Shared<C>>) {
        self.count_routes(shared);
        self.count_steps(shared);
        self.count_writes(shared);
        self.gauge(shared, "rr.in_flight", "{statement}", "Statements in flight", |_, member| {
            Some(f64::from(member.in_flight))
        });
        self.gauge(shared, "rr.lag", "s", "Upper bound of the age of a node's data", |node, member| {
            node.staleness(member.now).map(|staleness| staleness.as_secs_f64())
        });
        self.gauge(shared, "rr.lag.size", "By", "Log that a node lacks", |node, _| node.lag_bytes.map(exact));
        self.gauge(
            shared,
            "rr.node.health",
            "1",
            "0 unknown, 1 healthy, 2 degraded, 3 unhealthy",
            |node, _| Some(f64::from(node.health as u8)),
        );
        self.gauge(shared, "rr.node.weight", "1", "Its share of the traffic", |node, _| {
            Some(f64::from(node.weight))
        });
        let weak = Arc::downgrade(shared);
        let _ = self
            .meter
            .u64_observable_gauge("rr.epoch")
            .with_description("Changes of primary so far")
            .with_callback(move |observer| {
                if let Some(shared) = weak.upgrade() {
                    observer.observe(shared.snapshot.load().topology.epoch().number(), &[]);
                }
            })
            .build();
    }

    fn count_routes<C: Connector>(&self, shared: &Arc<Shared<C>>) {
        let weak = Arc::downgrade(shared);
        let _ = self
            .meter
            .u64_observable_counter("rr.routes")
            .with_unit("{statement}")
            .with_description("Statements routed, by node and reason")
            .with_callback(move |observer| {
                each(&weak, |node, member, _| {
                    for reason in RouteReason::ALL {
                        let count = member.common.counters.get(reason);
                        if count > 0 {
                            let [name, role] = labels(node);
                            let reason = KeyValue::new("rr.reason", reason.as_str());
                            observer.observe(count, &[name, role, reason]);
                        }
                    }
                });
            })
            .build();
    }

    fn count_steps<C: Connector>(&self, shared: &Arc<Shared<C>>) {
        let weak = Arc::downgrade(shared);
        let _ = self
            .meter
            .u64_observable_counter("rr.causal")
            .with_description("Reads that no replica could serve at once, by what came of it")
            .with_callback(move |observer| {
                let Some(shared) = weak.upgrade() else { return };
                for step in Step::ALL {
                    observer.observe(shared.tally.get(step), &[KeyValue::new("rr.step", step.as_str())]);
                }
            })
            .build();
        let weak = Arc::downgrade(shared);
        let _ = self
            .meter
            .u64_observable_counter("rr.tokens")
            .with_unit("{token}")
            .with_description("Session tokens issued, resumed, and refused by kind")
            .with_callback(move |observer| {
                let Some(shared) = weak.upgrade() else { return };
                for (outcome, count) in shared.tally.tokens().filter(|(_, count)| *count > 0) {
                    observer.observe(count, &[KeyValue::new("rr.outcome", outcome)]);
                }
            })
            .build();
    }

    fn count_writes<C: Connector>(&self, shared: &Arc<Shared<C>>) {
        let weak = Arc::downgrade(shared);
        let _ = self
            .meter
            .u64_observable_counter("rr.writes")
            .with_unit("{write}")
            .with_description(
                "Writes that found no primary to connect to or were not answered, by what came of it",
            )
            .with_callback(move |observer| {
                let Some(shared) = weak.upgrade() else { return };
                for step in WriteStep::ALL {
                    observer.observe(shared.tally.writes(step), &[KeyValue::new("rr.step", step.as_str())]);
                }
            })
            .build();
        let weak = Arc::downgrade(shared);
        let _ = self
            .meter
            .u64_observable_gauge("rr.writes.waiting")
            .with_unit("{write}")
            .with_description("Writes that wait for a primary")
            .with_callback(move |observer| {
                if let Some(shared) = weak.upgrade() {
                    observer.observe(u64::try_from(shared.writers.waiting()).unwrap_or(u64::MAX), &[]);
                }
            })
            .build();
    }

    fn gauge<C: Connector>(
        &self,
        shared: &Arc<Shared<C>>,
        name: &'static str,
        unit: &'static str,
        description: &'static str,
        value: fn(&Node, Live) -> Option<f64>,
    ) {
        let weak = Arc::downgrade(shared);
        let _ = self
            .meter
            .f64_observable_gauge(name)
            .with_unit(unit)
            .with_description(description)
            .with_callback(move |observer| {
                each(&weak, |node, member, now| {
                    let live = Live { now, in_flight: member.common.load.in_flight() };
                    if let Some(value) = value(node, live) {
                        observer.observe(value, &labels(node));
                    }
                });
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
            .with_description("Notifications to people, by notifier and what became of them")
            .build();
        Self(counter)
    }

    pub(crate) fn count(&self, notifier: &str, outcome: &'static str) {
        let notifier = KeyValue::new("rr.notifier", notifier.to_owned());
        self.0.add(1, &[notifier, KeyValue::new("rr.outcome", outcome)]);
    }
}

/// Byte counts up to 8 PiB are exact in a float.
#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float, and nobody misses the last byte of petabytes"
)]
const fn exact(bytes: u64) -> f64 {
    bytes as f64
}

/// What a gauge may look at besides the facts.
#[derive(Clone, Copy)]
struct Live {
    now: crate::time::Moment,
    in_flight: u32,
}

fn labels(node: &Node) -> [KeyValue; 2] {
    [KeyValue::new("rr.node", node.name.to_string()), KeyValue::new("rr.role", node.role.as_str())]
}

fn each<C: Connector>(
    shared: &Weak<Shared<C>>,
    mut visit: impl FnMut(&Node, &Member<C::Pool>, crate::time::Moment),
) {
    let Some(shared) = shared.upgrade() else { return };
    let snapshot: Arc<Snapshot<C::Pool>> = shared.snapshot.load_full();
    let now = shared.clock.now();
    snapshot
        .topology
        .nodes()
        .iter()
        .zip(&snapshot.members)
        .for_each(|(node, member)| visit(node, member, now));
}
