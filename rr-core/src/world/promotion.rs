//! Whether somebody is to take over, and what holds while somebody does.

use std::sync::Arc;
use std::time::Duration;

use super::node::NodeState;
use super::notice::Notice;
use super::primary::timeline_of;
use super::{Effect, World};
use crate::config::FailoverMode;
use crate::engine::{Log, Observation};
use crate::failover::{self, Block, Decision, PrimaryView, ReplicaView, Situation, Stop, Task};
use crate::position::Position;
use crate::time::Moment;
use crate::topology::{HealthState, NoPrimary, NodeId, Role};

/// An attempt that has told nobody to take over is worth another one after this, and twice as long after each further one,
/// up to a cooldown: that is for what has happened.
const RETRY: Duration = Duration::from_secs(1);

impl World {
    /// Where writes go: to the accepted primary, unless somebody is about to be one in its place.
    pub(super) fn writable(&self) -> Result<NodeId, NoPrimary> {
        match (self.promoting.or(self.in_doubt), &self.primary) {
            (Some(to), Ok(primary)) if self.held == Some(*primary) => {
                Err(NoPrimary::SwitchingOver { to: self.name(to) })
            }
            _ => self.primary.clone(),
        }
    }

    /// The replicas as an election sees them; `looks` are closer looks, which know more than what was seen last.
    #[must_use]
    pub fn candidates(&self, looks: &[(NodeId, Observation)]) -> Vec<ReplicaView> {
        let look = |id| looks.iter().find(|(node, _)| *node == id).map(|(_, seen)| seen);
        let replicas = self.nodes.iter().filter(|node| self.primary != Ok(node.id));
        let views = replicas.filter_map(|node| {
            let seen = look(node.id).or(node.seen.as_ref());
            if seen.map_or(node.spec.expected, |seen| seen.role) != Role::Replica {
                return None;
            }
            let ours = seen.is_some_and(|seen| self.is_ours(seen));
            let applied = match (look(node.id), &node.applied) {
                (Some(seen), _) => ours.then(|| self.applied_of(seen)).flatten(),
                (None, applied) => applied.clone(),
            };
            let mut view = ReplicaView::new(node.id, applied);
            view.received = seen.filter(|_| ours).and_then(|seen| self.received_of(seen));
            view.health = node.health.state();
            view.priority = node.spec.priority;
            view.receiving = seen.and_then(|seen| seen.receiving);
            let lost_its_way = match look(node.id) {
                Some(seen) => self.is_beyond_fork(seen),
                None => node.history_quarantine.is_some(),
            };
            let claims = node.claim_quarantine.is_some();
            view.barred = node.draining || node.spec.mirror || claims || lost_its_way || !ours;
            Some(view)
        });
        views.collect()
    }

    /// Whether somebody may be told to take over in this promotion, as far as nodes and these closer looks show that: the old
    /// primary is gone, and nobody else has promoted anybody meanwhile. `told` are those that were told to take over in it.
    ///
    /// Who is promoted shows the new timeline before it takes writes, and so does whoever follows it.
    ///
    /// # Errors
    /// Why nobody may.
    pub fn check_head(
        &self,
        task: &Task,
        told: &[NodeId],
        looks: &[(NodeId, Observation)],
    ) -> Result<(), Stop> {
        match &self.primary {
            Ok(primary) if task.from.is_some_and(|from| from != *primary) => {
                return Err(Stop::Overtaken(format!("`{}` is the primary now", self.name(*primary))));
            }
            Err(split @ NoPrimary::SplitBrain { .. }) => return Err(Stop::Overtaken(split.to_string())),
            Ok(_) | Err(_) => {}
        }
        let look_at =
            |id| looks.iter().find(|(node, seen)| *node == id && self.is_ours(seen)).map(|(_, seen)| seen);
        let answers = |from| {
            self.head() == Some((from, true)) || look_at(from).is_some_and(|seen| seen.role == Role::Primary)
        };
        if !task.planned && task.from.is_some_and(answers) {
            return Err(Stop::PrimaryIsBack);
        }
        let Some(old) = self.primary_timeline else { return Ok(()) };
        let overtakes = |node: &&NodeState| {
            let seen = look_at(node.id).or(node.seen.as_ref()).filter(|seen| self.is_ours(seen));
            let Some((seen, timeline)) = seen.and_then(|seen| Some((seen, timeline_of(seen)?))) else {
                return false;
            };
            // Somebody has removed its `standby.signal`. Of whom is silent that may have been long ago.
            let takes_writes = seen.role == Role::Primary && look_at(node.id).is_some();
            let was_told = told.iter().any(|id| self.is_same_server(node, *id));
            let is_old = task.from.is_some_and(|from| self.is_same_server(node, from));
            timeline > old && !was_told || timeline >= old && takes_writes && !is_old
        };
        if let Some(node) = self.nodes.iter().filter(|node| !node.spec.mirror).find(overtakes) {
            let what = "takes writes, or is on a newer timeline than the primary was";
            return Err(Stop::Overtaken(format!("`{}` {what}", node.spec.name)));
        }
        // A token speaks of it, or a node that has left.
        match self.history.highest() {
            Some(highest) if told.is_empty() && highest > old => {
                Err(Stop::Overtaken(format!("there is a timeline {highest} already")))
            }
            _ => Ok(()),
        }
    }

    /// The newest position known of the accepted primary.
    #[must_use]
    pub fn last_known(&self) -> Option<Position> {
        let primary = self.primary.as_ref().ok().and_then(|id| self.index(*id))?;
        self.nodes[primary].applied.clone()
    }

    /// The accepted primary or the last one, whether or not writes are held, and whether it answers.
    #[must_use]
    pub fn head(&self) -> Option<(NodeId, bool)> {
        let id = *self.primary.as_ref().ok()?;
        let node = &self.nodes[self.index(id)?];
        Some((id, node.health.failures() == 0 && node.health.state() != HealthState::Unknown))
    }

    fn applied_of(&self, seen: &Observation) -> Option<Position> {
        match &seen.log {
            Log::Set(position) => position.clone(),
            Log::Postgres { lsn, timeline, .. } => {
                self.history.applied((*lsn)?, *timeline).position.map(Position::Postgres)
            }
        }
    }

    fn is_beyond_fork(&self, seen: &Observation) -> bool {
        let Log::Postgres { lsn: Some(lsn), timeline, .. } = seen.log else { return false };
        seen.receiving != Some(true) && self.history.applied(lsn, timeline).beyond_fork
    }

    fn received_of(&self, seen: &Observation) -> Option<Position> {
        match &seen.log {
            Log::Set(_) => None,
            Log::Postgres { timeline, .. } => {
                self.history.applied(seen.received?, *timeline).position.map(Position::Postgres)
            }
        }
    }

    /// When the primary falls silent, the replicas are asked whether they have lost it too: at once, and not when their
    /// turn comes.
    pub(super) fn call_witnesses(&self, silent: NodeId, effects: &mut Vec<Effect>) {
        let policy = &self.config.failover;
        let watchful = matches!(policy.mode, FailoverMode::Supervised | FailoverMode::Automatic);
        let Some(primary) = self.nodes.iter().find(|node| node.id == silent && self.primary == Ok(silent))
        else {
            return;
        };
        if watchful && primary.health.failures() <= policy.confirmations && self.promoting.is_none() {
            let witnesses = self.nodes.iter().filter(|node| node.id != silent).map(|node| node.id);
            effects.push(Effect::Probe(witnesses.collect()));
        }
    }

    pub(super) fn consider_failover(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let replicas = self.candidates(&[]);
        // Whoever was merely taken for the primary, and never seen to be it, is not replaced.
        let primary = self.primary.as_ref().ok().and_then(|id| self.index(*id));
        let primary = primary.map(|index| &self.nodes[index]).filter(|node| node.seen.is_some());
        let primary =
            primary.map(|node| PrimaryView::new(node.id, node.health.failures(), node.applied.clone()));
        let mut situation = Situation::new(primary, &replicas);
        situation.split_brain = matches!(self.primary, Err(NoPrimary::SplitBrain { .. }));
        situation.last_failover = self.last_failover;
        situation.promoting = self.undertaken;
        situation.lease = self.lease;
        situation.in_doubt = self.in_doubt;
        let mut decision = failover::decide(&situation, &self.config.failover, now);
        if matches!(decision, Decision::Promote(_)) && now < self.retry_at {
            decision = Decision::Blocked(Block::Cooldown { left: self.retry_at.since(now) });
        }
        if decision == Decision::Stay {
            self.attempts = 0;
        }
        let news = decision != self.decision;
        let turn = std::mem::discriminant(&decision) != std::mem::discriminant(&self.decision);
        let target = match &decision {
            Decision::Promote(id) | Decision::Propose(id) => Some(*id),
            Decision::Stay | Decision::Confirming { .. } | Decision::Blocked(_) => None,
        };
        // The countdown of a cooldown is not news.
        if turn {
            let target = target.map(|id| self.name(id));
            effects.push(Effect::Report(Notice::Failover { decision: decision.clone(), target }));
        }
        match decision {
            Decision::Promote(target) if turn => {
                self.undertaken = true;
                self.hold(target, effects);
                effects.push(Effect::Promote(target));
            }
            Decision::Propose(target) if news => effects.push(Effect::Propose(target)),
            _ => {}
        }
        self.decision = decision;
    }

    pub(super) fn hold(&mut self, to: NodeId, effects: &mut Vec<Effect>) {
        let name = self.name(to);
        if self.promoting.is_none() && self.in_doubt.is_none() {
            self.held = self.primary.as_ref().ok().copied();
        }
        if self.promoting.replace(to) != Some(to) {
            effects.push(Effect::Report(Notice::Holding { to: name }));
        }
    }

    /// A promotion has ended, one way or another. The accepted primary says by itself when it is a new one.
    pub(super) fn promotion_ended(
        &mut self,
        sent: bool,
        in_doubt: Option<NodeId>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let was = self.promoting.take();
        self.undertaken = false;
        self.in_doubt = in_doubt.filter(|node| self.primary != Ok(*node));
        if sent {
            // Whether it has succeeded or not: a second one on its heels would make two primaries.
            self.last_failover = Some(now);
        }
        let pause = RETRY.saturating_mul(1 << self.attempts.min(10));
        self.retry_at = now + pause.min(self.config.failover.cooldown);
        self.attempts = if sent { 0 } else { self.attempts.saturating_add(1) };
        if was.is_some() && self.in_doubt.is_none() {
            let held = self.held.take();
            if held.is_some_and(|held| self.primary == Ok(held)) {
                effects.push(Effect::Report(Notice::Resumed));
            }
        }
        effects.push(Effect::ProbeAll);
    }

    /// Who is to take over in the promotion under way.
    #[must_use]
    pub const fn promoting(&self) -> Option<NodeId> {
        self.promoting
    }

    /// A node that was told to take over, and nobody knows whether it has.
    #[must_use]
    pub const fn in_doubt(&self) -> Option<NodeId> {
        self.in_doubt
    }

    /// Somebody has looked: whoever was told to take over has not, and will not.
    pub(super) fn clear_doubt(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let node = self.in_doubt.take();
        if self.promoting.is_none() {
            self.held = None;
        }
        self.retract(node, |_| true, now, effects);
    }

    /// It was told to take over and had not, and is fenced.
    pub(super) fn fenced(&mut self, node: NodeId, now: Moment, effects: &mut Vec<Effect>) {
        let names: Vec<NodeId> =
            self.nodes.iter().filter(|other| self.is_same_server(other, node)).map(|node| node.id).collect();
        self.retract(Some(node), |id| names.contains(&id), now, effects);
    }

    /// What these nodes have shown of a timeline on which nobody was ever a primary does not count any more, nor what this one
    /// was asked before. Where one of them shows it again, it does.
    fn retract(
        &mut self,
        node: Option<NodeId>,
        whose: impl Fn(NodeId) -> bool,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let Some(established) = self.history.established() else { return };
        for state in self.nodes.iter_mut().filter(|state| whose(state.id)) {
            let Some(seen) = &mut state.seen else { continue };
            let begun = timeline_of(seen) > Some(established) && seen.role == Role::Replica;
            if let (true, Log::Postgres { timeline, .. }) = (begun, &mut seen.log) {
                *timeline = None;
            }
            if begun || node == Some(state.id) {
                state.sampled_at = state.sampled_at.max(Some(now));
            }
        }
        self.history.retract();
        self.settle_primary(now, effects);
        self.place_all(now, effects);
    }

    /// Whether a timeline is known on which nobody was ever a primary.
    #[must_use]
    pub fn has_begun_timeline(&self) -> bool {
        self.history.established().is_some_and(|established| self.history.highest() > Some(established))
    }

    /// A node's name, or a number when it is gone.
    #[must_use]
    pub fn name_of(&self, id: NodeId) -> Arc<str> {
        self.name(id)
    }
}
