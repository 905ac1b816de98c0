//! One server under two names.
//!
//! Who finds nodes by DNS or from a list of somebody else's easily finds a server that is configured under another name: the
//! primary behind its service name, say. Taken for two, it would be a split brain, and nothing could be written. A server is
//! known by the cluster that it belongs to and the moment at which it was started, to the microsecond.

use std::cmp::Reverse;

use super::World;
use super::node::NodeState;
use crate::time::Moment;
use crate::topology::NodeId;

/// A node is the server of another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Twin {
    of: NodeId,
    /// Since when the two say different things. After a restart one of them has yet to be asked again, so it is believed only
    /// when both were.
    differ_since: Option<Moment>,
}

impl World {
    /// Works out which nodes are servers that another node stands for already: of two names the one that answers, then the
    /// one that is the primary, then the older one.
    pub(super) fn settle_twins(&mut self, now: Moment) {
        if self.nodes.iter().all(|node| server(node).is_none()) {
            return;
        }
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_by_key(|&index| {
            let node = &self.nodes[index];
            let alive = node.health.failures() < self.config.health.down_after;
            Reverse((alive, self.primary == Ok(node.id), !node.draining, Reverse(node.id)))
        });
        let mut keepers: Vec<usize> = Vec::new();
        let mut twins = vec![None; self.nodes.len()];
        for index in order {
            twins[index] = keepers.iter().find_map(|&keeper| self.twin(index, keeper, now));
            if twins[index].is_none() {
                keepers.push(index);
            }
        }
        self.nodes.iter_mut().zip(twins).for_each(|(node, twin)| node.twin = twin);
    }

    fn twin(&self, index: usize, keeper: usize, now: Moment) -> Option<Twin> {
        let (node, keeper) = (&self.nodes[index], &self.nodes[keeper]);
        let (own, other) = (server(node)?, server(keeper)?);
        if own == other {
            return Some(Twin { of: keeper.id, differ_since: None });
        }
        let link = |a: &NodeState, b: &NodeState| a.twin.filter(|twin| twin.of == b.id);
        let since = link(node, keeper).or_else(|| link(keeper, node))?.differ_since.unwrap_or(now);
        let asked = |node: &NodeState| node.sampled_at.is_some_and(|at| at > since);
        (!(asked(node) && asked(keeper))).then_some(Twin { of: keeper.id, differ_since: Some(since) })
    }
}

impl World {
    /// Whether a node is this one, under whatever name.
    pub(super) fn is_same_server(&self, node: &NodeState, id: NodeId) -> bool {
        let is_twin = |one: &NodeState, of: NodeId| one.twin.is_some_and(|twin| twin.of == of);
        let other = || self.nodes.iter().find(|other| other.id == id);
        node.id == id
            || is_twin(node, id)
            || other().is_some_and(|other| {
                is_twin(other, node.id)
                    || node.twin.zip(other.twin).is_some_and(|(one, other)| one.of == other.of)
            })
    }
}

/// Which server answered; not where the configuration means to have one server twice.
fn server(node: &NodeState) -> Option<(u64, u64)> {
    let seen = node.seen.as_ref().filter(|_| !node.spec.mirror)?;
    seen.system.zip(seen.started)
}
