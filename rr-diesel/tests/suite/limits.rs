//! What the pools were told, for each role and for a node of its own: the servers see it.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use diesel_async::RunQueryDsl;
use rr_core::config::{Config, ConfigBuilder, PoolConfig, PoolOverrides, ReadPreference, Unscoped};
use rr_core::{Request, Requirement};
use rr_diesel::{RoutedPool, is_checkout_timeout};
use rr_tests::cluster::{Cluster, Mode, Node};
use rr_tests::wait::polled;
use tokio::task::JoinSet;

use crate::support::{Result, boot, config, place, running, until};

const SHORT: Duration = Duration::from_millis(300);
const NEVER: Duration = Duration::from_secs(3600);
const SLEEP: &str = "SELECT 1 FROM pg_sleep(600)";

/// The pools' connections to a node; those of the monitor, which asks nothing else, are left aside.
async fn of(node: &Node) -> Result<i64> {
    let sql = "SELECT count(*)::text FROM pg_stat_activity WHERE backend_type = 'client backend' \
               AND usename = 'app' AND query <> '' AND query NOT LIKE '%pg_is_in_recovery()%'";
    Ok(node.admin_query_text(sql).await?.parse()?)
}

/// Those to each node.
async fn pooled(cluster: &Cluster) -> Result<Vec<i64>> {
    let mut counts = Vec::new();
    for node in cluster.nodes() {
        counts.push(of(node).await?);
    }
    Ok(counts)
}

/// Other settings for the primary, for replicas, and for the second replica.
async fn with(
    cluster: &Cluster,
    primary: impl FnOnce(&mut PoolConfig),
    replica: impl FnOnce(&mut PoolConfig),
    second: impl FnOnce(&mut PoolOverrides),
) -> Result<RoutedPool> {
    let settings = config(cluster).with(|config: &mut Config| {
        primary(&mut config.pool.primary);
        replica(&mut config.pool.replica);
        if let Some(node) = config.replicas.get_mut(1) {
            second(&mut node.pool);
        }
    });
    Ok(RoutedPool::start(settings.build()?).await?)
}

/// Reads or writes until it is given up or cancelled.
async fn sleep(pool: RoutedPool, on_primary: bool) -> QueryResult<usize> {
    let mut conn = pool.handle();
    let conn = if on_primary { conn.use_primary() } else { &mut conn };
    sql_query(SLEEP).execute(conn).await
}

/// Has each node's pool used once.
async fn use_all(pool: &RoutedPool, cluster: &Cluster) -> Result {
    sql_query("SELECT 1").execute(pool.handle().use_primary()).await?;
    let mut missing: Vec<i32> = cluster.replicas().iter().map(|node| node.port().into()).collect();
    until("each replica to serve", async || {
        let served = place(&mut pool.handle()).await?;
        missing.retain(|&port| port != served.port);
        Ok(missing.is_empty())
    })
    .await
}

#[tokio::test]
async fn some_connections_are_there_before_anybody_asks() -> Result {
    let cluster = boot(2).await?;
    let pool = with(&cluster, |pool| pool.min = 2, |pool| pool.min = 3, |pool| pool.min = Some(1)).await?;
    until("the connections", async || Ok(pooled(&cluster).await? == [2, 3, 1])).await?;
    drop(pool);
    until("no connections", async || Ok(pooled(&cluster).await? == [0, 0, 0])).await
}

/// All tasks have asked when the last place is taken.
#[tokio::test]
async fn a_node_has_no_more_connections_than_it_may() -> Result {
    let cluster = boot(2).await?;
    let max = |pool: &mut PoolConfig, max| (pool.max, pool.checkout_timeout) = (max, NEVER);
    let pool = with(&cluster, |pool| max(pool, 4), |pool| max(pool, 3), |pool| pool.max = Some(2)).await?;
    let mut asking = JoinSet::new();
    for asked in 0..24 {
        asking.spawn(sleep(pool.clone(), asked % 3 == 0));
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
    until("one to end on each node", async || {
        while asking.try_join_next().is_some() {}
        Ok(asking.len() <= 21)
    })
    .await?;
    until("all places to be taken", async || Ok(at_work().await? == [4, 3, 2])).await?;
    assert_eq!(pooled(&cluster).await?, [4, 3, 2]);
    Ok(())
}

/// Nobody looks at unused connections: that one was killed is noticed when it is next used. Then all are replaced.
#[tokio::test]
async fn connections_that_were_killed_are_replaced_when_they_are_next_used() -> Result {
    let cluster = boot(1).await?;
    let pool = with(&cluster, |pool| pool.min = 3, |pool| pool.min = 2, |_| {}).await?;
    until("the connections", async || Ok(pooled(&cluster).await? == [3, 2])).await?;
    let kill = "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE usename = 'app' \
                AND query NOT LIKE '%pg_is_in_recovery()%'";
    for (node, there) in cluster.nodes().iter().zip(["3", "2"]) {
        assert_eq!(node.admin_query_text(kill).await?, there);
    }
    until("all of them to be gone", async || Ok(pooled(&cluster).await? == [0, 0])).await?;
    let route = pool.router().route(&Request::read(Requirement::NONE))?;
    assert_eq!(
        (route.name().as_ref(), route.pool().connections()),
        ("replica-1", (2, 2)),
        "as far as it knows"
    );
    until("as many as are to be kept", async || {
        place(&mut pool.handle()).await?;
        place(pool.handle().use_primary()).await?;
        let there = pooled(&cluster).await?;
        Ok(there[0] >= 3 && there[1] >= 2)
    })
    .await
}

/// What was closed because its node had gone is opened anew when that is back, without anybody asking; the pool has no other
/// reason to look, as nothing in it ever gets too old.
#[tokio::test]
async fn connections_that_were_given_up_are_opened_anew() -> Result {
    let cluster = boot(1).await?;
    let two = |pool: &mut PoolConfig| {
        (pool.min, pool.max, pool.idle_timeout, pool.max_lifetime) = (2, 2, None, None);
    };
    let pool = with(&cluster, |_| {}, two, |_| {}).await?;
    let replica = cluster.replica(1)?;
    until("the connections", async || Ok(of(replica).await? == 2)).await?;
    let route = pool.router().route(&Request::read(Requirement::NONE))?;
    assert_eq!(route.name().as_ref(), replica.name());
    let mut asking = JoinSet::new();
    for _ in 0..2 {
        asking.spawn(sleep(pool.clone(), false));
    }
    until("the reads to run", async || Ok(running(replica, SLEEP).await? == 2)).await?;
    replica.stop(Mode::Immediate).await?;
    until("them to be given up", async || Ok(route.pool().connections() == (0, 0))).await?;
    asking.shutdown().await;
    drop(route);
    replica.start().await?;
    until("the connections", async || Ok(of(replica).await? == 2)).await
}

#[tokio::test]
async fn connections_that_are_not_used_are_closed() -> Result {
    let cluster = boot(2).await?;
    let never = |pool: &mut PoolOverrides| pool.idle_timeout = Some(Duration::MAX);
    let pool = with(&cluster, |_| {}, |pool| pool.idle_timeout = Some(SHORT), never).await?;
    use_all(&pool, &cluster).await?;
    until("one to be closed", async || Ok(pooled(&cluster).await? == [1, 0, 1])).await
}

#[tokio::test]
async fn connections_that_are_old_are_closed() -> Result {
    let cluster = boot(2).await?;
    let never = |pool: &mut PoolOverrides| pool.max_lifetime = Some(Duration::MAX);
    let pool = with(&cluster, |_| {}, |pool| pool.max_lifetime = Some(SHORT), never).await?;
    use_all(&pool, &cluster).await?;
    until("one to be closed", async || Ok(pooled(&cluster).await? == [1, 0, 1])).await
}

/// Each role in turn: with a limit of its own, and with one of its node in place of that.
const EACH: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

/// The settings of the primary or of the replica: those of its role, and its own.
fn of_role(config: &mut Config, primary: bool) -> (&mut PoolConfig, &mut PoolOverrides) {
    if primary {
        (&mut config.pool.primary, &mut config.primary.pool)
    } else {
        (&mut config.pool.replica, &mut config.replicas[0].pool)
    }
}

/// Only replicas serve reads, and a failure is told at once.
fn hasty(cluster: &Cluster) -> ConfigBuilder {
    config(cluster).read_preference(ReadPreference::Replica).with(|config| {
        (config.write_wait, config.retries.within) = (Duration::ZERO, Duration::ZERO);
        (config.max_lag, config.unscoped) = (None, Unscoped::Eventual);
    })
}

async fn ask(pool: &RoutedPool, primary: bool) -> QueryResult<bool> {
    let mut conn = pool.handle();
    Ok(place(if primary { conn.use_primary() } else { &mut conn }).await?.standby)
}

#[tokio::test]
async fn whoever_waits_for_a_connection_has_the_limit_of_the_role_or_of_the_node() -> Result {
    let cluster = boot(1).await?;
    for (primary, own) in EACH {
        let settings = hasty(&cluster).with(|config| {
            for role in [false, true] {
                let (pool, _) = of_role(config, role);
                (pool.max, pool.checkout_timeout) = (1, NEVER);
            }
            let (pool, node) = of_role(config, primary);
            match own {
                true => node.checkout_timeout = Some(SHORT),
                false => pool.checkout_timeout = SHORT,
            }
        });
        let pool = RoutedPool::start(settings.build()?).await?;
        // Whoever holds it has the limit as well: opening it takes its time.
        for role in [false, true] {
            until("a connection to be open", async || Ok(ask(&pool, role).await.is_ok())).await?;
        }
        let mut holding = JoinSet::new();
        for role in [false, true] {
            holding.spawn(sleep(pool.clone(), role));
        }
        for node in cluster.nodes() {
            until("the only connection to be in use", async || Ok(running(node, SLEEP).await? == 1)).await?;
        }
        let mut other = Box::pin(ask(&pool, !primary));
        assert!(polled(1, other.as_mut()).await.is_none());
        let refused = ask(&pool, primary).await.unwrap_err();
        let told = refused.to_string();
        assert!(is_checkout_timeout(&refused) && told.contains(&format!("within {SHORT:?};")), "{told}");
        assert!(polled(1, other.as_mut()).await.is_none(), "the other role's limit is another one");
        holding.shutdown().await;
        assert_eq!(other.await?, primary, "it has the place of the one that was given up");
        for node in cluster.nodes() {
            until("nothing to run", async || Ok(running(node, SLEEP).await? == 0)).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn whoever_waits_for_a_server_has_the_limit_of_the_role_or_of_the_node() -> Result {
    let cluster = boot(1).await?;
    for (primary, own) in EACH {
        let settings = hasty(&cluster).with(|config| {
            // Only the connect itself may notice.
            config.monitor.timeout = Duration::from_secs(30);
            for (role, limit) in [(!primary, NEVER), (primary, if own { NEVER } else { SHORT })] {
                of_role(config, role).0.connect_timeout = limit;
            }
            of_role(config, primary).1.connect_timeout = own.then_some(SHORT);
        });
        let pool = RoutedPool::start(settings.build()?).await?;
        let node = if primary { cluster.primary() } else { cluster.replica(1)? };
        node.link().blackhole().await?;
        let told = ask(&pool, primary).await.unwrap_err().to_string();
        node.link().heal().await?;
        let expected = format!("`{}`: no connection within {SHORT:?} (`connect_timeout`)", node.name());
        assert!(told.contains(&expected), "{told}");
        assert_eq!(ask(&pool, !primary).await?, primary);
    }
    Ok(())
}
