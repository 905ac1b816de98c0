//! How rr reaches PostgreSQL through diesel-async: a pool per node, and a connection for the monitor beside it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use rr_core::adapter::Classes;
use rr_core::config::NodeConfig;
use rr_core::connector::{Connector, PoolState, Target};
use rr_core::engine::{Fault, TextRow};
use rr_core::sql::Dialect;
use rr_core::topology::Role;
use tokio_postgres::{Client, Config, NoTls, Statement};

mod error;
mod failures;
mod node;
mod settings;
mod tls;

pub use error::ConnectError;
pub use node::NodePool;
pub(crate) use node::{Commit, Connection, PooledConnection};
#[cfg(feature = "blocking")]
pub(crate) use settings::without_tls;
pub(crate) use tls::Tls;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
type BeforeConnect = dyn Fn(NodeConfig, Config) -> BoxFuture<'static, Result<Config, BoxError>> + Send + Sync;

/// Opens diesel-async connections to the nodes of a PostgreSQL cluster.
#[derive(Clone)]
pub struct DieselConnector {
    before_connect: Option<Arc<BeforeConnect>>,
    classes: Arc<Classes>,
    /// Why the monitor cannot connect, by node.
    troubles: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Default for DieselConnector {
    fn default() -> Self {
        Self::new()
    }
}

impl DieselConnector {
    /// Connects as the nodes' URLs say.
    #[must_use]
    pub fn new() -> Self {
        let classes = Arc::new(Classes::new(Dialect::Postgres));
        Self { before_connect: None, classes, troubles: Arc::default() }
    }

    /// Lets `prepare` change the driver's settings before each connect: for passwords that rotate, and for tokens
    /// that expire. It is asked for every connection of every pool and for the monitor's own, and its time counts
    /// towards `connect_timeout`.
    #[must_use]
    pub fn before_connect<F, Fut>(mut self, prepare: F) -> Self
    where
        F: Fn(NodeConfig, Config) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Config, BoxError>> + Send + 'static,
    {
        self.before_connect = Some(Arc::new(move |node, settings| Box::pin(prepare(node, settings))));
        self
    }

    /// What is known about statements.
    #[inline]
    pub(crate) fn classes(&self) -> &Classes {
        &self.classes
    }

    /// Why nodes cannot be connected to; empty when all can.
    pub(crate) fn troubles(&self) -> String {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let each: Vec<String> = troubles.iter().map(|(node, why)| format!("`{node}`: {why}")).collect();
        each.join("; ")
    }

    fn note_trouble(&self, node: &str, opened: &Result<Control, ConnectError>) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        match opened {
            Ok(_) => drop(troubles.remove(node)),
            Err(error) => drop(troubles.insert(node.to_owned(), error.to_string())),
        }
    }

    async fn open_control(&self, target: &Target) -> Result<Control, ConnectError> {
        let door = self.door(target)?;
        let settings = door.settings().await?;
        let client = match door.tls {
            Tls::Off => {
                let (client, connection) = settings.connect(NoTls).await.map_err(ConnectError::Refused)?;
                drop(tokio::spawn(connection));
                client
            }
            Tls::On(tls) => {
                let (client, connection) = settings.connect(tls).await.map_err(ConnectError::Refused)?;
                drop(tokio::spawn(connection));
                client
            }
        };
        Ok(Control { client, prepared: None })
    }

    fn door(&self, target: &Target) -> Result<Door, ConnectError> {
        Ok(Door {
            node: target.node.clone(),
            settings: settings::settings(target)?,
            tls: Tls::new(&target.tls)?,
            before_connect: self.before_connect.clone(),
        })
    }
}

/// Everything that is needed to connect to a node in a role.
pub(crate) struct Door {
    node: NodeConfig,
    settings: Config,
    tls: Tls,
    before_connect: Option<Arc<BeforeConnect>>,
}

impl Door {
    async fn settings(&self) -> Result<Config, ConnectError> {
        match &self.before_connect {
            None => Ok(self.settings.clone()),
            Some(prepare) => {
                prepare(self.node.clone(), self.settings.clone()).await.map_err(ConnectError::Hook)
            }
        }
    }
}

/// The monitor's own connection to a node.
pub struct Control {
    client: Client,
    /// The statement that ran last. It is nearly always the next one too, and most of its cost is to plan it.
    prepared: Option<(String, Statement)>,
}

impl Connector for DieselConnector {
    type Pool = NodePool;
    type Control = Control;
    type Error = ConnectError;

    fn pool(&self, target: &Target) -> Result<NodePool, ConnectError> {
        Ok(NodePool::open(self.door(target)?, &target.pool))
    }

    async fn control(&self, target: &Target) -> Result<Control, ConnectError> {
        let opened = self.open_control(target).await;
        self.note_trouble(&target.node.name, &opened);
        opened
    }

    async fn run(&self, control: &mut Control, sql: &str) -> Result<TextRow, ConnectError> {
        let statement = match control.prepared.take() {
            Some((text, statement)) if text == sql => statement,
            _ => control.client.prepare(sql).await.map_err(ConnectError::Run)?,
        };
        let row = control.client.query_opt(&statement, &[]).await.map_err(ConnectError::Run)?;
        control.prepared = Some((sql.to_owned(), statement));
        let row = row.ok_or(ConnectError::NoRow)?;
        let columns = (0..row.len()).map(|column| row.try_get(column));
        columns.collect::<Result<_, _>>().map_err(ConnectError::Run)
    }

    async fn execute(&self, control: &mut Control, sql: &str) -> Result<(), ConnectError> {
        control.client.batch_execute(sql).await.map_err(ConnectError::Run)
    }

    fn misroutes(&self) -> Option<u64> {
        Some(self.classes().misroutes())
    }

    fn pool_state(&self, pool: &NodePool) -> Option<PoolState> {
        Some(pool.state())
    }

    fn fault(&self, error: &ConnectError, role: Role) -> Option<Fault> {
        error.fault(role)
    }
}

impl fmt::Debug for DieselConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DieselConnector")
            .field("before_connect", &self.before_connect.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}
