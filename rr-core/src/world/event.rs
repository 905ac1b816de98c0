//! What a world is told, and what it wants done.

use std::sync::Arc;

use super::{Memory, NodeSpec, Notice};
use crate::engine::{Fault, Observation};
use crate::position::Timeline;
use crate::time::Moment;
use crate::topology::{NodeId, Topology};

/// Something happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A node joined, to be known by this id (which was never used before).
    Joined(NodeId, NodeSpec),
    /// A node has other labels (weight, region, groups, …) from now on; its name and place are the same.
    Relabelled(NodeId, NodeSpec),
    /// A node shall get nothing new.
    Draining(NodeId),
    /// A node is gone.
    Left(NodeId),
    /// A node was asked and answered.
    Answered {
        /// Which node.
        node: NodeId,
        /// When it was asked.
        asked_at: Moment,
        /// What it said.
        seen: Observation,
    },
    /// A node was asked and did not answer, or not in time.
    Silent {
        /// Which node.
        node: NodeId,
    },
    /// A statement met a fault on a node.
    Faulted {
        /// Which node.
        node: NodeId,
        /// What fault.
        fault: Fault,
        /// How many there were without a success in between.
        run: u32,
    },
    /// A token that we signed speaks of this timeline.
    Heard {
        /// Which.
        timeline: Timeline,
        /// Somebody has written on it; else somebody has read from a node that was on it.
        written: bool,
    },
    /// This process has, or has lost, the lease without which nobody may promote.
    Lease(bool),
    /// Somebody has begun a promotion; another one must wait.
    Undertaken,
    /// From now on nobody writes to the present primary.
    Promoting {
        /// Who is to take over.
        to: NodeId,
    },
    /// A promotion has ended.
    Promoted {
        /// Somebody was told to take over, or may have been.
        sent: bool,
        /// The node that was told so, when nobody knows whether it has.
        in_doubt: Option<NodeId>,
    },
    /// This node, which was told to take over and had not, was fenced: it will not.
    Fenced(NodeId),
    /// Somebody has looked at the node in doubt, or at one that has begun a new timeline: it has not taken over, and will not.
    Cleared,
    /// Time went by.
    Tick,
}

/// Something is to be done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Effect {
    /// This is what is known from now on.
    Publish(Arc<Topology>),
    /// All nodes are to be probed at once: roles may have changed.
    ProbeAll,
    /// These nodes are to be probed at once: they are witnesses.
    Probe(Vec<NodeId>),
    /// This node is to be promoted. Writes are held from now on, until [`Event::Promoted`] says how it ended.
    Promote(NodeId),
    /// This node should be promoted, if somebody agrees.
    Propose(NodeId),
    /// People want to know this.
    Report(Notice),
    /// This is to be known again after a restart.
    Remember(Memory),
}
