//! The judge: it knows the truth, and what the world was told, and objects when the world's words fit neither.
//!
//! Seven kinds of rules are checked.
//!
//! - **Published topologies** ([`published`]): one primary per epoch, epochs never fall, a primary only on the highest
//!   timeline that was shown, nobody in a split brain; every position and every freshness that is published is true.
//! - **Reads** ([`reads`]): what the chosen node in truth holds includes what the session must see, by the identity of
//!   the commits.
//! - **Choices** ([`choice`]): selection agrees with a plain second telling of its rules.
//! - **Promotions** ([`promotion`]): the world orders one only when its policy allows that.
//! - **Memory** ([`memory`]): what is to outlive the process never shrinks, was seen by somebody, and can be read back.
//! - **Notices** ([`notices`]): people are told every change once, and nothing else than what is published.
//! - **Flights**: in the end nothing is in flight.
//!
//! Where the truth cannot be known from outside, a rule has a documented limit; limits are counted, and each is as
//! narrow as its reason.

use std::collections::BTreeMap;

use rr_core::config::{FailoverMode, FailoverPolicy};
use rr_core::engine::{Log, Observation};
use rr_core::time::Moment;
use rr_core::topology::{Epoch, NodeId, Role};
use rr_core::world::Memory;

use super::plan::Plan;
use super::run::Member;
use super::stats::Limits;
use super::wal::BranchId;

pub(super) mod choice;
mod memory;
mod notices;
pub(super) mod promotion;
mod published;
mod reads;

/// After so many violations a run ends.
const ENOUGH: usize = 5;

/// What lies behind an answer, for the oracle only.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) node: NodeId,
    pub(super) asked_at: Moment,
    pub(super) branch: BranchId,
    pub(super) incarnation: u32,
}

/// What the world was told of a node.
#[derive(Clone, Debug)]
struct Known {
    server: usize,
    left: bool,
    draining: bool,
    /// Probes in a row without an answer.
    silences: u32,
    /// When the world last heard that it did not answer.
    silent_at: Option<Moment>,
    newest: Option<Shown>,
}

/// The newest answer.
#[derive(Clone, Debug)]
struct Shown {
    asked_at: Moment,
    role: Role,
    system: Option<u64>,
    timeline: Option<u32>,
    lsn: Option<u64>,
    receiving: Option<bool>,
    branch: BranchId,
    incarnation: u32,
}

/// Why something could not be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excuse {
    /// Another cluster was taken for ours, or has taken an address of ours.
    Stranger,
    /// The node's data was replaced since it was last seen.
    Replaced,
    /// It has followed a timeline that nobody has shown yet.
    Unseen,
    /// Two branches bear the same number.
    Ambiguous,
}

#[derive(Debug)]
pub(super) struct Oracle {
    known: BTreeMap<NodeId, Known>,
    system: u64,
    down_after: u32,
    policy: FailoverPolicy,
    grace: std::time::Duration,
    /// The highest timeline of our cluster in any answer.
    highest: Option<u32>,
    /// The highest one on which somebody was certainly a primary.
    established: Option<u32>,
    /// Some node has said that it takes writes.
    claimed: bool,
    /// The configured primary has answered or been silent; before that nobody else is believed.
    identified: bool,
    epoch: Epoch,
    /// The primary of each epoch: the node and its branch.
    reigns: BTreeMap<Epoch, (NodeId, Option<BranchId>)>,
    last_failover: Option<Moment>,
    remembered: Option<Memory>,
    /// A promotion is under way, or its end in doubt.
    pub(super) holding: bool,
    told: notices::Told,
    limits: Limits,
    violations: Vec<String>,
}

impl Oracle {
    pub(super) fn new(plan: &Plan, system: u64) -> Self {
        let monitor = &plan.config.monitor;
        Self {
            known: BTreeMap::new(),
            system,
            down_after: plan.config.health.down_after,
            policy: plan.config.failover.clone(),
            grace: (monitor.interval + monitor.timeout) * 3,
            highest: None,
            established: None,
            claimed: false,
            identified: false,
            epoch: Epoch::default(),
            reigns: BTreeMap::new(),
            last_failover: None,
            remembered: None,
            holding: false,
            told: notices::Told::default(),
            limits: Limits::default(),
            violations: Vec::new(),
        }
    }

    pub(super) fn joined(&mut self, node: NodeId, server: usize) {
        let known =
            Known { server, left: false, draining: false, silences: 0, silent_at: None, newest: None };
        self.known.insert(node, known);
    }

    pub(super) fn drained(&mut self, node: NodeId) {
        self.known.entry(node).and_modify(|known| known.draining = true);
    }

    pub(super) fn left(&mut self, node: NodeId) {
        self.known.entry(node).and_modify(|known| known.left = true);
    }

    pub(super) fn silent(&mut self, now: Moment, node: NodeId) {
        self.known.entry(node).and_modify(|known| {
            known.silences += 1;
            known.silent_at = Some(now);
        });
        self.identified |= self.is_configured_primary(node);
    }

    /// Whether the world knows that the server was away since then.
    pub(super) fn missed(&self, server: usize, since: Moment) -> bool {
        let nodes = self.known.values().filter(|known| known.server == server && !known.left);
        nodes.map(|known| known.silent_at).all(|silent_at| silent_at >= Some(since))
    }

    fn is_configured_primary(&self, node: NodeId) -> bool {
        self.known.get(&node).is_some_and(|known| known.server == 0)
    }

    /// An answer is about to be delivered. Whether it was not overtaken by that to a later probe.
    pub(super) fn answered(&mut self, answer: &Answer, seen: &Observation) -> bool {
        self.identified |= self.is_configured_primary(answer.node);
        let Some(known) = self.known.get_mut(&answer.node).filter(|known| !known.left) else { return true };
        known.silences = 0;
        if known.newest.as_ref().is_some_and(|newest| answer.asked_at < newest.asked_at) {
            return false;
        }
        let (timeline, lsn) = match seen.log {
            Log::Postgres { timeline, lsn, .. } => (timeline.map(|t| t.get()), lsn.map(|lsn| lsn.as_u64())),
            _ => (None, None),
        };
        if seen.system == Some(self.system) {
            self.highest = self.highest.max(timeline);
            if seen.role == Role::Primary || seen.receiving == Some(true) {
                self.established = self.established.max(timeline);
            }
            self.claimed |= seen.role == Role::Primary;
        }
        known.newest = Some(Shown {
            asked_at: answer.asked_at,
            role: seen.role,
            system: seen.system,
            timeline,
            lsn,
            receiving: seen.receiving,
            branch: answer.branch,
            incarnation: answer.incarnation,
        });
        true
    }

    /// Nobody does anything any more: no node has anything in flight, not even those that left.
    pub(super) fn landed(&mut self, now: Moment, members: &[Member]) {
        for member in members.iter().filter(|member| member.flights.in_flight() > 0) {
            let (id, count) = (member.id, member.flights.in_flight());
            self.object(now, format!("{count} statements are in flight on {id} in the end"));
        }
    }

    /// A node's data was replaced before a session knew what it had read there.
    pub(super) fn replaced(&mut self) {
        self.limits.replaced_data += 1;
    }

    /// The branch that a node showed last.
    pub(super) fn branch_of(&self, node: NodeId) -> Option<BranchId> {
        Some(self.known.get(&node)?.newest.as_ref()?.branch)
    }

    /// Whether the automatic mode may act.
    fn may_promote(&self) -> bool {
        self.policy.mode == FailoverMode::Automatic && !self.policy.dry_run
    }

    pub(super) fn object(&mut self, now: Moment, what: String) {
        if !self.is_full() {
            self.violations.push(format!("at {now:?}: {what}"));
        }
    }

    pub(super) fn check(&mut self, now: Moment, result: Result<(), String>) {
        if let Err(what) = result {
            self.object(now, what);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.violations.len() >= ENOUGH
    }

    pub(super) fn violations(&self) -> &[String] {
        &self.violations
    }

    pub(super) fn finish(self) -> (Vec<String>, Limits) {
        (self.violations, self.limits)
    }
}
