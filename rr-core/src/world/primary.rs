//! Who is the primary, who only says so, and whether somebody is to take over.

use std::sync::Arc;

use super::notice::Notice;
use super::{Effect, World};
use crate::engine::{Log, Observation};
use crate::failover::{self, Claim, Decision, PrimaryView, ReplicaView, Situation};
use crate::lag::PrimaryTimeline;
use crate::position::Timeline;
use crate::time::Moment;
use crate::topology::{Epoch, NoPrimary, NodeId, Quarantine, Role};

impl World {
    /// Works out who is the primary, and begins a new epoch when that is somebody else than before.
    pub(super) fn settle_primary(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let timeline_of = |seen: &Observation| match seen.log {
            Log::Postgres { timeline, .. } => timeline,
            Log::Set(_) => None,
        };
        for node in &self.nodes {
            if let Some(timeline) = node.seen.as_ref().filter(|seen| self.is_ours(seen)).and_then(timeline_of)
            {
                self.history.reached(timeline);
            }
        }
        let claims = self.nodes.iter().filter_map(|node| {
            let seen = node.seen.as_ref().filter(|seen| seen.role == Role::Primary && self.is_ours(seen))?;
            let alive = node.health.failures() < self.config.health.down_after;
            Some(Claim::new(node.id, timeline_of(seen), alive))
        });
        let claims: Vec<Claim> = claims.collect();
        let accepted = failover::accept(&claims, self.history.highest());
        let verdict = match (accepted.primary, accepted.split) {
            (Some(id), _) => Ok(id),
            (None, Some((first, second))) => {
                Err(NoPrimary::SplitBrain { first: self.name(first), second: self.name(second) })
            }
            (None, None) => self.presumed_primary().ok_or(NoPrimary::NotFound),
        };
        self.quarantine_claimants(&accepted.quarantined, effects);
        let seen =
            verdict.as_ref().ok().and_then(|id| self.index(*id)).and_then(|i| self.nodes[i].seen.clone());
        let timeline = seen.as_ref().and_then(timeline_of);
        if let Some(seen) = seen {
            self.system = self.system.or(seen.system);
            if let (Log::Postgres { switch, .. }, Some(timeline), Ok(id)) = (seen.log, timeline, &verdict) {
                let came_from = self.index(*id).and_then(|index| self.nodes[index].came_from);
                self.history.primary(timeline, switch, came_from);
            }
        }
        self.enthrone(verdict, timeline, now, effects);
    }

    fn enthrone(
        &mut self,
        verdict: Result<NodeId, NoPrimary>,
        timeline: Option<Timeline>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let promoted_in_place =
            timeline.is_some() && self.primary_timeline.is_some_and(|old| timeline > Some(old));
        if verdict == self.primary && !promoted_in_place {
            self.primary_timeline = timeline.or(self.primary_timeline);
            return;
        }
        let name = |id: &Result<NodeId, NoPrimary>| {
            id.as_ref()
                .ok()
                .and_then(|id| self.nodes.iter().find(|n| n.id == *id))
                .map(|n| Arc::clone(&n.spec.name))
        };
        let (from, to) = (name(&self.primary), name(&verdict));
        if let Err(NoPrimary::SplitBrain { first, second }) = &verdict {
            let (first, second) = (Arc::clone(first), Arc::clone(second));
            effects.push(Effect::Report(Notice::SplitBrain { first, second }));
        }
        if let Ok(id) = verdict {
            self.epoch = self.epoch.next();
            // The first primary that is ever known is no failover.
            if self.epoch > Epoch::new(1) {
                self.last_failover = Some(now);
            }
            if let Some(index) = self.index(id) {
                self.nodes[index].health.start_slowly(now);
                self.nodes[index].lag.reset(&self.config.lag);
            }
            // Moments of the old primary's samples say nothing about what the new one had.
            self.positions = PrimaryTimeline::new();
        }
        self.primary = verdict;
        self.primary_timeline = timeline.or(self.primary_timeline);
        effects.push(Effect::Report(Notice::Primary { epoch: self.epoch, from, to }));
        effects.push(Effect::ProbeAll);
        for index in 0..self.nodes.len() {
            self.place(index, now, effects);
        }
    }

    /// While nobody has claimed anything, the node that the configuration calls the primary and that was never seen
    /// is taken at its word: a write to it fails by itself, with the driver's own message.
    fn presumed_primary(&self) -> Option<NodeId> {
        let unseen = self.nodes.iter().find(|n| n.spec.expected == Role::Primary && n.seen.is_none())?;
        let claimed =
            self.nodes.iter().any(|n| n.seen.as_ref().is_some_and(|seen| seen.role == Role::Primary));
        (!claimed && self.system.is_none()).then_some(unseen.id)
    }

    fn is_ours(&self, seen: &Observation) -> bool {
        match (self.system, seen.system) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => true,
        }
    }

    fn quarantine_claimants(&mut self, claimants: &[(NodeId, Quarantine)], effects: &mut Vec<Effect>) {
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            let before = node.quarantine();
            let foreign = node.seen.as_ref().is_some_and(|seen| !self.is_ours(seen));
            let claim = claimants.iter().find(|(id, _)| *id == node.id).map(|(_, why)| *why);
            self.nodes[index].claim_quarantine =
                if foreign { Some(Quarantine::ForeignCluster) } else { claim };
            self.report_quarantine(index, before, effects);
        }
    }

    pub(super) fn report_quarantine(
        &self,
        index: usize,
        before: Option<Quarantine>,
        effects: &mut Vec<Effect>,
    ) {
        let node = Arc::clone(&self.nodes[index].spec.name);
        match (before, self.nodes[index].quarantine()) {
            (old, Some(why)) if old != Some(why) => {
                effects.push(Effect::Report(Notice::Quarantined { node, why }));
            }
            (Some(_), None) => effects.push(Effect::Report(Notice::Released { node })),
            _ => {}
        }
    }

    pub(super) fn consider_failover(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let replicas: Vec<ReplicaView> = self
            .nodes
            .iter()
            .filter(|n| n.role() == Role::Replica && self.primary != Ok(n.id))
            .map(|n| {
                let mut view = ReplicaView::new(n.id, n.applied.clone());
                view.health = n.health.state();
                view.priority = n.spec.priority;
                view.receiving = n.seen.as_ref().and_then(|seen| seen.receiving);
                view.barred = n.draining || n.quarantine().is_some();
                view
            })
            .collect();
        let primary = self.primary.as_ref().ok().and_then(|id| self.index(*id)).map(|index| {
            let node = &self.nodes[index];
            PrimaryView::new(node.id, node.health.failures(), node.applied.clone())
        });
        let mut situation = Situation::new(primary, &replicas);
        situation.split_brain = matches!(self.primary, Err(NoPrimary::SplitBrain { .. }));
        situation.last_failover = self.last_failover;
        let decision = failover::decide(&situation, &self.config.failover, now);
        // The countdown of a cooldown is not news.
        if std::mem::discriminant(&decision) == std::mem::discriminant(&self.decision) {
            self.decision = decision;
            return;
        }
        let target = match &decision {
            Decision::Promote(id) | Decision::Propose(id) => Some(self.name(*id)),
            Decision::Stay | Decision::Confirming { .. } | Decision::Blocked(_) => None,
        };
        effects.push(Effect::Report(Notice::Failover { decision: decision.clone(), target }));
        if let Decision::Promote(target) = decision {
            effects.push(Effect::Promote(target));
        }
        self.decision = decision;
    }
}
