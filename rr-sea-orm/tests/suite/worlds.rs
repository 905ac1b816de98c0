//! The same story in every kind of cluster: with one database, and with a handle that routes.

use std::time::Duration;

use rr_core::config::{ConfigBuilder, ReadPreference};
use rr_seaorm::RoutedConnection;
use rr_tests::cluster::Cluster;

use crate::support::{PATIENCE, Result, assert_same, config, logging, reads, standby_reads};

/// How the reads of a story were shared.
#[derive(Debug)]
struct Shares {
    /// With one database: all of them.
    alone: usize,
    standbys: usize,
    primary: usize,
}

/// What the application sees with one database.
async fn alone(cluster: &Cluster) -> Result<Vec<String>> {
    let db = record_shop::database::Database::connect(cluster.primary().url()).await?;
    let story = Box::pin(record_shop::shop::story(&db)).await?;
    db.close().await?;
    cluster.wait_caught_up(PATIENCE).await?;
    Ok(story)
}

async fn told_twice(cluster: &Cluster, config: ConfigBuilder, pause: bool) -> Result<Shares> {
    let expected = alone(cluster).await?;
    let alone = reads(cluster.primary());
    if pause {
        for replica in cluster.replicas() {
            replica.pause_replay().await?;
        }
    }
    let before = standby_reads(cluster);
    let db = RoutedConnection::start(config.build()?).await?;
    assert_same(&Box::pin(record_shop_routed::shop::story(&db)).await?, &expected);
    let primary = reads(cluster.primary()) - alone;
    Ok(Shares { alone, standbys: standby_reads(cluster) - before, primary })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_replica_is_the_primary() -> Result {
    let cluster = logging(0).start().await?;
    let itself = config(&cluster)
        .replica(cluster.primary().url())
        .with(|config| config.allow_primary_as_replica = true);
    let shares = Box::pin(told_twice(&cluster, itself, false)).await?;
    assert_eq!(shares.primary, shares.alone, "every read was served, once: {shares:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asynchronous_standby() -> Result {
    let cluster = logging(2).start().await?;
    let shares = Box::pin(told_twice(&cluster, config(&cluster).causal_wait(PATIENCE), false)).await?;
    assert!(shares.standbys > shares.primary, "also those right after a write: {shares:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_is_paused_for_the_whole_time() -> Result {
    let cluster = logging(2).start().await?;
    let shares = Box::pin(told_twice(&cluster, config(&cluster), true)).await?;
    assert_eq!(shares.standbys, 0, "what has nothing of it serves nothing of it: {shares:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn standbys_apply_before_a_commit_returns() -> Result {
    let cluster = logging(2).synchronous(["replica-1", "replica-2"]).start().await?;
    let shares = Box::pin(told_twice(&cluster, config(&cluster).causal_wait(PATIENCE), false)).await?;
    assert!(shares.standbys > shares.primary, "{shares:?}");
    Ok(())
}

/// The fallback to the primary would hide a stale read; without it, it shows.
#[tokio::test(flavor = "multi_thread")]
async fn standbys_alone_serve_all_reads() -> Result {
    let cluster = logging(2).start().await?;
    let strict = config(&cluster).read_preference(ReadPreference::Replica).causal_wait(PATIENCE);
    let shares = Box::pin(told_twice(&cluster, strict, false)).await?;
    assert!(shares.primary * 20 < shares.standbys, "nearly all: {shares:?}");
    Ok(())
}

/// Each connection has a router of its own; what one of them writes, the other one reads.
#[tokio::test(flavor = "multi_thread")]
async fn two_connections_of_one_process() -> Result {
    let cluster = logging(1).start().await?;
    alone(&cluster).await?;
    let plain = record_shop::database::Database::connect(cluster.primary().url()).await?;
    let expected = record_shop::crowd::two_connections(&plain, &plain).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    cluster.replica(1)?.apply_delay(Duration::from_millis(300)).await?;
    let one = RoutedConnection::start(config(&cluster).build()?).await?;
    let two = RoutedConnection::start(config(&cluster).build()?).await?;
    let told = record_shop_routed::crowd::two_connections(&one, &two).await?;
    assert_same(&told, &expected);
    Ok(())
}
