//! Who is the primary, and who only says so.

use std::sync::Arc;

use super::notice::Notice;
use super::{Effect, World};
use crate::engine::{Log, Observation};
use crate::failover::{self, Claim};
use crate::lag::PrimaryTimeline;
use crate::position::Timeline;
use crate::time::Moment;
use crate::topology::{Epoch, Former, NoPrimary, NodeId, Quarantine, Role};

pub(super) const fn timeline_of(seen: &Observation) -> Option<Timeline> {
    match seen.log {
        Log::Postgres { timeline, .. } => timeline,
        Log::Set(_) => None,
    }
}

impl World {
    /// Works out who is the primary, and begins a new epoch when that is somebody else than before.
    pub(super) fn settle_primary(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let highest = self.history.highest();
        self.learn_identity();
        self.recall(effects);
        let believed = !self.awaits_identity();
        // A mirror is a second look at a server, and is said to be what it is not.
        for node in self.nodes.iter().filter(|node| !node.spec.mirror) {
            let seen = node.seen.as_ref().filter(|seen| believed && self.is_ours(seen));
            let Some((seen, timeline)) = seen.and_then(|seen| Some((seen, timeline_of(seen)?))) else {
                continue;
            };
            // Whoever receives has somebody to receive from.
            match seen.role == Role::Primary || seen.receiving == Some(true) {
                true => self.history.establish(timeline),
                false => self.history.reached(timeline),
            }
        }
        self.settle_twins(now);
        let claims = self.nodes.iter().filter(|node| node.twin.is_none()).filter_map(|node| {
            let seen = node.seen.as_ref().filter(|seen| believed && self.is_ours(seen))?;
            let seen = Some(seen).filter(|seen| seen.role == Role::Primary)?;
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
        if let Some(seen) = seen
            && let (Log::Postgres { switch, .. }, Some(timeline), Ok(id)) = (seen.log, timeline, &verdict)
        {
            let parent = self.index(*id).and_then(|index| self.nodes[index].parent(timeline));
            self.history.primary(timeline, switch, parent);
        }
        self.enthrone(verdict, timeline, now, effects);
        if self.history.highest() != highest {
            // Whoever shows an older timeline may have followed to this one.
            self.place_all(now, effects);
        }
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
        let from =
            self.last_primary.as_ref().filter(|_| self.primary.is_ok()).map(|(_, name)| Arc::clone(name));
        let to = verdict.as_ref().ok().map(|id| self.name(*id));
        if let Err(NoPrimary::SplitBrain { first, second }) = &verdict {
            let (first, second) = (Arc::clone(first), Arc::clone(second));
            effects.push(Effect::Report(Notice::SplitBrain { first, second }));
        }
        if let Ok(id) = verdict {
            self.epoch = self.epoch.next();
            // The node in doubt has taken over, or has been left behind by somebody who has.
            if self.in_doubt == Some(id) || timeline > self.primary_timeline {
                self.in_doubt = None;
            }
            // The first primary that is ever known is no failover.
            if self.epoch > Epoch::new(1) {
                self.last_failover = Some(now);
            }
            if let Some(index) = self.index(id) {
                // Freshness is about one primary's commits: what of it holds for the new one's as well?
                let same_node = self.last_primary.as_ref().is_some_and(|(last, _)| *last == id);
                if !same_node || self.primary_timeline != timeline {
                    if self.last_primary.is_some() {
                        let samples = Arc::new(std::mem::take(&mut self.positions));
                        let former = Former { until: now, samples, timeline: self.primary_timeline };
                        self.formers = self.formers.and(former);
                    }
                    let limit = self.nodes[index].descends_since(self.primary_timeline, timeline);
                    self.nodes.iter_mut().for_each(|node| node.lag.limit(limit));
                }
                self.nodes[index].health.start_slowly(now);
                self.nodes[index].lag.reset(&self.config.lag);
            }
            self.last_primary = Some((id, self.name(id)));
            // Moments of the old primary's samples say nothing about what the new one had.
            self.positions = PrimaryTimeline::new();
        }
        self.primary = verdict;
        self.primary_timeline = timeline.or(self.primary_timeline);
        effects.push(Effect::Report(Notice::Primary { epoch: self.epoch, from, to }));
        effects.push(Effect::ProbeAll);
        self.place_all(now, effects);
    }

    pub(super) fn place_all(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        for index in 0..self.nodes.len() {
            self.place(index, now, effects);
        }
    }

    fn quarantine_claimants(&mut self, claimants: &[(NodeId, Quarantine)], effects: &mut Vec<Effect>) {
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            let before = node.quarantine();
            let foreign = node.seen.as_ref().and_then(|seen| self.foreign(seen));
            let claim = claimants.iter().find(|(id, _)| *id == node.id).map(|(_, why)| *why);
            let twin = node.twin.map(|_| Quarantine::SameServer);
            self.nodes[index].claim_quarantine = foreign.or(twin).or(claim);
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
}
