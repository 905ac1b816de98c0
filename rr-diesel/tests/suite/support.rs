//! Clusters, pools, and the question where a statement ran, answered by the server that ran it.

use diesel::sql_types::{Bool, Integer};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnectionCore, RunQueryDsl};
use rr_core::Config;
use rr_core::config::ConfigBuilder;
use rr_diesel::{RoutedPgConnection, RoutedPool};
use rr_tests::cluster::{Builder, Cluster, Node};
pub(crate) use rr_tests::wait::{PATIENCE, until};

pub(crate) type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

diesel::table! {
    note (id) {
        id -> Integer,
        text -> Text,
        stars -> Integer,
    }
}

diesel::table! {
    mark (id) {
        id -> Integer,
        n -> BigInt,
    }
}

/// Makes a table of a single number.
pub(crate) const MARK: &str =
    "CREATE TABLE mark (id int PRIMARY KEY, n bigint NOT NULL); INSERT INTO mark VALUES (1, 0)";

/// The number, and whether a standby answered.
#[derive(Debug, Clone, Copy, QueryableByName)]
pub(crate) struct Seen {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    pub(crate) n: i64,
    #[diesel(sql_type = Bool)]
    pub(crate) standby: bool,
}

/// Whether a standby answered, and on which port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub(crate) struct Place {
    #[diesel(sql_type = Bool)]
    pub(crate) standby: bool,
    #[diesel(sql_type = Integer)]
    pub(crate) port: i32,
}

pub(crate) const PLACE: &str = "SELECT standby, port FROM here";

/// Where a read of this handle goes.
pub(crate) async fn place(conn: &mut RoutedPgConnection) -> diesel::QueryResult<Place> {
    sql_query(PLACE).get_result(conn).await
}

/// Where a read goes that is an ordinary row of a table as well.
pub(crate) async fn standby_says<C>(conn: &mut C, sql: &str) -> diesel::QueryResult<bool>
where
    C: AsyncConnectionCore<Backend = diesel::pg::Pg>,
{
    #[derive(QueryableByName)]
    struct Standby {
        #[diesel(sql_type = Bool)]
        standby: bool,
    }
    let row: Standby = sql_query(sql.to_owned()).get_result(conn).await?;
    Ok(row.standby)
}

pub(crate) async fn boot(replicas: usize) -> Result<Cluster> {
    boot_with(Cluster::builder().replicas(replicas)).await
}

pub(crate) async fn boot_with(builder: Builder) -> Result<Cluster> {
    let cluster = builder.start().await?;
    prepare(&cluster).await?;
    Ok(cluster)
}

/// Makes what the tests use.
pub(crate) async fn prepare(cluster: &Cluster) -> Result {
    cluster
        .primary()
        .sql(
            "CREATE TABLE note (id serial PRIMARY KEY, text text NOT NULL, stars int NOT NULL DEFAULT 0); \
             CREATE FUNCTION on_standby() RETURNS bool STABLE LANGUAGE sql AS 'SELECT pg_is_in_recovery()'; \
             CREATE FUNCTION on_port() RETURNS int STABLE LANGUAGE sql AS 'SELECT current_setting(''port'')::int'; \
             CREATE VIEW here AS SELECT on_standby() AS standby, on_port() AS port",
        )
        .await?;
    Ok(cluster.wait_caught_up(PATIENCE).await?)
}

pub(crate) fn config(cluster: &Cluster) -> ConfigBuilder {
    let mut config = Config::builder().primary(cluster.primary().url().as_str());
    for replica in cluster.replicas() {
        config = config.replica(replica.url().as_str());
    }
    config
}

/// Reads wait for a replica for as long as it takes: after a read of the primary, or a write, none of them falls back.
pub(crate) fn patient(cluster: &Cluster) -> ConfigBuilder {
    config(cluster).with(|config| config.causal_wait = PATIENCE)
}

pub(crate) async fn pool(cluster: &Cluster) -> Result<RoutedPool> {
    let pool = RoutedPool::start(config(cluster).build()?).await?;
    Ok(pool)
}

/// Statements of clients that run on a server right now, by their text.
pub(crate) async fn running(node: &Node, pattern: &str) -> Result<i64> {
    Ok(node.running(pattern).await?)
}

/// The port that the server itself listens on, behind the network of the harness.
pub(crate) fn server_port(node: &Node) -> Result<i32> {
    Ok(node.port().into())
}
