//! Promotions that the router makes, under a load of reads and writes.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::future::try_join_all;
use rr_core::config::FailoverMode;
use rr_diesel::RoutedPool;
use rr_tests::cluster::{Builder, Cluster};
use rr_tests::failovers::{first_write_is_told, pooled};
use rr_tests::load::Load;
use rr_tests::plain::promoting;

use crate::support::{PATIENCE, Result, boot_with, config, note, until};

mod scenes;

async fn under_load(builder: Builder, mode: FailoverMode) -> Result<(Cluster, RoutedPool, Load)> {
    let cluster = boot_with(builder.replicas(2)).await?;
    cluster.primary().admin_sql("GRANT pg_read_all_stats TO app").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let pool = RoutedPool::start(promoting(&cluster, mode)).await?;
    let load = load(&pool);
    load.writes(50).await?;
    Ok((cluster, pool, load))
}

pub(crate) fn load(pool: &RoutedPool) -> Load {
    Load::start(
        pool,
        |(pool, text): (RoutedPool, String)| async move {
            let row = diesel::insert_into(note::table).values(note::text.eq(text));
            row.execute(&mut pool.handle()).await.map(drop).map_err(|error| error.to_string())
        },
        |pool: RoutedPool| async move {
            let count = note::table.count().get_result::<i64>(&mut pool.handle()).await;
            count.map(drop).map_err(|error| error.to_string())
        },
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_primary_is_replaced_and_no_answered_write_is_lost_with_remote_apply() -> Result {
    let builder = Cluster::builder().synchronous(["replica-1", "replica-2"]);
    let (cluster, pool, load) = under_load(builder, FailoverMode::Automatic).await?;
    cluster.primary().crash().await?;
    load.writes(50).await?;
    let done = load.end().await?;
    assert!(done.reads > 0);
    assert_eq!(done.failed_reads, 0);
    first_write_is_told(pool.router(), true).await?;
    let topology = pool.router().topology();
    let leader = cluster.node(&topology.primary().map_err(|none| none.to_string())?.name)?;
    assert_eq!(done.missing_on(leader).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_switchover_fails_no_statement_and_loses_no_write() -> Result {
    let (cluster, pool, load) = under_load(Cluster::builder(), FailoverMode::Manual).await?;
    // Another process, which nobody tells: what is refused meanwhile waits for the end.
    let other = RoutedPool::start(promoting(&cluster, FailoverMode::Follow)).await?;
    let row = diesel::insert_into(note::table).values(note::text.eq("of another process"));
    row.execute(&mut other.handle()).await?;
    let report = pool.router().failover().initiate("maintenance", Some("replica-2"), false).await?;
    assert!(report.succeeded(), "{report}");
    row.execute(&mut other.handle()).await?;
    load.writes(50).await?;
    let done = load.end().await?;
    assert_eq!((done.failed_reads, done.failed_writes), (0, 0));
    assert_eq!(done.missing_on(cluster.replica(2)?).await?, Vec::<String>::new());
    first_write_is_told(pool.router(), true).await?;
    Ok(())
}

/// Writes on several connections at once, and leaves them idle.
async fn leave_idle(pool: &RoutedPool, cluster: &Cluster) -> Result {
    let write = async || {
        let row = diesel::insert_into(note::table).values(note::text.eq("x"));
        row.execute(&mut pool.handle()).await
    };
    try_join_all((0..8).map(|_| write())).await?;
    assert!(pooled(cluster.primary()).await? > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_to_an_old_primary_that_lives_on_are_closed_though_nobody_asks_for_one() -> Result {
    let cluster = boot_with(Cluster::builder().replicas(1)).await?;
    let pool = RoutedPool::start(config(&cluster).build()?).await?;
    leave_idle(&pool, &cluster).await?;
    cluster.replica(1)?.promote().await?;
    let closed = async || Ok(pooled(cluster.primary()).await? == 0);
    until("the old primary's connections to be closed", closed).await?;
    assert!(cluster.primary().is_running());
    let row = diesel::insert_into(note::table).values(note::text.eq("after"));
    row.execute(&mut pool.handle()).await?;
    first_write_is_told(pool.router(), false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_switchover_no_idle_connection_to_the_old_primary_is_left() -> Result {
    let cluster = boot_with(Cluster::builder().replicas(1)).await?;
    let pool = RoutedPool::start(promoting(&cluster, FailoverMode::Manual)).await?;
    leave_idle(&pool, &cluster).await?;
    let report = pool.router().failover().initiate("maintenance", None, false).await?;
    assert!(report.succeeded(), "{report}");
    let closed = async || Ok(pooled(cluster.primary()).await? == 0);
    until("the old primary's connections to be closed", closed).await
}

#[tokio::test]
async fn who_is_notified_hears_once_that_writes_are_answered_again() -> Result {
    let cluster = boot_with(Cluster::builder().replicas(1)).await?;
    let (sender, mut heard) = tokio::sync::mpsc::channel(64);
    let pool = RoutedPool::start_as(config(&cluster).build()?, |router| {
        router.on_notice(move |told| drop(sender.blocking_send((told.kind, told.text.clone()))))
    })
    .await?;
    let write = async || {
        let row = diesel::insert_into(note::table).values(note::text.eq("x"));
        row.execute(&mut pool.handle()).await
    };
    write().await?;
    cluster.primary().crash().await?;
    cluster.replica(1)?.promote().await?;
    for _ in 0..3 {
        write().await?;
    }
    pool.router().shutdown().await;
    let mut told = Vec::new();
    while let Some((kind, text)) = heard.recv().await {
        told.push((kind, text));
    }
    let place = |kind| told.iter().rposition(|(known, _)| *known == kind);
    assert!(place("primary").is_some() && place("primary") < place("first_write"), "{told:?}");
    let first: Vec<_> = told.iter().filter(|(kind, _)| *kind == "first_write").collect();
    assert!(
        matches!(first[..], [(_, text)] if text.starts_with("`replica-1` has answered its first write, ")),
        "{told:?}"
    );
    Ok(())
}
