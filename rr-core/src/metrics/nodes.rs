//! What is told of each node.

use super::{Watch, labels, labels_and};
use crate::connector::Connector;
use crate::monitor::Shared;
use crate::route::RouteReason;
use crate::snapshot::{Common, Member};
use crate::time::Moment;
use crate::topology::Node;

impl<C: Connector> Watch<'_, C> {
    pub(super) fn nodes(&self) {
        self.counter(
            ("rr.routes", "{statement}", "Statements routed, by node and reason"),
            |shared, tell| {
                each(shared, |node, member, _| {
                    for reason in RouteReason::ALL {
                        let count = member.common.routed(reason);
                        if count > 0 {
                            tell(count, &labels_and(node, "rr.reason", reason.as_str()));
                        }
                    }
                });
            },
        );
        self.counter(("rr.probes", "{probe}", "Probes of a node, by outcome"), |shared, tell| {
            each(shared, |node, member, _| {
                for (outcome, count) in member.common.looks.counts() {
                    tell(count, &labels_and(node, "rr.outcome", outcome));
                }
            });
        });
        self.of_each("rr.in_flight", "{statement}", "Statements in flight", |_, live, _| {
            Some(f64::from(live.load.in_flight()))
        });
        self.of_each("rr.lag", "s", "Upper bound of the age of a node's data", |node, _, now| {
            node.staleness(now).map(|staleness| staleness.as_secs_f64())
        });
        self.of_each("rr.lag.size", "By", "Log that a node lacks", |node, _, _| node.lag_bytes.map(exact));
        self.of_each(
            "rr.node.health",
            "{state}",
            "0 unknown, 1 healthy, 2 degraded, 3 unhealthy",
            |node, _, _| Some(f64::from(node.health as u8)),
        );
        self.of_each("rr.node.weight", "{weight}", "Its share of the traffic", |node, _, _| {
            Some(f64::from(node.weight))
        });
        self.of_each(
            "rr.node.latency",
            "s",
            "Moving average of what statements and probes take, as balancing sees it",
            |_, live, _| {
                let nanos = live.load.latency_nanos();
                (nanos > 0).then(|| exact(nanos) / 1e9)
            },
        );
        self.of_each(
            "rr.probe.age",
            "s",
            "Time since the last probe of a node has ended, well or not",
            |_, live, now| live.looks.last().map(|last| now.since(last).as_secs_f64()),
        );
    }

    fn of_each(
        &self,
        name: &'static str,
        unit: &'static str,
        description: &'static str,
        value: fn(&Node, &Common, Moment) -> Option<f64>,
    ) {
        let weak = self.weak();
        let _ = self
            .meter
            .f64_observable_gauge(name)
            .with_unit(unit)
            .with_description(description)
            .with_callback(move |observer| {
                let Some(shared) = weak.upgrade() else { return };
                each(&shared, |node, member, now| {
                    if let Some(value) = value(node, &member.common, now) {
                        observer.observe(value, &labels(node));
                    }
                });
            })
            .build();
    }
}

pub(super) fn each<C: Connector>(shared: &Shared<C>, mut visit: impl FnMut(&Node, &Member<C::Pool>, Moment)) {
    let snapshot = shared.snapshot.load_full();
    let now = shared.clock.now();
    let nodes = snapshot.topology.nodes().iter().zip(&snapshot.members);
    nodes.for_each(|(node, member)| visit(node, member, now));
}

/// Counts up to 2^53 are exact in a float: 8 PiB, or 100 days of nanoseconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float, and nobody misses the last byte of petabytes"
)]
const fn exact(count: u64) -> f64 {
    count as f64
}
