//! How rr reaches nodes through Diesel's own connections: a pool per node of those, and for the monitor a connection that
//! does not block.

use std::fmt;
use std::marker::PhantomData;

use rr_core::adapter::Classes;
use rr_core::connector::{Connector, Target};
use rr_core::engine::{Fault, TextRow};
use rr_core::topology::Role;
use tokio::runtime::Handle;

use super::backend::Routable;
use super::node::NodePool;
use crate::connector::{ConnectError, Control, DieselConnector};

/// Opens Diesel's connections of the type `C` to the nodes of a cluster.
///
/// The monitor's own connections are asynchronous ones, so that a server which hangs holds up no thread. They take what
/// stands in the nodes' URLs and in the configuration; files and variables that only libpq knows (`.pgpass`,
/// `PGPASSWORD`, services) are not read for them.
pub struct NodeConnector<C> {
    monitor: DieselConnector,
    classes: Classes,
    runtime: Handle,
    of: PhantomData<fn() -> C>,
}

impl<C: Routable> NodeConnector<C> {
    pub(crate) fn new(runtime: Handle) -> Self {
        let classes = Classes::new(C::DIALECT);
        Self { monitor: DieselConnector::new(), classes, runtime, of: PhantomData }
    }

    /// What is known about statements.
    pub(crate) const fn classes(&self) -> &Classes {
        &self.classes
    }

    /// Why nodes cannot be connected to; empty when all can.
    pub(crate) fn troubles(&self) -> String {
        self.monitor.troubles()
    }

    pub(crate) const fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

impl<C: Routable> Connector for NodeConnector<C> {
    type Pool = NodePool<C>;
    type Control = Control;
    type Error = ConnectError;

    fn pool(&self, target: &Target) -> Result<NodePool<C>, ConnectError> {
        Ok(NodePool::new(C::address(target)?, target.role, &target.pool, &self.runtime))
    }

    async fn control(&self, target: &Target) -> Result<Control, ConnectError> {
        self.monitor.control(target).await
    }

    async fn run(&self, control: &mut Control, sql: &str) -> Result<TextRow, ConnectError> {
        self.monitor.run(control, sql).await
    }

    fn fault(&self, error: &ConnectError, role: Role) -> Option<Fault> {
        self.monitor.fault(error, role)
    }
}

impl<C> fmt::Debug for NodeConnector<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeConnector").finish_non_exhaustive()
    }
}
