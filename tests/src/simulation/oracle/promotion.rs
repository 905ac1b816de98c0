//! Rules for promotions that the world orders.

use rr_core::time::Moment;
use rr_core::topology::{HealthState, Node, NodeId, Role, Topology};

use super::Oracle;

impl Oracle {
    /// The world orders a promotion; `topology` is what it published before.
    pub(in crate::simulation) fn promoting(&mut self, now: Moment, target: NodeId, topology: &Topology) {
        if let Err(why) = self.may_order(now, target, topology) {
            self.object(now, format!("promotion of {target}: {why}"));
        }
        self.last_failover = Some(now);
    }

    fn may_order(&self, now: Moment, target: NodeId, topology: &Topology) -> Result<(), String> {
        if !self.may_promote() {
            return Err(format!("the mode is {:?}", self.policy.mode));
        }
        let primary = topology.primary().map_err(|why| format!("there is no primary to replace: {why}"))?;
        let silences = self.known.get(&primary.id).map_or(0, |known| known.silences);
        if silences < self.policy.confirmations {
            return Err(format!("the primary was silent {silences} times only"));
        }
        if let Some(since) =
            self.last_failover.map(|last| now.since(last)).filter(|s| *s < self.policy.cooldown)
        {
            return Err(format!("the last failover was {since:?} ago"));
        }
        let replicas = || {
            self.known.iter().filter_map(|(id, known)| {
                let shown = known.newest.as_ref().filter(|shown| shown.role == Role::Replica)?;
                let node = topology.node(*id).filter(|node| {
                    *id != primary.id && matches!(node.health, HealthState::Healthy | HealthState::Degraded)
                })?;
                Some((shown, node)).filter(|_| !known.left && known.silences < self.down_after)
            })
        };
        if let Some((_, node)) =
            replicas().find(|(shown, _)| shown.receiving != Some(false) && self.policy.witness)
        {
            return Err(format!("{} does not confirm that the primary is gone", node.id));
        }
        if replicas().count() < usize::try_from(self.policy.min_replicas).unwrap_or(usize::MAX) {
            return Err("too few replicas answer".to_owned());
        }
        let (_, target) =
            replicas().find(|(_, node)| node.id == target).ok_or("it is no replica that answers")?;
        if target.draining || target.quarantine.is_some() {
            return Err("it is draining or quarantined".to_owned());
        }
        let more = |node: &Node| match (&node.applied, &target.applied) {
            (Some(theirs), Some(its)) => theirs.covers(its) && !its.covers(theirs),
            (_, None) => true,
            (None, Some(_)) => false,
        };
        let fit = replicas().filter(|(_, node)| !node.draining && node.quarantine.is_none());
        if let Some((_, better)) = fit.into_iter().find(|(_, node)| more(node)) {
            return Err(format!("{} has more", better.id));
        }
        Ok(())
    }
}
