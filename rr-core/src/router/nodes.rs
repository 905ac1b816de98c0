//! Nodes that come and go while the router runs.

use tokio::sync::oneshot;

use super::Router;
use crate::config::NodeConfig;
use crate::connector::Connector;
use crate::error::NodeError;
use crate::monitor::Command;
use crate::route::RouteReason;
use crate::topology::NodeId;

impl<C: Connector> Router<C> {
    /// Adds a replica. It gets reads as soon as it has answered a probe, few at first.
    ///
    /// # Errors
    /// When the configuration would be wrong with it, or its pool cannot be made.
    pub async fn add_node(&self, node: NodeConfig) -> Result<NodeId, NodeError> {
        self.command(|reply| Command::Add(Box::new(node), reply)).await?
    }

    /// Sends a replica nothing new. What it is doing goes on; it is still watched.
    ///
    /// # Errors
    /// When there is no such node, or it is the primary.
    pub async fn drain_node(&self, name: &str) -> Result<(), NodeError> {
        self.command(|reply| Command::Drain(name.to_owned(), reply)).await?
    }

    /// Takes a replica out. Statements that are on it go on; its pool is closed with the last of them.
    ///
    /// # Errors
    /// When there is no such node, or it is the primary.
    pub async fn remove_node(&self, name: &str) -> Result<(), NodeError> {
        self.command(|reply| Command::Remove(name.to_owned(), reply)).await?
    }

    /// How many statements a node was given for this reason, since it joined; 0 when there is no such node.
    #[must_use]
    pub fn routed(&self, name: &str, reason: RouteReason) -> u64 {
        let snapshot = self.inner.shared.snapshot.load();
        let member = snapshot.members.iter().find(|member| *member.common.name == *name);
        member.map_or(0, |member| member.common.routed(reason))
    }

    /// Statements in flight on a node at present; `None` when there is no such node.
    #[must_use]
    pub fn in_flight(&self, name: &str) -> Option<u32> {
        let snapshot = self.inner.shared.snapshot.load();
        let member = snapshot.members.iter().find(|member| *member.common.name == *name)?;
        Some(member.common.load.in_flight())
    }

    async fn command<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, NodeError> {
        let (reply, answer) = oneshot::channel();
        self.inner.commands.send(make(reply)).await.map_err(|_| NodeError::Closed)?;
        answer.await.map_err(|_| NodeError::Closed)
    }
}
