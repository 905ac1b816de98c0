//! The one owner of mutable state: events in, effects out.
//!
//! ```text
//! probe answers ─┐
//! faults ────────┼─ Event ─▶ World::apply(event, now) ─▶ Effect: publish, probe now, promote, report
//! operators ─────┘
//! ```
//!
//! A world has no clock, no task, no connection and no randomness. Give two worlds the same events at the same
//! moments, and they do the same: the simulation runs thousands of failovers a second through it, and every
//! question of the kind "why is this node down?" has its answer here and nowhere else.

use std::sync::Arc;

use crate::config::Config;
use crate::engine::{Fault, Log, Observation};
use crate::failover::Decision;
use crate::health::{Change, Health, Signal};
use crate::lag::{LagLevel, LagSummary, PrimaryTimeline, ReplicaLag};
use crate::position::{Lsn, Position, Timeline};
use crate::time::Moment;
use crate::topology::{Epoch, Formers, NoPrimary, NodeId, Quarantine, Role, Rules, Topology};

mod event;
mod identity;
mod memory;
mod node;
mod notice;
mod primary;
mod promotion;
mod rules;
mod timelines;
mod twins;

pub use event::{Effect, Event};
pub use memory::{Memory, UnreadableMemory};
pub use node::NodeSpec;
pub use notice::{Notice, Severity, Subject, Turn};

use identity::Identity;
use memory::Recall;
use node::NodeState;
use rules::rules;
use timelines::History;

/// All that is known about the nodes, and the rules that apply to them.
#[derive(Clone, Debug)]
pub struct World {
    config: Config,
    rules: Rules,
    nodes: Vec<NodeState>,
    history: History,
    /// Which database of which cluster is ours, once it is known.
    identity: Option<Identity>,
    primary: Result<NodeId, NoPrimary>,
    /// Of the accepted primary, or of the last one.
    primary_timeline: Option<Timeline>,
    /// The accepted primary, or the last one, which may have left.
    last_primary: Option<(NodeId, Arc<str>)>,
    positions: PrimaryTimeline,
    formers: Formers,
    epoch: Epoch,
    last_failover: Option<Moment>,
    /// After an attempt that changed nothing, the next one is worth it from then on.
    retry_at: Moment,
    /// Such attempts in a row.
    attempts: u32,
    /// This process holds the lease.
    lease: bool,
    /// A promotion is under way.
    undertaken: bool,
    /// Who is to take over in it, once writes are held for that.
    promoting: Option<NodeId>,
    /// The primary that nobody is to write to meanwhile. Whoever else becomes the primary may be written to.
    held: Option<NodeId>,
    /// A node that was told to take over, and nobody knows whether it has.
    in_doubt: Option<NodeId>,
    decision: Decision,
    panicking: bool,
    recall: Recall,
}

impl World {
    /// A world without nodes, under these rules.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            rules: rules(&config),
            nodes: Vec::new(),
            history: History::default(),
            identity: None,
            primary: Err(NoPrimary::NotFound),
            primary_timeline: None,
            last_primary: None,
            positions: PrimaryTimeline::new(),
            formers: Formers::default(),
            epoch: Epoch::default(),
            last_failover: None,
            retry_at: Moment::ORIGIN,
            attempts: 0,
            lease: false,
            undertaken: false,
            promoting: None,
            held: None,
            in_doubt: None,
            decision: Decision::Stay,
            panicking: false,
            recall: Recall::default(),
            config,
        }
    }

    /// Takes in an event and says what is to be done. An event about a node that is not (or no longer) there is
    /// nothing.
    #[must_use]
    pub fn apply(&mut self, event: Event, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Joined(id, spec) => self.join(id, spec, now, &mut effects),
            Event::Relabelled(id, spec) => {
                if let Some(node) = self.nodes.iter_mut().find(|n| n.id == id) {
                    node.spec = spec;
                }
            }
            Event::Draining(id) => self.drain(id, &mut effects),
            Event::Left(id) => self.leave(id, &mut effects),
            Event::Answered { node, asked_at, seen } => {
                self.answered(node, asked_at, seen, now, &mut effects)
            }
            Event::Silent { node } => {
                self.silent(node, now);
                self.signal(node, Signal::ProbeFailed, now, &mut effects);
                self.call_witnesses(node, &mut effects);
            }
            Event::Faulted { node, fault, run } => self.faulted(node, fault, run, now, &mut effects),
            Event::Heard { timeline, written } => self.heard(timeline, written, &mut effects),
            Event::Lease(held) => self.lease = held,
            Event::Undertaken => self.undertaken = true,
            Event::Promoting { to } => self.hold(to, &mut effects),
            Event::Promoted { sent, in_doubt } => self.promotion_ended(sent, in_doubt, now, &mut effects),
            Event::Fenced(node) => self.fenced(node, now, &mut effects),
            Event::Cleared => self.clear_doubt(now, &mut effects),
            Event::Tick => {
                let ids: Vec<NodeId> = self.nodes.iter().map(|n| n.id).collect();
                ids.into_iter().for_each(|id| self.signal(id, Signal::Tick, now, &mut effects));
            }
        }
        self.settle_primary(now, &mut effects);
        self.consider_failover(now, &mut effects);
        self.memorise(&mut effects);
        self.ring_lag_alerts(now, &mut effects);
        let topology = self.topology(now);
        if topology.panicking() != self.panicking {
            self.panicking = topology.panicking();
            effects.push(Effect::Report(Notice::Panic(self.panicking)));
        }
        effects.push(Effect::Publish(Arc::new(topology)));
        effects
    }

    /// What is known at `now`, as one immutable value.
    #[must_use]
    pub fn topology(&self, now: Moment) -> Topology {
        let facts = self.nodes.iter().map(|n| n.facts(&self.config, self.primary == Ok(n.id), now));
        let (facts, primary) = (facts.collect(), self.writable());
        Topology::assemble(self.epoch, facts, primary, self.rules.clone())
            .of_system(self.identity.as_ref().map(Identity::system))
            .after(self.formers.clone(), self.primary_timeline)
            .began(self.primary_timeline.and_then(|timeline| self.history.began(timeline)))
    }

    /// The lag of a replica over the last samples, and its alert level.
    #[must_use]
    pub fn lag(&self, node: NodeId) -> Option<(LagSummary, LagLevel)> {
        let state = self.nodes.iter().find(|n| n.id == node)?;
        state.lag.summary().map(|summary| (summary, state.lag.level()))
    }

    /// The decision about the primary that is in force.
    #[must_use]
    pub const fn decision(&self) -> &Decision {
        &self.decision
    }

    fn join(&mut self, id: NodeId, spec: NodeSpec, now: Moment, effects: &mut Vec<Effect>) {
        if self.nodes.iter().any(|n| n.id == id || n.spec.name == spec.name) {
            return;
        }
        effects.push(Effect::Report(Notice::Joined { node: Arc::clone(&spec.name) }));
        let mut health = Health::new();
        health.start_slowly(now);
        self.nodes.push(NodeState {
            id,
            spec,
            health,
            seen: None,
            sampled_at: None,
            applied: None,
            ceiling: None,
            reach: None,
            shown: None,
            came_from: [None; 2],
            standby_at: None,
            steady_since: Moment::ORIGIN,
            lag: ReplicaLag::new(&self.config.lag),
            draining: false,
            twin: None,
            claim_quarantine: None,
            history_quarantine: None,
        });
    }

    fn drain(&mut self, id: NodeId, effects: &mut Vec<Effect>) {
        if let Some(node) = self.nodes.iter_mut().find(|n| n.id == id && !n.draining) {
            node.draining = true;
            effects.push(Effect::Report(Notice::Draining { node: Arc::clone(&node.spec.name) }));
        }
    }

    fn leave(&mut self, id: NodeId, effects: &mut Vec<Effect>) {
        if let Some(index) = self.index(id) {
            let node = self.nodes.remove(index);
            effects.push(Effect::Report(Notice::Left { node: node.spec.name }));
        }
    }

    fn answered(
        &mut self,
        id: NodeId,
        asked_at: Moment,
        mut seen: Observation,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        self.signal(id, Signal::ProbeOk, now, effects);
        let Some(index) = self.index(id) else { return };
        let node = &mut self.nodes[index];
        if node.spec.mirror {
            seen.role = Role::Replica;
            seen.receiving = Some(true);
        }
        if node.sampled_at.is_some_and(|newest| asked_at < newest) {
            return;
        }
        // It was started since, perhaps with other data; so was whoever was a primary and is a replica.
        let is_another = |old: &Observation| {
            old.started != seen.started || (old.role, seen.role) == (Role::Primary, Role::Replica)
        };
        if node.seen.as_ref().is_some_and(is_another) {
            node.forget_descent(now);
        }
        let role_changed = node.seen.as_ref().is_some_and(|old| old.role != seen.role);
        if role_changed {
            node.lag.reset(&self.config.lag);
            node.forget_samples();
            node.steady_since = now;
            node.health.start_slowly(now);
            effects.push(Effect::ProbeAll);
        }
        if node.seen.is_none() && seen.unprivileged && seen.role == Role::Replica {
            effects.push(Effect::Report(Notice::Unprivileged { node: Arc::clone(&node.spec.name) }));
        }
        node.sampled_at = Some(asked_at);
        node.seen = Some(seen);
        self.settle_primary(now, effects);
        if self.nodes[index].seen.as_ref().is_some_and(|seen| self.is_ours(seen)) {
            self.nodes[index].remember_descent();
        }
        self.place(index, now, effects);
    }

    /// Whoever issued the token knew its cluster as well as we do, so that is as good as having seen it.
    fn heard(&mut self, timeline: Timeline, written: bool, effects: &mut Vec<Effect>) {
        let known = if written { self.history.established() } else { self.history.highest() };
        if self.identity.is_none() || known >= Some(timeline) {
            return;
        }
        let is_news = self.history.highest() < Some(timeline);
        match written {
            true => self.history.establish(timeline),
            false => self.history.reached(timeline),
        }
        if is_news {
            effects.push(Effect::Report(Notice::TimelineHeard { timeline }));
            effects.push(Effect::ProbeAll);
        }
    }

    /// What answers next under this name may be another server.
    fn silent(&mut self, id: NodeId, now: Moment) {
        if let Some(node) = self.nodes.iter_mut().find(|n| n.id == id) {
            node.forget_descent(now);
        }
    }

    /// Works out what a node has certainly applied, now that it is known who is the primary.
    fn place(&mut self, index: usize, now: Moment, effects: &mut Vec<Effect>) {
        let is_primary = self.primary == Ok(self.nodes[index].id);
        let ours = self.nodes[index].seen.as_ref().is_some_and(|seen| self.is_ours(seen));
        let node = &mut self.nodes[index];
        let (Some(seen), Some(asked_at)) = (&node.seen, node.sampled_at) else { return };
        let mut quarantine = None;
        let mut ceiling = Some(None);
        let applied = match &seen.log {
            // Positions of two clusters can be compared, and that means nothing.
            _ if !ours => None,
            Log::Set(position) => position.clone(),
            Log::Postgres { lsn: None, .. } => None,
            Log::Postgres { lsn: Some(lsn), timeline, .. } if is_primary => {
                timeline.map(|timeline| Position::Postgres(self.history.position(timeline, *lsn)))
            }
            Log::Postgres { .. } if seen.role == Role::Primary => None,
            Log::Postgres { lsn: Some(lsn), timeline, .. } => {
                // Whoever covers one byte more has the whole record that follows.
                let reach =
                    |applying| if applying { Lsn::from_u64(lsn.as_u64().saturating_add(1)) } else { *lsn };
                ceiling = seen.applying.map(|applying| self.history.ceiling(reach(applying), *timeline));
                let applied = self.history.applied(*lsn, *timeline);
                // It may have followed the present history, where it receives something and nobody may see what.
                let may_follow = seen.receiving == Some(true) && (seen.unprivileged || node.spec.mirror);
                if applied.beyond_fork && !may_follow {
                    quarantine = Some(Quarantine::BeyondFork);
                }
                applied.position.map(Position::Postgres)
            }
        };
        // A node that has less than before, or may have, was rebuilt or rewound: what was known of its past is void.
        let shrank = |old: &Position| applied.as_ref().is_none_or(|new| !new.covers(old));
        if node.applied.as_ref().is_some_and(shrank) {
            node.steady_since = now;
            node.lag.reset(&self.config.lag);
        }
        let ceiling = ceiling.and_then(|ceiling| ceiling.map(Position::Postgres).or_else(|| applied.clone()));
        node.note_sample(asked_at, applied.clone(), ceiling);
        if let Some(applied) = applied {
            if is_primary {
                self.positions.record(asked_at, applied);
                for replica in self.nodes.iter_mut().filter(|n| n.role() == Role::Replica) {
                    if let Some(applied) = &replica.applied {
                        replica.lag.compare(applied, &self.positions);
                    }
                }
            } else {
                node.lag.observe(&applied, &self.positions, now);
            }
        }
        let before = self.nodes[index].quarantine();
        self.nodes[index].history_quarantine = quarantine;
        self.report_quarantine(index, before, effects);
    }

    fn faulted(&mut self, id: NodeId, fault: Fault, run: u32, now: Moment, effects: &mut Vec<Effect>) {
        if fault.is_alarming() {
            effects.push(Effect::ProbeAll);
        }
        if fault.breaks_connections()
            && let Some(node) = self.nodes.iter_mut().find(|n| n.id == id)
        {
            node.steady_since = now;
        }
        if fault.counts() {
            self.signal(id, Signal::Faults(run), now, effects);
        }
    }

    fn signal(&mut self, id: NodeId, signal: Signal, now: Moment, effects: &mut Vec<Effect>) {
        let may_eject = self.may_eject(id);
        let Some(node) = self.nodes.iter_mut().find(|n| n.id == id) else { return };
        let change = node.health.step(signal, may_eject, &self.config.health, now);
        let node = Arc::clone(&node.spec.name);
        let notice = match change {
            None => return,
            Some(Change::State(from, to)) => Notice::Health { node, from, to },
            Some(Change::Ejected(until)) => Notice::Ejected { node, for_: until.since(now) },
            Some(Change::Readmitted) => Notice::Readmitted { node },
        };
        effects.push(Effect::Report(notice));
    }

    /// The floor: at most so large a share of the replicas that answer is ejected, and the primary never is.
    fn may_eject(&self, id: NodeId) -> bool {
        let answering = || self.nodes.iter().filter(|n| n.is_answering_replica());
        let ejected = answering().filter(|n| n.health.is_ejected()).count();
        answering().any(|n| n.id == id)
            && (ejected + 1) * 100 <= answering().count() * usize::from(self.config.health.max_ejected.get())
    }

    fn ring_lag_alerts(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        for node in self.nodes.iter_mut().filter(|n| n.role() == Role::Replica) {
            let Some((from, to)) = node.lag.alert(&self.config.lag, now) else { continue };
            let staleness = node.lag.staleness(now).unwrap_or_default();
            let node = Arc::clone(&node.spec.name);
            effects.push(Effect::Report(Notice::Lag { node, from, to, staleness }));
        }
    }

    fn index(&self, id: NodeId) -> Option<usize> {
        self.nodes.iter().position(|n| n.id == id)
    }

    fn name(&self, id: NodeId) -> Arc<str> {
        self.index(id).map_or_else(|| "?".into(), |index| Arc::clone(&self.nodes[index].spec.name))
    }
}

#[cfg(test)]
mod tests;
