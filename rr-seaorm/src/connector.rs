//! Opens SeaORM's pools, one for each node, and the monitor's connections beside them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use rr_core::Connector;
use rr_core::adapter::Classes;
use rr_core::connector::{Lent, PoolState, Target};
use rr_core::engine::{Fault, TextRow};
use rr_core::sql::Dialect;
use rr_core::topology::Role;
use sea_orm::sqlx::postgres::{PgPool, PgPoolOptions};
use sea_orm::sqlx::{self, ConnectOptions as _};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, RuntimeErr, SqlxPostgresConnector};

use crate::error;

mod node;
mod settings;
mod startup;
mod steady;

pub use node::NodePool;
pub(crate) use settings::Template;
pub(crate) use steady::Steady;

/// Opens the pools of a router with SeaORM's PostgreSQL driver.
///
/// Each node has a pool of its own, which connects when it is first used. Connections are not asked whether they live
/// before each use: that is a round trip per statement, and the monitor watches the node.
#[derive(Clone, Default)]
pub struct SeaOrmConnector {
    inner: Arc<Inner>,
}

struct Inner {
    /// Settings of SeaORM for nodes that have their own, by name, and for all others.
    templates: BTreeMap<String, Template>,
    template: Option<Template>,
    classes: Classes,
    /// All pools that are open.
    pools: Mutex<Vec<Weak<PgPool>>>,
    /// The pool behind references to a plain `DatabaseConnection`.
    steady: OnceLock<Steady>,
    closed: AtomicBool,
    /// Why the monitor cannot connect, by node.
    troubles: Mutex<BTreeMap<String, String>>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            templates: BTreeMap::new(),
            template: None,
            classes: Classes::new(Dialect::Postgres),
            pools: Mutex::default(),
            steady: OnceLock::new(),
            closed: AtomicBool::new(false),
            troubles: Mutex::default(),
        }
    }
}

/// Why a node cannot be connected to or watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectorError {
    /// The URL has something that the driver cannot use. (The driver's words may hold the URL, and are left out.)
    #[error("the URL cannot be used; check its parameters")]
    Url,
    /// SeaORM's options have a list of URLs, whose parameters cannot be told apart from what else the options say.
    #[error(
        "options have one URL, or a list without parameters: give the primary's, and the replicas in RR_REPLICA_URLS, with `connect_with` or with `connect_nodes`"
    )]
    List,
    /// The URL of a replica has startup options that cannot be put on top of those of the connection's settings.
    #[error("options: give them as `-c name=value`")]
    Options,
    /// A file that the URL or the TLS settings name cannot be read.
    #[error("{key}: {file:?} cannot be read; check the path and its permissions")]
    File {
        /// The parameter that names it.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The database said no, or did not answer.
    #[error(transparent)]
    Database(#[from] DbErr),
    /// A statement of the monitor returned no row.
    #[error("the server returned no row")]
    NoRow,
}

impl SeaOrmConnector {
    /// A connector.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn with_templates(template: Option<Template>, templates: BTreeMap<String, Template>) -> Self {
        Self { inner: Arc::new(Inner { template, templates, ..Inner::default() }) }
    }

    /// What is known about statements.
    pub(crate) fn classes(&self) -> &Classes {
        &self.inner.classes
    }

    /// The pool behind references to a plain `DatabaseConnection`; there is one as soon as the router has started.
    pub(crate) fn steady(&self) -> Option<&Steady> {
        self.inner.steady.get()
    }

    /// Why nodes cannot be connected to; empty when all can.
    pub(crate) fn troubles(&self) -> String {
        let troubles = self.inner.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let each: Vec<String> = troubles.iter().map(|(node, why)| format!("`{node}`: {why}")).collect();
        each.join("; ")
    }

    fn note_trouble<T>(&self, node: &str, opened: &Result<T, ConnectorError>) {
        let mut troubles = self.inner.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        match opened {
            Ok(_) => drop(troubles.remove(node)),
            Err(error) => drop(troubles.insert(node.to_owned(), error.to_string())),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.inner.closed.load(Ordering::Relaxed)
    }

    /// Closes all pools, and waits until their connections are closed.
    pub(crate) async fn close(&self) {
        self.inner.closed.store(true, Ordering::Relaxed);
        let mut pools: Vec<PgPool> = {
            let mut open = self.inner.pools.lock().unwrap_or_else(PoisonError::into_inner);
            open.drain(..).filter_map(|pool| pool.upgrade()).map(|pool| PgPool::clone(&pool)).collect()
        };
        pools.extend(self.steady().map(|steady| steady.pool().clone()));
        for pool in pools {
            pool.close().await;
        }
    }

    fn template_of(&self, node: &str) -> Option<&Template> {
        self.inner.templates.get(node).or(self.inner.template.as_ref())
    }

    async fn open_control(&self, target: &Target) -> Result<DatabaseConnection, ConnectorError> {
        // One connection that is never replaced behind the monitor's back: when it is gone, that is a finding.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(target.pool.connect_timeout)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false);
        let settings = settings::connect(self.template_of(&target.node.name), target)?;
        let pool: PgPool =
            pool.connect_with(settings.disable_statement_logging()).await.map_err(connect_error)?;
        Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
    }
}

impl Connector for SeaOrmConnector {
    type Pool = NodePool;
    type Control = DatabaseConnection;
    type Error = ConnectorError;

    fn pool(&self, target: &Target) -> Result<NodePool, ConnectorError> {
        let template = self.template_of(&target.node.name);
        let connect = settings::connect(template, target)?;
        let options = settings::pool(template, &target.pool);
        if target.role == Role::Primary {
            // Nobody runs a statement of a plain reference again: its connections are asked as the application has it.
            let tests = template.is_none_or(Template::tests_before_acquire);
            let plain = options.clone().test_before_acquire(tests);
            let steady = self.inner.steady.get_or_init(|| Steady::open(&target.node.name, &connect, &plain));
            steady.follow(&target.node.name, &connect);
        }
        let pool = Arc::new(options.connect_lazy_with(connect));
        let mut pools = self.inner.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(&pool));
        NodePool::fill(&pool, &target.pool);
        let as_they_are = !template.is_some_and(Template::may_have_hooks);
        Ok(NodePool::new(pool, &target.pool, as_they_are))
    }

    async fn control(&self, target: &Target) -> Result<DatabaseConnection, ConnectorError> {
        let opened = self.open_control(target).await;
        self.note_trouble(&target.node.name, &opened);
        opened
    }

    async fn run(&self, control: &mut DatabaseConnection, sql: &str) -> Result<TextRow, ConnectorError> {
        let statement = sea_orm::Statement::from_string(control.get_database_backend(), sql);
        let row = control.query_one_raw(statement).await?.ok_or(ConnectorError::NoRow)?;
        let columns = 0..row.column_names().len();
        Ok(columns.map(|column| row.try_get_by_index(column)).collect::<Result<_, DbErr>>()?)
    }

    async fn execute(&self, control: &mut DatabaseConnection, sql: &str) -> Result<(), ConnectorError> {
        Ok(control.execute_unprepared(sql).await.map(drop)?)
    }

    fn misroutes(&self) -> Option<u64> {
        Some(self.classes().misroutes())
    }

    fn lent(&self) -> Option<Lent> {
        self.steady().and_then(Steady::lent)
    }

    fn pool_state(&self, pool: &NodePool) -> Option<PoolState> {
        Some(pool.state())
    }

    fn fault(&self, error: &ConnectorError, role: Role) -> Option<Fault> {
        match error {
            ConnectorError::Url
            | ConnectorError::List
            | ConnectorError::Options
            | ConnectorError::File { .. }
            | ConnectorError::NoRow => None,
            ConnectorError::Database(error) => error::fault(error, role),
        }
    }
}

fn connect_error(error: sqlx::Error) -> ConnectorError {
    DbErr::Conn(RuntimeErr::SqlxError(error.into())).into()
}

impl fmt::Debug for SeaOrmConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeaOrmConnector").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
