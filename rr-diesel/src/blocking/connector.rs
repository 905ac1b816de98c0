//! How rr reaches nodes through Diesel's own connections: a pool per node of those, and for the monitor a connection that
//! does not block.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use diesel::PgConnection;
use rr_core::adapter::Classes;
use rr_core::config::NodeConfig;
use rr_core::connector::{Connector, PoolState, Target};
use rr_core::engine::{Fault, TextRow};
use rr_core::topology::Role;
use tokio::runtime::Handle;

use super::backend::Routable;
use super::login::{BeforeConnect, Door, Login};
use super::node::NodePool;
use super::runtime;
use crate::connector::{BoxError, ConnectError, Control, DieselConnector};
use crate::pool::PoolError;

/// Opens Diesel's connections of the type `C` to the nodes of a cluster.
///
/// The monitor's own connections are asynchronous ones, so that a server which hangs holds up no thread. They take what
/// stands in the nodes' URLs and in the configuration; files and variables that only libpq knows (`.pgpass`,
/// `PGPASSWORD`, services) are not read for them.
pub struct NodeConnector<C> {
    monitor: DieselConnector,
    before_connect: Option<Arc<BeforeConnect>>,
    classes: Classes,
    runtime: Handle,
    of: PhantomData<fn() -> C>,
}

impl<C: Routable> NodeConnector<C> {
    /// Connects as the nodes' URLs say.
    ///
    /// # Errors
    /// When the thread that watches the nodes cannot be started.
    pub fn new() -> Result<Self, PoolError> {
        let runtime = runtime::handle().map_err(PoolError::Thread)?;
        let classes = Classes::new(C::DIALECT);
        let monitor = DieselConnector::new();
        Ok(Self { monitor, before_connect: None, classes, runtime, of: PhantomData })
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

impl NodeConnector<PgConnection> {
    /// Lets `prepare` say as whom to connect, before each connect: for passwords that rotate, and for tokens that expire.
    /// It is asked for every connection of every pool and for the monitor's own. It may block; its time counts towards
    /// `connect_timeout`.
    #[must_use]
    pub fn before_connect<F>(mut self, prepare: F) -> Self
    where
        F: Fn(NodeConfig, Login) -> Result<Login, BoxError> + Send + Sync + 'static,
    {
        let prepare: Arc<BeforeConnect> = Arc::new(prepare);
        let same = Arc::clone(&prepare);
        self.before_connect = Some(prepare);
        self.monitor = self.monitor.before_connect(move |node, mut settings| {
            let same = Arc::clone(&same);
            async move {
                let asked = tokio::task::spawn_blocking(move || same(node, Login::default()));
                asked.await??.set(&mut settings);
                Ok(settings)
            }
        });
        self
    }
}

impl<C: Routable> Connector for NodeConnector<C> {
    type Pool = NodePool<C>;
    type Control = Control;
    type Error = ConnectError;

    fn pool(&self, target: &Target) -> Result<NodePool<C>, ConnectError> {
        let ask = self.before_connect.as_ref().map(|ask| (target.node.clone(), Arc::clone(ask)));
        let door = Door { address: C::address(target)?, ask };
        Ok(NodePool::new(door, target.role, &target.pool, &self.runtime))
    }

    async fn control(&self, target: &Target) -> Result<Control, ConnectError> {
        self.monitor.control(target).await
    }

    async fn run(&self, control: &mut Control, sql: &str) -> Result<TextRow, ConnectError> {
        self.monitor.run(control, sql).await
    }

    async fn execute(&self, control: &mut Control, sql: &str) -> Result<(), ConnectError> {
        self.monitor.execute(control, sql).await
    }

    fn misroutes(&self) -> Option<u64> {
        Some(self.classes().misroutes())
    }

    fn pool_state(&self, pool: &NodePool<C>) -> Option<PoolState> {
        Some(pool.state())
    }

    fn fault(&self, error: &ConnectError, role: Role) -> Option<Fault> {
        self.monitor.fault(error, role)
    }
}

impl<C> fmt::Debug for NodeConnector<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeConnector")
            .field("before_connect", &self.before_connect.is_some())
            .finish_non_exhaustive()
    }
}
