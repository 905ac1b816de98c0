//! Every reason for a refusal has a scene that brings about exactly that one; and every rule of choosing a table.

use std::time::Duration;

use super::*;
use crate::config::GroupConfig;
use crate::consistency::Consistency;
use crate::position::{Lsn, PgPosition, Position, Timeline};
use crate::session::Session;
use crate::topology::{Epoch, Group, HealthState, NoPrimary, Node, Quarantine, Role, Rules};

mod glances;
mod refusals;
mod rules;

/// The time of every request.
const NOW: Moment = Moment::from_millis(10_000);

/// A primary (node 0) and two replicas (1 and 2), all healthy and at 100; the replicas 50 ms old.
struct Scene {
    nodes: Vec<Node>,
    primary: Result<NodeId, NoPrimary>,
    groups: Vec<Group>,
    spill: Spill,
    panic_threshold: u8,
}

/// What is asked.
#[derive(Clone)]
struct Question {
    requirement: Requirement,
    preference: ReadPreference,
    group: Option<&'static str>,
    tried: Vec<NodeId>,
}

impl Scene {
    fn new() -> Self {
        let node = |number: u32| {
            let role = if number == 0 { Role::Primary } else { Role::Replica };
            let mut node = Node::new(NodeId::new(number), &format!("n{number}"), "h:1", role);
            node.health = HealthState::Healthy;
            node.applied = Some(at(100));
            node.ceiling = Some(at(100));
            node.sampled_at = Some(NOW - Duration::from_millis(20));
            node.fresh_as_of = Some(NOW - Duration::from_millis(50));
            node
        };
        Self {
            nodes: (0..3).map(node).collect(),
            primary: Ok(NodeId::new(0)),
            groups: Vec::new(),
            spill: Spill::default(),
            panic_threshold: 50,
        }
    }

    /// One more replica.
    fn and(mut self, change: impl FnOnce(&mut Node)) -> Self {
        let mut node = self.nodes[1].clone();
        node.id = NodeId::new(u32::try_from(self.nodes.len()).unwrap());
        change(&mut node);
        self.nodes.push(node);
        self
    }

    fn with(mut self, node: usize, change: impl FnOnce(&mut Node)) -> Self {
        change(&mut self.nodes[node]);
        self
    }

    fn group(mut self, name: &str, rules: GroupConfig) -> Self {
        self.groups.push(Group::new(name, rules.fallback, rules.exclusive));
        self
    }

    fn spill(mut self, spill: Spill) -> Self {
        self.spill = spill;
        self
    }

    fn without_primary(mut self) -> Self {
        self.primary = Err(NoPrimary::NotFound);
        self.nodes.remove(0);
        self
    }

    fn topology(&self) -> Topology {
        let rules = Rules::new(self.groups.clone().into(), self.spill, self.panic_threshold);
        Topology::assemble(Epoch::new(1), self.nodes.clone(), self.primary.clone(), rules)
    }

    /// Which nodes may serve, and which role they are chosen in.
    fn select(&self, question: &Question) -> (&'static str, Vec<u32>) {
        let topology = self.topology();
        let selected = question.ask(|ask| ask.select(&topology));
        let number = |index: usize| topology.nodes()[index].id.number();
        match selected {
            Selected::Among(set) => ("among", set.iter().map(number).collect()),
            Selected::Primary(index) => ("primary", vec![number(index)]),
            Selected::Fallback(index) => ("fallback", vec![number(index)]),
            Selected::Nowhere => ("nowhere", vec![]),
        }
    }

    fn chosen(&self, question: &Question) -> Vec<u32> {
        self.select(question).1
    }

    /// Why this node was refused; `None` when it was chosen.
    fn refused(&self, question: &Question, node: u32) -> Option<Rejection> {
        let topology = self.topology();
        let rejections = question.ask(|ask| ask.rejections(&topology));
        let mut of_node = rejections.into_iter().filter(|(id, _)| id.number() == node).map(|(_, why)| why);
        let reason = of_node.next();
        assert_eq!(of_node.next(), None, "one reason at most");
        assert_eq!(
            reason.is_none(),
            self.chosen(question).contains(&node),
            "refused and chosen do not agree"
        );
        reason
    }
}

impl Question {
    fn ask<T>(&self, look: impl FnOnce(&Ask<'_>) -> T) -> T {
        let mut ask = Ask::new(&self.requirement, NOW);
        ask.preference = self.preference;
        ask.group = self.group;
        ask.tried = &self.tried;
        look(&ask)
    }
}

/// A read that prefers replicas and must see what `requirement` says.
fn read(requirement: Requirement) -> Question {
    Question { requirement, preference: ReadPreference::ReplicaPreferred, group: None, tried: vec![] }
}

fn any() -> Question {
    read(Requirement::NONE)
}

fn prefer(preference: ReadPreference) -> Question {
    Question { preference, ..any() }
}

fn group(name: &'static str) -> Question {
    Question { group: Some(name), ..any() }
}

fn tried(nodes: &[u32]) -> Question {
    Question { tried: nodes.iter().map(|number| NodeId::new(*number)).collect(), ..any() }
}

fn after(millis: u64) -> Question {
    read(Requirement { after: Some(Moment::from_millis(millis)), ..Requirement::NONE })
}

fn at(lsn: u64) -> Position {
    Position::Postgres(PgPosition::new(Timeline::FIRST, Lsn::from_u64(lsn)))
}

fn limit(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const ANALYTICS: u64 = 1;
