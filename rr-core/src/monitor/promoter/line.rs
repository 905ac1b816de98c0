//! A promotion's own connections: one to each node, opened when it is needed and opened anew after an error.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::{Peer, chain};
use crate::connector::{Connector, Target};
use crate::engine::TextRow;
use crate::monitor::Shared;
use crate::topology::{Epoch, NodeId, Role};

/// A connection to one node as the promotion's user.
pub(crate) struct Line<C: Connector> {
    shared: Arc<Shared<C>>,
    target: Result<Target, String>,
    control: Option<C::Control>,
}

/// Those to all nodes.
pub(crate) struct Lines<C: Connector> {
    shared: Arc<Shared<C>>,
    lines: BTreeMap<NodeId, Line<C>>,
}

impl<C: Connector> Line<C> {
    /// Opens nothing yet.
    pub(crate) fn to(shared: &Arc<Shared<C>>, peer: &Peer) -> Self {
        let failover = &shared.config.failover;
        // In the primary's role, so that the session is not read-only by itself.
        let mut target =
            Target::new(&shared.config, &peer.config, shared.engine, Role::Primary, Epoch::default());
        let target = match &failover.user {
            None => Ok(target),
            Some(user) => match target.node.url.as_user(user, failover.password.as_ref()) {
                Ok(url) => {
                    target.node.url = url;
                    Ok(target)
                }
                Err(error) => Err(format!("failover.user cannot be put into its URL, which then {error}")),
            },
        };
        Self { shared: Arc::clone(shared), target, control: None }
    }

    /// A statement that returns one row.
    pub(crate) async fn ask(&mut self, sql: &str) -> Result<TextRow, String> {
        let mut control = self.take().await?;
        let limit = self.shared.config.monitor.timeout;
        // Dropped in the middle, it is gone, and that is right: it may hold half an answer.
        let row = within(limit, "no answer", self.shared.connector.run(&mut control, sql)).await?;
        self.control = Some(control);
        Ok(row)
    }

    /// A statement that returns nothing.
    pub(crate) async fn tell(&mut self, sql: &str) -> Result<(), String> {
        let mut control = self.take().await?;
        let limit = self.shared.config.monitor.timeout;
        within(limit, "no answer", self.shared.connector.execute(&mut control, sql)).await?;
        self.control = Some(control);
        Ok(())
    }

    /// The next statement goes over a new connection.
    pub(crate) fn hang_up(&mut self) {
        self.control = None;
    }

    async fn take(&mut self) -> Result<C::Control, String> {
        if let Some(control) = self.control.take() {
            return Ok(control);
        }
        let target = self.target.as_ref().map_err(Clone::clone)?;
        let limit = self.shared.config.monitor.connect_timeout;
        within(limit, "no connection", self.shared.connector.control(target)).await
    }
}

async fn within<T, E: std::error::Error>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match timeout(limit, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err(format!("{what} within {limit:?}")),
    }
}

impl<C: Connector> Lines<C> {
    pub(crate) const fn new(shared: Arc<Shared<C>>) -> Self {
        Self { shared, lines: BTreeMap::new() }
    }

    /// The one to this node.
    pub(crate) fn to(&mut self, peer: &Peer) -> &mut Line<C> {
        self.lines.entry(peer.id).or_insert_with(|| Line::to(&self.shared, peer))
    }

    /// Takes the one to this node out, for work that goes on beside that with others.
    pub(crate) fn take(&mut self, peer: &Peer) -> Line<C> {
        self.lines.remove(&peer.id).unwrap_or_else(|| Line::to(&self.shared, peer))
    }

    pub(crate) fn put(&mut self, id: NodeId, line: Line<C>) {
        self.lines.insert(id, line);
    }
}
