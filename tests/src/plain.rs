//! The core over a plain driver: a connector for `tokio-postgres` with `bb8` pools, as an adapter for an ORM would be.

use std::str::FromStr;

use bb8_postgres::PostgresConnectionManager;
use rr_core::config::FailoverMode;
use rr_core::connector::{PoolState, Target};
use rr_core::engine::{Fault, TextRow, postgres};
use rr_core::topology::Role;
use rr_core::{Config, Connector};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::cluster::Cluster;

/// Opens pools and control connections with `tokio-postgres`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

/// A pool of one node.
pub type Pool = bb8::Pool<PostgresConnectionManager<NoTls>>;

impl Connector for Plain {
    type Pool = Pool;
    type Control = Client;
    type Error = tokio_postgres::Error;

    fn pool(&self, target: &Target) -> Result<Pool, Self::Error> {
        let manager = PostgresConnectionManager::new(settings(target)?, NoTls);
        let pool = bb8::Pool::builder()
            .max_size(target.pool.max)
            .connection_timeout(target.pool.checkout_timeout)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_on_check_out(false);
        Ok(pool.build_unchecked(manager))
    }

    async fn control(&self, target: &Target) -> Result<Client, Self::Error> {
        let (client, connection) = settings(target)?.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    async fn run(&self, control: &mut Client, sql: &str) -> Result<TextRow, Self::Error> {
        let rows = control.simple_query(sql).await?;
        let row = rows.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(row
            .map(|row| (0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
            .unwrap_or_default())
    }

    fn pool_state(&self, pool: &Pool) -> Option<PoolState> {
        let state = pool.state();
        let told = &state.statistics;
        let waiting = told.get_started.saturating_sub(told.completed_gets());
        let state = PoolState::of(state.connections, state.idle_connections);
        Some(state.waited(u32::try_from(waiting).unwrap_or(u32::MAX), told.get_waited, told.get_timed_out))
    }

    /// It judges no text, and so none wrongly.
    fn misroutes(&self) -> Option<u64> {
        Some(0)
    }

    fn fault(&self, error: &Self::Error, role: Role) -> Option<Fault> {
        match error.code() {
            Some(code) => postgres::fault_of_sqlstate(code.code(), role == Role::Replica),
            None if error.is_closed() => Some(Fault::Lost),
            None => Some(Fault::Refused),
        }
    }
}

fn settings(target: &Target) -> Result<tokio_postgres::Config, tokio_postgres::Error> {
    let mut settings = tokio_postgres::Config::from_str(target.node.url.expose())?;
    settings.connect_timeout(target.pool.connect_timeout).application_name(&target.node.name);
    if target.role == Role::Replica {
        settings.options("-c default_transaction_read_only=on");
    }
    Ok(settings)
}

/// [`config`] with promotions in this mode, as the superuser and by the only process.
///
/// # Panics
/// As [`config`].
#[must_use]
pub fn promoting(cluster: &Cluster, mode: FailoverMode) -> Config {
    let mut config = config(cluster);
    config.failover.mode = mode;
    config.failover.user = Some("postgres".to_owned());
    config.failover.single_process = true;
    let nodes = std::iter::once(&mut config.primary).chain(&mut config.replicas);
    for (node, server) in nodes.zip(cluster.nodes()) {
        *node = std::mem::take(node).with_replication("127.0.0.1", server.replication_link().port());
    }
    config
}

/// The configuration that an application would write for this cluster, probing fast.
///
/// # Panics
/// When the harness hands out a URL that is none.
#[must_use]
pub fn config(cluster: &Cluster) -> Config {
    let replicas = cluster.replicas().iter().map(|node| {
        let node_config = rr_core::config::NodeConfig::new(node.url()).expect("a URL of the harness");
        node_config.with_name(node.name())
    });
    let mut config = Config::new(cluster.primary().url()).expect("a URL of the harness");
    config.replicas = replicas.collect();
    config.monitor.interval = std::time::Duration::from_millis(50);
    config.monitor.jitter = std::time::Duration::from_millis(10);
    // bb8 tries to connect again and again for as long as a checkout may take; a dead node must not cost a read that.
    config.pool.replica.checkout_timeout = std::time::Duration::from_millis(500);
    config
}
