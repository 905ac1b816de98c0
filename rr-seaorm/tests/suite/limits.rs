//! What the pools were told, for each role and for a node of its own: the servers see it.

use std::time::Duration;

use rr_core::config::{Config, PoolConfig, PoolOverrides};
use rr_core::{Request, Requirement};
use rr_seaorm::{RoutedConnection, RoutingError, routing_error};
use rr_tests::cluster::Cluster;
use rr_tests::wait::polled;
use sea_orm::{ConnAcquireErr, ConnectionTrait, DbErr, StreamTrait, TransactionTrait};
use tokio::task::JoinSet;

use crate::support::{Result, ask, boot, config, raw, replicas_only, running, started, until};

const SHORT: Duration = Duration::from_millis(300);
const NEVER: Duration = Duration::from_secs(3600);
const SLEEP: &str = "SELECT 1 FROM pg_sleep(600)";

/// The pools' connections to the nodes; those of the monitor are left aside.
async fn pooled(cluster: &Cluster) -> Result<Vec<i64>> {
    let mut counts = Vec::new();
    for node in cluster.nodes() {
        let sql = "SELECT count(*)::text FROM pg_stat_activity WHERE backend_type = 'client backend' \
                   AND usename = 'app' AND query NOT LIKE '%pg_is_in_recovery%'";
        counts.push(node.admin_query_text(sql).await?.parse()?);
    }
    Ok(counts)
}

/// Other settings for the primary, for replicas, and for the second replica.
async fn with(
    cluster: &Cluster,
    primary: impl FnOnce(&mut PoolConfig),
    replica: impl FnOnce(&mut PoolConfig),
    second: impl FnOnce(&mut PoolOverrides),
) -> Result<RoutedConnection> {
    let settings = config(cluster).with(|config: &mut Config| {
        primary(&mut config.pool.primary);
        replica(&mut config.pool.replica);
        if let Some(node) = config.replicas.get_mut(1) {
            second(&mut node.pool);
        }
    });
    Ok(RoutedConnection::start(settings.build()?).await?)
}

/// Has each node's pool used once.
async fn use_all(db: &RoutedConnection, cluster: &Cluster) -> Result {
    db.use_primary().execute_unprepared("SELECT 1").await?;
    for node in cluster.replicas() {
        until("a replica to be chosen", async || {
            let route = db.router().route(&Request::read(Requirement::NONE))?;
            if route.name().as_ref() != node.name() {
                return Ok(false);
            }
            Ok(route.pool().execute_unprepared("SELECT 1").await.map(|_| true)?)
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn some_connections_are_there_before_anybody_asks() -> Result {
    let cluster = boot(2).await?;
    let db = with(&cluster, |pool| pool.min = 2, |pool| pool.min = 3, |pool| pool.min = Some(1)).await?;
    until("the connections", async || Ok(pooled(&cluster).await? == [2, 3, 1])).await?;
    drop(db);
    Ok(())
}

/// All tasks have asked when the last place is taken.
#[tokio::test]
async fn a_node_has_no_more_connections_than_it_may() -> Result {
    let cluster = boot(2).await?;
    let max = |pool: &mut PoolConfig, max| (pool.max, pool.checkout_timeout) = (max, NEVER);
    let db = with(&cluster, |pool| max(pool, 4), |pool| max(pool, 3), |pool| pool.max = Some(2)).await?;
    let primary = db.use_primary();
    let mut asking = JoinSet::new();
    for asked in 0..24 {
        let db = if asked % 3 == 0 { primary.clone() } else { db.clone() };
        asking.spawn(async move { ask::<i32>(&db, SLEEP).await });
    }
    let at_work = async || -> Result<Vec<i64>> {
        let mut counts = Vec::new();
        for node in cluster.nodes() {
            counts.push(running(node, SLEEP).await?);
        }
        Ok(counts)
    };
    until("all places to be taken", async || Ok(at_work().await? == [4, 3, 2])).await?;
    assert_eq!(pooled(&cluster).await?, [4, 3, 2]);
    // Another one has the place of each that ends.
    for node in cluster.nodes() {
        let end = format!(
            "SELECT pg_cancel_backend(pid)::text FROM pg_stat_activity WHERE query = '{SLEEP}' LIMIT 1"
        );
        assert_eq!(node.admin_query_text(&end).await?, "true");
    }
    until("all places to be taken", async || Ok(at_work().await? == [4, 3, 2])).await?;
    assert_eq!(pooled(&cluster).await?, [4, 3, 2]);
    Ok(())
}

/// One that is killed is noticed when it is used; then there are as many as before.
#[tokio::test]
async fn connections_that_were_killed_are_opened_anew() -> Result {
    let cluster = boot(1).await?;
    let db = with(&cluster, |pool| pool.min = 3, |pool| pool.min = 2, |_| {}).await?;
    until("the connections", async || Ok(pooled(&cluster).await? == [3, 2])).await?;
    for node in cluster.nodes() {
        let kill =
            "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE usename = 'app'";
        node.admin_query_text(kill).await?;
    }
    until("the connections", async || {
        ask::<i32>(&db, "SELECT 1").await?;
        ask::<i32>(&db.use_primary(), "SELECT 1").await?;
        let there = pooled(&cluster).await?;
        Ok(there[0] >= 3 && there[1] >= 2)
    })
    .await
}

/// What was closed because its node had gone is opened anew when that is back, without anybody asking.
#[tokio::test]
async fn connections_that_were_given_up_are_opened_anew() -> Result {
    let cluster = boot(1).await?;
    let two = |pool: &mut PoolConfig| (pool.min, pool.max) = (2, 2);
    let db = with(&cluster, |_| {}, two, |_| {}).await?;
    let replica = cluster.replica(1)?;
    until("the connections", async || Ok(pooled(&cluster).await?[1] == 2)).await?;
    let route = db.router().route(&Request::read(Requirement::NONE))?;
    assert_eq!(route.name().as_ref(), replica.name());
    let mut asking = JoinSet::new();
    for _ in 0..2 {
        let db = db.clone();
        asking.spawn(async move { ask::<i32>(&db, SLEEP).await });
    }
    until("the reads to run", async || Ok(running(replica, SLEEP).await? == 2)).await?;
    asking.shutdown().await;
    replica.link().blackhole().await?;
    until("their places to be free", async || Ok(route.pool().connections().0 == 0)).await?;
    replica.link().heal().await?;
    until("the connections", async || Ok(route.pool().connections() == (2, 2))).await
}

#[tokio::test]
async fn connections_that_are_not_used_are_closed() -> Result {
    let cluster = boot(2).await?;
    let never = |pool: &mut PoolOverrides| pool.idle_timeout = Some(Duration::MAX);
    let db = with(&cluster, |_| {}, |pool| pool.idle_timeout = Some(SHORT), never).await?;
    use_all(&db, &cluster).await?;
    until("one to be closed", async || Ok(pooled(&cluster).await? == [1, 0, 1])).await
}

#[tokio::test]
async fn connections_that_are_old_are_closed() -> Result {
    let cluster = boot(2).await?;
    let never = |pool: &mut PoolOverrides| pool.max_lifetime = Some(Duration::MAX);
    let db = with(&cluster, |_| {}, |pool| pool.max_lifetime = Some(SHORT), never).await?;
    use_all(&db, &cluster).await?;
    until("one to be closed", async || Ok(pooled(&cluster).await? == [1, 0, 1])).await
}

#[tokio::test]
async fn whoever_waits_for_a_connection_has_a_limit() -> Result {
    let cluster = boot(1).await?;
    let settings = replicas_only(&cluster).with(|config| {
        (config.pool.primary.max, config.pool.primary.checkout_timeout) = (1, NEVER);
        config.pool.replica.max = 1;
        config.replicas[0].pool.checkout_timeout = Some(SHORT);
    });
    let db = &started(settings).await?;
    let rows = db.stream_raw(raw("SELECT generate_series(1, 1000000)")).await?;
    let holder = db.begin().await?;
    let mut writing = Box::pin(db.execute_unprepared("INSERT INTO note (text) VALUES ('x')"));
    assert!(polled(1, writing.as_mut()).await.is_none());
    let refused = ask::<i32>(db, "SELECT 1").await.unwrap_err();
    assert!(matches!(refused, DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)), "{refused}");
    assert!(polled(1, writing.as_mut()).await.is_none(), "the primary's limit is another one");
    holder.rollback().await?;
    assert_eq!(writing.await?.rows_affected(), 1);
    drop(rows);
    Ok(())
}

#[tokio::test]
async fn whoever_waits_for_a_server_has_a_limit() -> Result {
    let cluster = boot(1).await?;
    for own in [None, Some(SHORT)] {
        let settings = config(&cluster).with(|config| {
            config.write_wait = Duration::ZERO;
            config.monitor.timeout = Duration::from_secs(30);
            config.pool.primary.connect_timeout = 2 * SHORT;
            config.primary.pool.connect_timeout = own;
        });
        let db = started(settings).await?;
        cluster.primary().link().blackhole().await?;
        let error = db.execute_unprepared("INSERT INTO note (text) VALUES ('x')").await.unwrap_err();
        cluster.primary().link().heal().await?;
        let limit = own.unwrap_or(2 * SHORT);
        assert!(
            matches!(routing_error(&error), Some(RoutingError::Unreached { limit: told, .. }) if *told == limit),
            "{error}"
        );
    }
    Ok(())
}
