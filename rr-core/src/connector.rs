//! Where an ORM plugs in: opening pools and running the monitor's few statements.
//!
//! An adapter decides nothing. It opens a pool for a node in a role, and a control connection beside the pools
//! on which the monitor runs text from [`engine`](crate::engine) and reads text back.

use std::future::Future;

use crate::config::{Config, NodeConfig, PoolConfig, TlsConfig};
use crate::engine::{Engine, Fault, TextRow};
use crate::topology::{Epoch, Role};

/// A node, with every setting that applies to it filled in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Target {
    /// The node as configured.
    pub node: NodeConfig,
    /// Its engine.
    pub engine: Engine,
    /// What it is to be opened as. Sessions of a replica must be read-only by default
    /// (`default_transaction_read_only=on`), also where the server would take writes.
    pub role: Role,
    /// The pool settings of that role, with the node's own on top.
    pub pool: PoolConfig,
    /// The TLS settings, with the node's own and the URL's on top.
    pub tls: TlsConfig,
    /// The epoch in which it is opened.
    pub epoch: Epoch,
}

impl Target {
    /// The node in this role, with the settings of `config` that apply to it.
    #[must_use]
    pub fn new(config: &Config, node: &NodeConfig, engine: Engine, role: Role, epoch: Epoch) -> Self {
        let of_role = match role {
            Role::Primary => &config.pool.primary,
            Role::Replica => &config.pool.replica,
        };
        Self {
            engine,
            role,
            pool: node.pool.over(of_role),
            tls: config.tls_for(node),
            epoch,
            node: node.clone(),
        }
    }
}

/// How busy a pool is. What the driver does not tell is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct PoolState {
    /// Connections in use.
    pub active: u32,
    /// Connections that are open and unused.
    pub idle: u32,
    /// Statements that wait for a connection at present.
    pub waiting: Option<u32>,
    /// Statements so far that had to wait, and got one.
    pub waits: Option<u64>,
    /// Statements so far that waited in vain.
    pub timeouts: Option<u64>,
}

impl PoolState {
    /// That of a pool with so many open connections, so many of which are unused.
    #[must_use]
    pub const fn of(open: u32, idle: u32) -> Self {
        Self { active: open.saturating_sub(idle), idle, waiting: None, waits: None, timeouts: None }
    }

    /// This state, with what is known of those that wait.
    #[must_use]
    pub const fn waited(mut self, waiting: u32, waits: u64, timeouts: u64) -> Self {
        (self.waiting, self.waits, self.timeouts) = (Some(waiting), Some(waits), Some(timeouts));
        self
    }
}

/// How far connections have been used that an adapter has lent, so that it does not see what is written on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lent {
    /// Another number whenever one was used since.
    pub uses: u64,
    /// One is out: something on it may be about to be committed.
    pub out: bool,
}

impl Lent {
    /// So many uses, and whether a connection is out. The uses are to be counted before it is looked what is out: what begins in
    /// between is out then, or counted the next time.
    #[must_use]
    pub const fn new(uses: u64, out: bool) -> Self {
        Self { uses, out }
    }
}

/// Opens pools and control connections of one database driver.
pub trait Connector: Send + Sync + 'static {
    /// A pool of connections, or a handle of one. It is dropped when its node leaves or changes its role, as soon as
    /// the last route to it is gone; dropping it must close its idle connections.
    type Pool: Send + Sync + 'static;
    /// A connection of the monitor's own, apart from every pool.
    type Control: Send + 'static;
    /// The driver's error.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Makes a pool for the node without connecting: a node that is down must not hold anybody up.
    ///
    /// # Errors
    /// When the settings cannot be used (a certificate that cannot be read, say). It is reported with the node's name.
    fn pool(&self, target: &Target) -> Result<Self::Pool, Self::Error>;

    /// Opens a control connection. The caller bounds the time.
    fn control(&self, target: &Target) -> impl Future<Output = Result<Self::Control, Self::Error>> + Send;

    /// Runs a statement that returns exactly one row of text columns. The caller bounds the time, and discards the
    /// connection after any error.
    fn run(
        &self,
        control: &mut Self::Control,
        sql: &str,
    ) -> impl Future<Output = Result<TextRow, Self::Error>> + Send;

    /// Runs a statement whose rows, if there are any, nobody wants, outside of any transaction. The caller bounds the time,
    /// and discards the connection after any error.
    ///
    /// Used for promotions only. The default serves where [`run`](Self::run) accepts a statement without a row.
    fn execute(
        &self,
        control: &mut Self::Control,
        sql: &str,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        async move { self.run(control, sql).await.map(drop) }
    }

    /// How busy a pool is, for people who look; `None` when the driver does not tell.
    fn pool_state(&self, _pool: &Self::Pool) -> Option<PoolState> {
        None
    }

    /// How many statements so far looked like reads and were refused by a replica; `None` when the adapter does not count
    /// them.
    fn misroutes(&self) -> Option<u64> {
        None
    }

    /// How far connections have been used that were lent ([`Ledger::lends`](crate::adapter::Ledger::lends)); `None` while none
    /// was.
    fn lent(&self) -> Option<Lent> {
        None
    }

    /// What an error says about the node; `None` when it says nothing about it.
    fn fault(&self, error: &Self::Error, role: Role) -> Option<Fault>;
}
