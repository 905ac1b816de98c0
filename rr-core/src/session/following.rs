//! Reads of which nobody knows yet where they ended, and how that becomes known.

use super::{Follows, Session};
use crate::position::Position;
use crate::requirement::Seen;
use crate::time::Moment;
use crate::topology::{Node, NodeId, Topology};

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
        let sample = topology.sample();
        self.remember(topology);
        if let Some((at, position)) = sample {
            self.settle(at, position);
        }
        let Some(seen) = self.follows() else { return };
        let bound = match seen.server(topology) {
            // Not what it may have shown since: while it does not have that itself, it could serve this session no more.
            Some(server) => server.shown.as_ref().map(|(at, position)| (*at, position)),
            None => sample,
        };
        if let Some((_, position)) = bound.filter(|(at, _)| *at >= seen.at) {
            self.settle_read(seen, position);
        }
    }
}

impl Seen {
    /// Who served it, if it is known to have been up ever since.
    fn server<'t>(&self, topology: &'t Topology) -> Option<&'t Node> {
        self.node.and_then(|id| topology.node(id)).filter(|server| server.steady_since <= self.at)
    }

    /// What it may have seen at most, where the node that served it has been asked since and is sure of its history. It may be
    /// more than that node has.
    pub(crate) fn bound<'t>(&self, topology: &'t Topology) -> Option<&'t Position> {
        let server = self.server(topology)?;
        let (at, ceiling) = server.sampled_at.zip(server.ceiling.as_ref())?;
        let is_sure = match (ceiling, server.applied.as_ref()?) {
            (Position::Postgres(ceiling), Position::Postgres(applied)) => {
                ceiling.head().0 == applied.head().0
            }
            (ceiling, applied) => ceiling == applied,
        };
        (is_sure && at >= self.at).then_some(ceiling)
    }
}
