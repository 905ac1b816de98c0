//! Whether a primary that refuses to write still is one.

use std::time::Duration;

use super::Router;
use crate::connector::Connector;
use crate::route::Route;
use crate::topology::{Epoch, NodeId, Role};

/// For so long a primary may refuse writes because another process is about to put another one in its place.
const SWITCHOVER: Duration = Duration::from_secs(1);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

impl<C: Connector> Router<C> {
    /// Whether this node, which was chosen as the primary in `epoch` and then refused to write, has been deposed. Nothing
    /// has happened there in that case, and the statement may go to the new primary as soon as there is one.
    ///
    /// Has all nodes asked at once, and waits for what they say, at most so long. A node that says that it is the primary
    /// nevertheless was told by somebody to refuse. In a switchover that is so for a moment; if it says so for longer, its
    /// error is the caller's.
    pub async fn is_deposed(&self, node: NodeId, epoch: Epoch, within: Duration) -> bool {
        let insists_at = self.now() + within.min(SWITCHOVER);
        let mut published = self.inner.shared.published.subscribe();
        let asking = async {
            loop {
                let topology = self.topology();
                match topology.primary() {
                    Ok(primary) if primary.id == node && topology.epoch() == epoch => {
                        if primary.sampled_at.is_some_and(|at| at >= insists_at) {
                            return false;
                        }
                    }
                    Ok(_) | Err(_) => return true,
                }
                // Again after each answer: that of a connection which the demotion has broken says nothing.
                self.probe_now();
                if published.changed().await.is_err() {
                    return false;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(within, asking).await.unwrap_or(false)
    }

    /// Whether this node was chosen as the primary and is known to be it no more: for connections that are kept over several
    /// statements. What is written there may be lost, and what is read there may never have happened.
    pub fn is_outdated(&self, route: &Route<C::Pool>) -> bool {
        route.role() == Role::Primary && self.has_replaced(route.node())
    }

    /// As [`is_outdated`](Self::is_outdated), of a node that was chosen as the primary, when its route has been given back.
    pub fn has_replaced(&self, primary: NodeId) -> bool {
        let snapshot = self.inner.shared.snapshot.load();
        let topology = &snapshot.topology;
        match topology.primary() {
            Ok(now) => now.id != primary,
            // That there is none for the moment need not be about this node.
            Err(_) => topology
                .node(primary)
                .is_none_or(|node| node.role == Role::Replica || node.quarantine.is_some()),
        }
    }
}
