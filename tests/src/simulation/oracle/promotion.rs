//! Rules for promotions that the world orders.

use rr_core::failover::Task;
use rr_core::time::Moment;
use rr_core::topology::{HealthState, NodeId, Role, Topology};

use super::Oracle;
use crate::simulation::cluster::Cluster;
use crate::simulation::server::Server;
use crate::simulation::wal::Content;

/// What whoever takes over must have.
#[derive(Debug)]
pub(in crate::simulation) struct Owed<'a> {
    /// What is undertaken.
    pub(in crate::simulation) task: Task,
    /// The servers that answered the last look, whether they took writes, and the timelines that they were on.
    pub(in crate::simulation) looked_at: &'a [(usize, bool, u32)],
    /// What each standby had applied at the closer look.
    pub(in crate::simulation) applied: &'a [Content],
    /// What the old primary had when it was made to refuse writes.
    pub(in crate::simulation) frozen: Option<Content>,
    /// What the old primary had. Whatever else a standby has was lost before.
    pub(in crate::simulation) old: Option<Content>,
}

impl Oracle {
    /// The world orders a promotion; `topology` is what it published before.
    pub(in crate::simulation) fn promoting(
        &mut self,
        now: Moment,
        target: NodeId,
        primary: Option<NodeId>,
        lease: bool,
        topology: &Topology,
    ) {
        if self.holding {
            self.object(now, format!("promotion of {target}: another one is under way, or in doubt"));
        }
        if !lease {
            self.object(now, format!("promotion of {target}: the lease is not held"));
        }
        if let Err(why) = self.may_order(now, target, primary, topology) {
            self.object(now, format!("promotion of {target}: {why}"));
        }
        self.holding = true;
    }

    /// A server is told to take over, after a closer look, after which it owes this; `told` were told before in
    /// the same promotion. Tells whether somebody else could have lost a write that `remote_apply` had acknowledged.
    pub(in crate::simulation) fn taking_over(
        &mut self,
        now: Moment,
        server: usize,
        owed: &Owed<'_>,
        told: &[usize],
        lease: bool,
        truth: &Cluster,
    ) -> bool {
        if !lease {
            self.object(now, format!("db{server} is told to take over without the lease"));
        }
        let two = told.iter().find(|&&other| {
            let other = &truth.servers[other];
            // That somebody else promotes meanwhile nobody can prevent.
            other.told || (!other.follows() && other.ours && !other.fenced)
        });
        if let Some(other) = two {
            self.object(now, format!("db{server} is told to take over while db{other} may have"));
        }
        if let Some(why) = self.objection(owed, told, truth) {
            self.object(now, format!("db{server} is told to take over, but {why}"));
        }
        let has = truth.servers[server].received;
        if let Some(frozen) = owed.frozen.filter(|frozen| !truth.wal.includes(has, *frozen)) {
            self.object(now, format!("db{server} has {has:?} and takes over from one that has {frozen:?}"));
        }
        // With `remote_apply` a commit is acknowledged when so many standbys have applied it that any `min_replicas` of them
        // have one of these among them.
        let answering = usize::try_from(self.policy.min_replicas).unwrap_or(usize::MAX);
        let (applied, standbys) = (owed.applied, owed.applied.len());
        if owed.frozen.is_some() || !self.policy.witness || answering == 0 || answering > standbys {
            return false;
        }
        let acknowledged = standbys - answering + 1;
        let twins =
            |content: &Content| truth.wal.path(content.branch).any(|part| truth.has_twin(part.branch));
        if applied.iter().chain([&has]).any(twins) {
            self.limits.ambiguous_timelines += 1;
            return false;
        }
        let of_the_old = |content: &&Content| owed.old.is_some_and(|old| truth.wal.includes(old, **content));
        let ours = |server: &&Server| !server.writable && server.system == truth.system;
        let lacked = |content| {
            truth.servers.iter().filter(ours).any(|standby| !truth.wal.includes(standby.received, content))
        };
        let mut at_stake = false;
        for content in applied.iter().filter(of_the_old) {
            let by = applied.iter().filter(|other| truth.wal.includes(**other, *content)).count();
            at_stake |= by >= acknowledged && lacked(*content);
            if by >= acknowledged && !truth.wal.includes(has, *content) {
                self.object(
                    now,
                    format!("db{server} has {has:?} and takes over; {by} standbys had applied {content:?}"),
                );
            }
        }
        at_stake
    }

    /// Why nobody may take over, by what nodes have shown: the old primary answers, or a server that was not told to take over here
    /// takes writes, or is on a newer timeline.
    fn objection(&self, owed: &Owed<'_>, told: &[usize], truth: &Cluster) -> Option<String> {
        let from = owed.task.from?;
        let known = self.known.get(&from)?;
        let shows_it = known
            .newest
            .as_ref()
            .is_some_and(|shown| shown.role == Role::Primary && shown.system == Some(self.system));
        let looked_at = |server: usize| owed.looked_at.iter().any(|(s, writes, _)| *s == server && *writes);
        if !owed.task.planned && (known.silences == 0 && shows_it || looked_at(known.server)) {
            return Some(format!("the old primary, {from}, answers"));
        }
        let (_, branch) = self.reigns.values().rfind(|(node, _)| *node == from)?;
        let old = truth.wal.timeline((*branch)?);
        let probed = self.known.values().filter(|known| !known.left).filter_map(|known| {
            let shown = known.newest.as_ref().filter(|shown| shown.system == Some(self.system))?;
            Some((known.server, false, shown.timeline?))
        });
        let mut all = probed.chain(owed.looked_at.iter().copied());
        let overtakes = |&(server, writes, timeline): &(usize, bool, u32)| {
            !told.contains(&server) && (timeline > old || timeline == old && writes && server != known.server)
        };
        all.find(overtakes).map(|(server, ..)| format!("db{server} takes writes or is on a newer timeline"))
    }

    /// What was shown of timelines on which nobody was a primary does not count any more.
    pub(in crate::simulation) fn retracted(&mut self, now: Moment, of: Option<NodeId>, all: bool) {
        for (id, known) in &mut self.known {
            let Some(shown) = known.newest.as_mut().filter(|_| all || of == Some(*id)) else { continue };
            let begun = shown.role == Role::Replica && shown.timeline > self.established;
            if begun {
                shown.timeline = None;
            }
            if begun || of == Some(*id) {
                shown.asked_at = shown.asked_at.max(now);
            }
        }
        let shown = self.known.values().filter_map(|known| known.newest.as_ref());
        let ours = shown.filter(|shown| shown.system == Some(self.system)).filter_map(|shown| shown.timeline);
        self.highest = ours.max().max(self.established);
    }

    fn may_order(
        &self,
        now: Moment,
        target: NodeId,
        primary: Option<NodeId>,
        topology: &Topology,
    ) -> Result<(), String> {
        if !self.may_promote() {
            return Err(format!("the mode is {:?}", self.policy.mode));
        }
        let primary = primary.ok_or("there is no primary to replace")?;
        let silences = self.known.get(&primary).map_or(0, |known| known.silences);
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
                    *id != primary && matches!(node.health, HealthState::Healthy | HealthState::Degraded)
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
        // Who takes over in the end, a closer look tells.
        Ok(())
    }
}
