//! Promotions that the router makes, under a load of reads and writes.

use futures_util::future::try_join_all;
use rr_core::config::FailoverMode;
use rr_seaorm::RoutedConnection;
use rr_tests::cluster::{Builder, Cluster};
use rr_tests::failovers::{first_write_is_told, pooled};
use rr_tests::load::Load;
use rr_tests::plain::promoting;
use sea_orm::{ActiveModelTrait, ActiveValue, EntityTrait, PaginatorTrait};

use crate::support::{PATIENCE, Result, boot_with, config, note, until};

mod scenes;

fn row(text: impl Into<String>) -> note::ActiveModel {
    note::ActiveModel {
        text: ActiveValue::Set(text.into()),
        stars: ActiveValue::Set(0),
        ..Default::default()
    }
}

async fn under_load(builder: Builder, mode: FailoverMode) -> Result<(Cluster, RoutedConnection, Load)> {
    let cluster = boot_with(builder.replicas(2)).await?;
    cluster.primary().admin_sql("GRANT pg_read_all_stats TO app").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let db = RoutedConnection::start(promoting(&cluster, mode)).await?;
    let load = load(&db);
    load.writes(50).await?;
    Ok((cluster, db, load))
}

pub(crate) fn load(db: &RoutedConnection) -> Load {
    Load::start(
        db,
        |(db, text): (RoutedConnection, String)| async move {
            row(text).insert(&db).await.map(drop).map_err(|error| error.to_string())
        },
        |db: RoutedConnection| async move {
            note::Entity::find().count(&db).await.map(drop).map_err(|error| error.to_string())
        },
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_primary_is_replaced_and_no_answered_write_is_lost_with_remote_apply() -> Result {
    let builder = Cluster::builder().synchronous(["replica-1", "replica-2"]);
    let (cluster, db, load) = under_load(builder, FailoverMode::Automatic).await?;
    cluster.primary().crash().await?;
    load.writes(50).await?;
    let done = load.end().await?;
    assert!(done.reads > 0);
    assert_eq!(done.failed_reads, 0);
    first_write_is_told(db.router(), true).await?;
    let topology = db.router().topology();
    let leader = cluster.node(&topology.primary().map_err(|none| none.to_string())?.name)?;
    assert_eq!(done.missing_on(leader).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_switchover_fails_no_statement_and_loses_no_write() -> Result {
    let (cluster, db, load) = under_load(Cluster::builder(), FailoverMode::Manual).await?;
    let report = db.router().failover().initiate("maintenance", Some("replica-2"), false).await?;
    assert!(report.succeeded(), "{report}");
    load.writes(50).await?;
    let done = load.end().await?;
    assert_eq!((done.failed_reads, done.failed_writes), (0, 0));
    assert_eq!(done.missing_on(cluster.replica(2)?).await?, Vec::<String>::new());
    first_write_is_told(db.router(), true).await?;
    Ok(())
}

/// Writes on several connections at once, and leaves them idle.
async fn leave_idle(db: &RoutedConnection, cluster: &Cluster) -> Result {
    try_join_all((0..8).map(|_| row("x").insert(db))).await?;
    assert!(pooled(cluster.primary()).await? > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_to_an_old_primary_that_lives_on_are_closed_though_nobody_asks_for_one() -> Result {
    let cluster = boot_with(Cluster::builder().replicas(1)).await?;
    let db = RoutedConnection::start(config(&cluster).build()?).await?;
    leave_idle(&db, &cluster).await?;
    cluster.replica(1)?.promote().await?;
    let closed = async || Ok(pooled(cluster.primary()).await? == 0);
    until("the old primary's connections to be closed", closed).await?;
    assert!(cluster.primary().is_running());
    row("after").insert(&db).await?;
    first_write_is_told(db.router(), false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_switchover_no_idle_connection_to_the_old_primary_is_left() -> Result {
    let cluster = boot_with(Cluster::builder().replicas(1)).await?;
    let db = RoutedConnection::start(promoting(&cluster, FailoverMode::Manual)).await?;
    leave_idle(&db, &cluster).await?;
    let report = db.router().failover().initiate("maintenance", None, false).await?;
    assert!(report.succeeded(), "{report}");
    let closed = async || Ok(pooled(cluster.primary()).await? == 0);
    until("the old primary's connections to be closed", closed).await
}
