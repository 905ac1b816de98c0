//! Clusters, connections, and the question where a statement ran, answered by the server that ran it.

use rr_core::Config;
use rr_core::config::{ConfigBuilder, ReadPreference};
use rr_seaorm::RoutedConnection;
use rr_tests::cluster::{Builder, Cluster, Node};
pub(crate) use rr_tests::wait::{PATIENCE, until};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

pub(crate) type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

pub(crate) mod note {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "note")]
    pub(crate) struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub text: String,
        pub stars: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Has two rows on a standby and one on the primary: whatever reads it says where it ran.
pub(crate) mod seen {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "seen")]
    pub(crate) struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) async fn boot(replicas: usize) -> Result<Cluster> {
    boot_with(Cluster::builder().replicas(replicas)).await
}

pub(crate) async fn boot_with(builder: Builder) -> Result<Cluster> {
    let cluster = builder.start().await?;
    cluster
        .primary()
        .sql(
            "CREATE TABLE note (id bigserial PRIMARY KEY, text text NOT NULL, stars int NOT NULL DEFAULT 0); \
             CREATE FUNCTION on_standby() RETURNS bool STABLE LANGUAGE sql AS 'SELECT pg_is_in_recovery()'; \
             CREATE FUNCTION on_port() RETURNS int STABLE LANGUAGE sql AS 'SELECT current_setting(''port'')::int'; \
             CREATE FUNCTION on_pid() RETURNS int STABLE LANGUAGE sql AS 'SELECT pg_backend_pid()'; \
             CREATE VIEW seen AS SELECT generate_series(1, CASE WHEN on_standby() THEN 2 ELSE 1 END) AS id",
        )
        .await?;
    cluster.wait_caught_up(PATIENCE).await?;
    Ok(cluster)
}

pub(crate) fn config(cluster: &Cluster) -> ConfigBuilder {
    let config = Config::builder().primary(cluster.primary().url());
    cluster.replicas().iter().fold(config, |config, replica| config.replica(replica.url()))
}

/// The fallback to the primary hides stale reads. Without it they show.
pub(crate) fn replicas_only(cluster: &Cluster) -> ConfigBuilder {
    config(cluster).read_preference(ReadPreference::Replica).causal_wait(PATIENCE)
}

pub(crate) async fn connect(cluster: &Cluster) -> Result<RoutedConnection> {
    started(config(cluster)).await
}

/// A connection whose reads standbys serve.
pub(crate) async fn started(config: ConfigBuilder) -> Result<RoutedConnection> {
    let db = RoutedConnection::start(config.build()?).await?;
    standby_serves(&db).await?;
    Ok(db)
}

pub(crate) fn raw(sql: &str) -> Statement {
    Statement::from_string(DbBackend::Postgres, sql)
}

/// The first column of the first row.
pub(crate) async fn ask<T: sea_orm::TryGetable>(
    db: &impl ConnectionTrait,
    sql: &str,
) -> std::result::Result<T, DbErr> {
    let row = db.query_one_raw(raw(sql)).await?;
    row.ok_or_else(|| DbErr::RecordNotFound(sql.to_owned()))?.try_get_by_index(0)
}

/// Whether a standby answers a read of this connection.
pub(crate) async fn on_standby(db: &impl ConnectionTrait) -> std::result::Result<bool, DbErr> {
    ask(db, "SELECT on_standby()").await
}

/// Waits until a standby serves this connection's reads: what was written before has arrived there.
pub(crate) async fn standby_serves(db: &impl ConnectionTrait) -> Result {
    until("a standby to serve", async || Ok(on_standby(db).await?)).await
}

/// Waits until a standby serves this connection's reads, and says which of its backends does.
pub(crate) async fn standby_pid(db: &impl ConnectionTrait) -> Result<i32> {
    Ok(rr_tests::wait::wait_for(PATIENCE, "a standby to serve", async || {
        ask::<Option<i32>>(db, "SELECT CASE WHEN on_standby() THEN on_pid() END").await
    })
    .await?)
}

/// The port of the server that answers a read of this connection.
pub(crate) async fn on_port(db: &impl ConnectionTrait) -> std::result::Result<i32, DbErr> {
    ask(db, "SELECT on_port()").await
}

/// How many notes a read of this connection sees.
pub(crate) async fn notes(db: &impl ConnectionTrait) -> std::result::Result<i64, DbErr> {
    ask(db, "SELECT count(*) FROM note").await
}

/// Statements of clients that run on a server right now, by their text.
pub(crate) async fn running(node: &Node, pattern: &str) -> Result<i64> {
    Ok(node.running(pattern).await?)
}

/// The port that the server itself listens on, behind the network of the harness.
pub(crate) fn server_port(node: &Node) -> Result<i32> {
    Ok(node.port().into())
}

/// Statements in flight, on the primary and the first replica.
pub(crate) fn in_flight(db: &RoutedConnection) -> [Option<u32>; 2] {
    ["primary", "replica-1"].map(|name| db.router().in_flight(name))
}
