//! What an operator asks of the worker while it runs.

use tokio::sync::oneshot;

use super::Worker;
use super::promoter::{Approval, Peer};
use crate::config::{Config, NodeConfig};
use crate::connector::Connector;
use crate::engine::Observation;
use crate::error::NodeError;
use crate::failover::{Decision, ReplicaView, Stop, Task};
use crate::position::Position;
use crate::position::Timeline;
use crate::topology::{NodeId, Role};
use crate::world::{Event, NodeSpec, Notice};

/// A request of an operator or of discovery, and where its answer goes. Whoever asked may have stopped listening; it is carried out all the same.
pub(crate) enum Command {
    Add(Box<NodeConfig>, oneshot::Sender<Result<NodeId, NodeError>>),
    Drain(String, oneshot::Sender<Result<(), NodeError>>),
    Remove(String, oneshot::Sender<Result<(), NodeError>>),
    /// Other labels for a node that stays where it is.
    Relabel(Box<NodeConfig>),
    Tell(Notice),
    /// A token speaks of this timeline.
    Heard {
        timeline: Timeline,
        written: bool,
    },
    /// Nobody is to write to the primary, as this node is about to take over.
    Hold(Option<NodeId>, oneshot::Sender<()>),
    /// The replicas as an election sees them after these closer looks, and the newest position of the primary.
    Candidates(Vec<(NodeId, Observation)>, oneshot::Sender<(Vec<ReplicaView>, Option<Position>)>),
    /// Whether anybody may be told to take over, after these looks, and after `told` were.
    CheckHead {
        task: Task,
        told: Vec<NodeId>,
        looks: Vec<(NodeId, Observation)>,
        reply: oneshot::Sender<Result<(), Stop>>,
    },
    /// This node was told to take over, and was fenced.
    Fenced(NodeId, oneshot::Sender<()>),
    Initiate {
        reason: String,
        target: Option<String>,
        force: bool,
        reply: oneshot::Sender<Approval>,
    },
    Approve(u64, oneshot::Sender<Approval>),
    ClearDoubt(oneshot::Sender<bool>),
    Prospects(oneshot::Sender<Prospects>),
}

/// What the world thinks of a failover.
#[derive(Debug)]
pub(crate) struct Prospects {
    pub(crate) peers: Vec<Peer>,
    pub(crate) head: Option<(NodeId, bool)>,
    pub(crate) decision: Decision,
}

impl<C: Connector> Worker<C> {
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Add(node, reply) => {
                drop(reply.send(self.add(*node)));
            }
            Command::Drain(name, reply) => {
                drop(reply.send(self.drain(&name)));
            }
            Command::Remove(name, reply) => {
                drop(reply.send(self.remove(&name)));
            }
            Command::Relabel(node) => self.relabel(*node),
            Command::Tell(notice) => self.report(notice),
            Command::Heard { timeline, written } => self.take(Event::Heard { timeline, written }),
            Command::Hold(to, reply) => {
                if let Some(to) = to {
                    self.take(Event::Promoting { to });
                }
                let _ = reply.send(());
            }
            Command::Candidates(looks, reply) => {
                drop(reply.send((self.world.candidates(&looks), self.world.last_known())));
            }
            Command::CheckHead { task, told, looks, reply } => {
                drop(reply.send(self.world.check_head(&task, &told, &looks)));
            }
            Command::Fenced(node, reply) => {
                self.take(Event::Fenced(node));
                let _ = reply.send(());
            }
            Command::Initiate { reason, target, force, reply } => {
                drop(reply.send(self.initiate(&reason, target.as_deref(), force)));
            }
            Command::Approve(id, reply) => drop(reply.send(self.approve(id))),
            Command::ClearDoubt(reply) => {
                let doubt = self.world.in_doubt().is_some();
                let begun = self.world.has_begun_timeline();
                self.take(Event::Cleared);
                if doubt {
                    self.reign.resumes();
                }
                let _ = reply.send(doubt || begun);
            }
            Command::Prospects(reply) => {
                let (peers, head) = (self.peers(), self.world.head());
                drop(reply.send(Prospects { peers, head, decision: self.world.decision().clone() }));
            }
        }
    }

    fn add(&mut self, node: NodeConfig) -> Result<NodeId, NodeError> {
        if self.find(&node.name).is_ok() {
            return Err(NodeError::Duplicate(node.name));
        }
        self.config_with(&node).validate()?;
        let name = node.name.clone();
        self.join(node, Role::Replica)
            .map_err(|source| NodeError::Pool { node: name, source: Box::new(source) })
    }

    fn relabel(&mut self, node: NodeConfig) {
        let Ok(index) = self.find(&node.name) else { return };
        let spec = NodeSpec::from_config(&node, Role::Replica, &self.shared.config);
        let known = &mut self.nodes[index];
        known.config = node;
        let id = known.common.id;
        self.take(Event::Relabelled(id, spec));
    }

    fn drain(&mut self, name: &str) -> Result<(), NodeError> {
        let index = self.find_replica(name)?;
        let id = self.nodes[index].common.id;
        self.take(Event::Draining(id));
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), NodeError> {
        let index = self.find_replica(name)?;
        self.leave(index);
        Ok(())
    }

    fn find_replica(&self, name: &str) -> Result<usize, NodeError> {
        let index = self.find(name)?;
        let snapshot = self.shared.snapshot.load();
        if snapshot.topology.primary().is_ok_and(|primary| primary.id == self.nodes[index].common.id) {
            return Err(NodeError::IsPrimary(name.to_owned()));
        }
        Ok(index)
    }

    /// The configuration as it would be had the node been in it from the start.
    fn config_with(&self, node: &NodeConfig) -> Config {
        let mut config = self.shared.config.clone();
        let mut present: Vec<NodeConfig> = self.nodes.iter().map(|known| known.config.clone()).collect();
        if !present.is_empty() {
            config.primary = present.remove(0);
        }
        present.push(node.clone());
        config.replicas = present;
        config
    }
}
