//! What the worker does with a new topology: pools for new roles, marks for what is placed by now, one snapshot for everybody.

use std::sync::Arc;

use super::{Known, Look, Worker};
use crate::connector::Connector;
use crate::snapshot::Snapshot;
use crate::sync::{News, Swap};
use crate::topology::{NoPrimary, NodeId, Role, Topology};
use crate::world::Notice;

#[cfg(all(test, rr_loom))]
mod models;

/// Shows everybody what is known now. The order matters: whoever is woken finds it.
fn show<P>(snapshot: &Swap<Snapshot<P>>, published: &News, now: Snapshot<P>) {
    snapshot.store(Arc::new(now));
    published.send_modify(|count| *count += 1);
}

impl<C: Connector> Worker<C> {
    pub(super) fn publish(&mut self, topology: Arc<Topology>) {
        let primary = topology.primary().ok().map(|node| node.id);
        let epoch = topology.epoch();
        self.let_go(&topology);
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            let role = match topology.node(node.common.id) {
                Some(facts) if Some(facts.id) == primary => Role::Primary,
                // It claims what nobody was given: no traffic goes there, and its pool stays as it is. Beside another primary it is
                // an old one, and what was connected to it before is closed.
                Some(facts) if facts.role == Role::Primary && primary.is_none() => node.member.role,
                Some(_) | None => Role::Replica,
            };
            if node.member.role != role {
                match self.open(&node.config, &node.common, role, epoch) {
                    Ok(member) => self.nodes[index].member = member,
                    Err(error) => {
                        tracing::error!(target: "rr", node = &*node.common.name, %role, %error, "cannot open a pool for its new role");
                    }
                }
            }
        }
        let members = topology.nodes().iter().filter_map(|facts| {
            self.nodes.iter().find(|node| node.common.id == facts.id).map(|node| Arc::clone(&node.member))
        });
        let members: Vec<_> = members.collect();
        debug_assert_eq!(members.len(), topology.nodes().len(), "a node of the world is not watched");
        if let Ok(node) = topology.primary()
            && let (Some(at), Some(position)) = (node.sampled_at, &node.applied)
        {
            self.shared.own.remember(&topology);
            self.shared.own.settle(at, position);
            // Nobody in particular can be told, and reads of everybody must not ask for what is gone.
            if let Some(lost) = self.shared.own.give_up_lost(&topology) {
                self.report(Notice::LostWrite(lost));
            }
        }
        let now = Snapshot::new(Arc::clone(&topology), members);
        show(&self.shared.snapshot, &self.shared.published, now);
        let most = |id| self.nodes.iter().find(|node| node.common.id == id).map_or(1, |node| node.member.max);
        self.shared.writers.look(&topology, most);
        self.tell_when_ready(&topology);
    }

    /// When writes are held, the pool of the old primary is closed as soon as nobody uses it: nothing that was connected
    /// before writes there again.
    fn let_go(&mut self, topology: &Topology) {
        let holding = matches!(topology.primary(), Err(NoPrimary::SwitchingOver { .. }));
        if std::mem::replace(&mut self.holding, holding) || !holding {
            return;
        }
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            if node.member.role == Role::Primary
                && let Ok(member) = self.open(&node.config, &node.common, Role::Primary, topology.epoch())
            {
                self.nodes[index].member = member;
            }
        }
    }

    /// Tells the start that it may end, when there is nothing left to wait for: each node was looked at, and of each
    /// replica that answers it is known how fresh it is, as far as the primary can be asked.
    fn tell_when_ready(&self, topology: &Topology) {
        if *self.looked.borrow() {
            return;
        }
        let primary = topology.primary().ok().map(|node| node.id);
        let ready = |node: &Known<C::Pool>| match node.look {
            Look::Pending => false,
            Look::Silent => true,
            Look::Answered => topology.node(node.common.id).is_none_or(|facts| {
                let unplaceable = primary.is_none_or(|primary| self.is_silent(primary));
                primary == Some(facts.id)
                    || unplaceable
                    || facts.quarantine.is_some()
                    || facts.fresh_as_of.is_some()
            }),
        };
        if self.seekers.have_looked() && self.nodes.iter().all(ready) {
            self.looked.send_replace(true);
        }
    }

    fn is_silent(&self, id: NodeId) -> bool {
        self.nodes.iter().any(|node| node.common.id == id && node.look == Look::Silent)
    }
}
