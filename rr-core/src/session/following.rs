//! Reads of which nobody knows yet where they ended, and how that becomes known.

use super::{Follows, Session};
use crate::requirement::Seen;
use crate::time::Moment;
use crate::topology::{NodeId, Topology};

impl Session {
    /// Notes a read at level `session` that `node` had served by `at`. `under` is what its own requirement asked for as
    /// [`seen`](crate::Requirement::seen), as far as the node was proven to have it: `None` for a primary, of which that is
    /// taken for granted.
    ///
    /// What the read saw has no position yet. Until one is known ([`Session::catch_up`]), the session's reads stay on this
    /// node, or go to one that covers a later sample. A [`Ledger`](crate::adapter::Ledger) does this by itself.
    pub fn served(&self, node: NodeId, at: Moment, under: Option<Seen>) {
        self.read_on(node, at, Follows::of(under));
    }

    /// The last read, as long as no position bounds what it saw.
    #[must_use]
    pub fn follows(&self) -> Option<Seen> {
        self.registers.last_read.get()
    }

    /// What that read saw is within register **W** by now: where a later write ended was asked for afterwards.
    pub fn settle_by_write(&self, seen: Seen) {
        self.registers.last_read.settle(seen);
    }

    /// Learns the positions of what it wrote and read, as far as they are known by now. A router does this before each
    /// read.
    pub fn catch_up(&self, topology: &Topology) {
        let primary = topology.primary().ok();
        let sample = primary.and_then(|primary| primary.sampled_at.zip(primary.applied.as_ref()));
        if let Some((at, position)) = sample {
            self.settle(at, position);
        }
        let Some(seen) = self.follows() else { return };
        let server =
            seen.node.and_then(|id| topology.node(id)).filter(|server| server.steady_since <= seen.at);
        let bound = match server {
            // What it may have shown and what it certainly has are one position, save for a while after a failover. Then
            // nobody but the node itself could fulfil what would be demanded.
            Some(server) if server.ceiling == server.applied => {
                server.sampled_at.zip(server.applied.as_ref()).filter(|(at, _)| *at >= seen.at)
            }
            Some(_) => None,
            None => sample.filter(|(at, _)| *at >= seen.at),
        };
        if let Some((_, position)) = bound {
            self.settle_read(seen, position);
        }
    }
}
