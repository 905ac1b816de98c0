//! Whether a primary that refuses to write still is one.

use std::time::Duration;

use super::Router;
use crate::connector::Connector;
use crate::topology::{Epoch, NodeId};

impl<C: Connector> Router<C> {
    /// Whether this node, which was chosen as the primary in `epoch` and then refused to write, has been deposed. Nothing
    /// has happened there in that case, and the statement may go to the new primary as soon as there is one.
    ///
    /// Has all nodes asked at once, and waits for what they say, at most so long. A node that says that it is the primary
    /// nevertheless was told by somebody to refuse, and its error is the caller's.
    pub async fn is_deposed(&self, node: NodeId, epoch: Epoch, within: Duration) -> bool {
        let refused_at = self.now();
        let mut published = self.inner.shared.published.subscribe();
        let asking = async {
            loop {
                let topology = self.topology();
                match topology.primary() {
                    Ok(primary) if primary.id == node && topology.epoch() == epoch => {
                        if primary.sampled_at.is_some_and(|at| at >= refused_at) {
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
            }
        };
        tokio::time::timeout(within, asking).await.unwrap_or(false)
    }
}
