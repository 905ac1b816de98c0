//! Promotions that the router makes, under a load of reads and writes.

use rr_core::config::FailoverMode;
use rr_seaorm::RoutedConnection;
use rr_tests::cluster::{Builder, Cluster};
use rr_tests::load::Load;
use rr_tests::plain::promoting;
use sea_orm::{ActiveModelTrait, ActiveValue, EntityTrait, PaginatorTrait};

use crate::support::{PATIENCE, Result, boot_with, note};

async fn under_load(builder: Builder, mode: FailoverMode) -> Result<(Cluster, RoutedConnection, Load)> {
    let cluster = boot_with(builder.replicas(2)).await?;
    cluster.primary().admin_sql("GRANT pg_read_all_stats TO app").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let db = RoutedConnection::start(promoting(&cluster, mode)).await?;
    let load = Load::start(
        &db,
        |(db, text): (RoutedConnection, String)| async move {
            let text = ActiveValue::Set(text);
            let row = note::ActiveModel { text, stars: ActiveValue::Set(0), ..Default::default() };
            row.insert(&db).await.map(drop).map_err(|error| error.to_string())
        },
        |db: RoutedConnection| async move {
            note::Entity::find().count(&db).await.map(drop).map_err(|error| error.to_string())
        },
    );
    load.writes(50).await?;
    Ok((cluster, db, load))
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
    Ok(())
}
