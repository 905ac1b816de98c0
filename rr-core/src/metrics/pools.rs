//! What is told of the pools: of each node in its present role, as far as the driver tells it.

use super::nodes::each;
use super::{Watch, labels, labels_and};
use crate::connector::{Connector, PoolState};
use crate::monitor::Shared;
use crate::topology::Node;

impl<C: Connector> Watch<'_, C> {
    pub(super) fn pools(&self) {
        self.gauge(
            ("rr.pool.connections", "{connection}", "Open connections of a pool, by whether they are in use"),
            |shared, tell| {
                each_pool(shared, |node, state| {
                    tell(state.active.into(), &labels_and(node, "rr.state", "used"));
                    tell(state.idle.into(), &labels_and(node, "rr.state", "idle"));
                });
            },
        );
        self.gauge(("rr.pool.max", "{connection}", "Connections of a pool at most"), |shared, tell| {
            each(shared, |node, member, _| tell(member.max.into(), &labels(node)));
        });
        self.gauge(
            ("rr.pool.waiting", "{request}", "Statements that wait for a connection of a pool"),
            |shared, tell| {
                each_pool(shared, |node, state| {
                    state.waiting.into_iter().for_each(|waiting| tell(waiting.into(), &labels(node)));
                });
            },
        );
        self.counter(
            (
                "rr.pool.waits",
                "{request}",
                "Statements that had to wait for a connection of a pool, and got it",
            ),
            |shared, tell| {
                each_pool(shared, |node, state| {
                    state.waits.into_iter().for_each(|waits| tell(waits, &labels(node)));
                });
            },
        );
        self.counter(
            ("rr.pool.timeouts", "{request}", "Statements that waited for a connection of a pool in vain"),
            |shared, tell| {
                each_pool(shared, |node, state| {
                    state.timeouts.into_iter().for_each(|timeouts| tell(timeouts, &labels(node)));
                });
            },
        );
    }
}

fn each_pool<C: Connector>(shared: &Shared<C>, mut visit: impl FnMut(&Node, PoolState)) {
    each(shared, |node, member, _| {
        if let Some(state) = shared.connector.pool_state(&member.pool) {
            visit(node, state);
        }
    });
}
