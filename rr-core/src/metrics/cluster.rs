//! What is told of the cluster as a whole, and of the monitor.

use opentelemetry::KeyValue;

use super::{Watch, number};
use crate::connector::Connector;
use crate::topology::{NoPrimary, Role, State};

impl<C: Connector> Watch<'_, C> {
    pub(super) fn cluster(&self) {
        self.gauge(("rr.nodes", "{node}", "Nodes, by role and state"), |shared, tell| {
            let topology = &shared.snapshot.load().topology;
            for role in [Role::Primary, Role::Replica] {
                for state in State::ALL {
                    let such = |node: &&crate::topology::Node| node.role == role && node.state() == state;
                    let labels =
                        [KeyValue::new("rr.role", role.as_str()), KeyValue::new("rr.state", state.as_str())];
                    tell(number(topology.nodes().iter().filter(such).count()), &labels);
                }
            }
        });
        self.gauge(("rr.epoch", "{change}", "Changes of primary so far"), |shared, tell| {
            tell(shared.snapshot.load().topology.epoch().number(), &[]);
        });
        self.gauge(
            (
                "rr.primary",
                "{primary}",
                "1 while there is a primary that takes writes, as far as is known, else 0",
            ),
            |shared, tell| {
                let snapshot = shared.snapshot.load();
                let there = snapshot.topology.primary().is_ok_and(|node| node.state() != State::Unhealthy);
                tell(there.into(), &[]);
            },
        );
        self.gauge(
            ("rr.split_brain", "{split}", "1 while two nodes take writes and nobody is written to, else 0"),
            |shared, tell| {
                let snapshot = shared.snapshot.load();
                let split = matches!(snapshot.topology.primary(), Err(NoPrimary::SplitBrain { .. }));
                tell(split.into(), &[]);
            },
        );
        self.gauge_of_time(
            (
                "rr.monitor.age",
                "s",
                "Time since the monitor has shown a sign of life; it does ten times a second",
            ),
            |shared, tell| tell(shared.clock.now().since(shared.pulse.last()).as_secs_f64(), &[]),
        );
        self.gauge(("rr.writes.waiting", "{write}", "Writes that wait for a primary"), |shared, tell| {
            tell(number(shared.writers.waiting()), &[])
        });
    }
}
