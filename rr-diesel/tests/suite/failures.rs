//! Servers that go away, and callers that do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use diesel::connection::InstrumentationEvent;
use diesel::prelude::*;
use diesel::sql_query;
use diesel_async::{AsyncConnection, RunQueryDsl};
use futures_util::StreamExt;
use rr_diesel::RoutedPool;
use rr_tests::cluster::Cluster;
use tokio::task::JoinSet;

use crate::support::{Result, boot, config, note, place, pool, running, server_port, until};

#[tokio::test]
async fn reads_survive_the_death_of_connections_replicas_and_the_primary() -> Result {
    let cluster = boot(2).await?;
    let pool = pool(&cluster).await?;
    for _ in 0..20 {
        assert!(place(&mut pool.handle()).await?.standby);
    }
    for replica in cluster.replicas() {
        replica.kill_client_connections().await?;
    }
    for _ in 0..20 {
        place(&mut pool.handle()).await?;
    }
    cluster.replica(1)?.kill9().await?;
    for _ in 0..50 {
        place(&mut pool.handle()).await?;
    }
    cluster.replica(2)?.kill9().await?;
    for _ in 0..50 {
        assert!(!place(&mut pool.handle()).await?.standby, "the primary is all there is");
    }
    cluster.replica(1)?.start().await?;
    until("the replica to serve again", async || Ok(place(&mut pool.handle()).await?.standby)).await?;
    cluster.primary().kill9().await?;
    for _ in 0..50 {
        assert!(place(&mut pool.handle()).await?.standby, "reads go on without a primary");
    }
    Ok(())
}

#[tokio::test]
async fn a_read_that_is_killed_midway_is_answered_by_another_node() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    let slow = "SELECT CASE WHEN on_standby() THEN pg_sleep(600) END";
    let reading = tokio::spawn(async move { sql_query(slow).execute(&mut pool.handle()).await });
    kill_sleeper(&cluster).await?;
    assert_eq!(reading.await??, 1);
    Ok(())
}

#[tokio::test]
async fn a_read_is_not_run_again_when_that_is_switched_off() -> Result {
    let cluster = boot(2).await?;
    let settings = config(&cluster).with(|config| config.retries.within = Duration::ZERO);
    let pool = RoutedPool::start(settings.build()?).await?;
    let reading =
        tokio::spawn(async move { sql_query("SELECT pg_sleep(60)").execute(&mut pool.handle()).await });
    kill_sleeper(&cluster).await?;
    let error = reading.await?.unwrap_err().to_string();
    assert!(error.contains("terminating connection"), "{error}");
    Ok(())
}

/// Beyond the budget an error is told: a cluster in trouble does not get every statement several times.
#[tokio::test]
async fn reads_that_are_run_again_have_a_budget() -> Result {
    const READS: usize = 6;
    const SLEEP: &str = "SELECT pg_sleep(600)";
    let cluster = boot(1).await?;
    let settings =
        config(&cluster).with(|config| (config.retries.per_second, config.retries.burst) = (Some(1), 2));
    let pool = RoutedPool::start(settings.build()?).await?;
    let mut reading = JoinSet::new();
    for _ in 0..READS {
        let pool = pool.clone();
        reading.spawn(async move { sql_query(SLEEP).execute(&mut pool.handle()).await });
    }
    let at_work = async |node| -> Result<usize> { Ok(running(node, SLEEP).await?.try_into()?) };
    let replica = cluster.replica(1)?;
    until("the reads to run", async || Ok(at_work(replica).await? == READS)).await?;
    replica.kill_client_connections().await?;
    let mut refused = 0;
    until("each to be told of it, or to run again", async || {
        while let Some(read) = reading.try_join_next() {
            let error = read?.unwrap_err().to_string();
            assert!(error.contains("terminating connection"), "{error}");
            refused += 1;
        }
        Ok(refused + at_work(cluster.primary()).await? == READS)
    })
    .await?;
    // One more with each second that this takes.
    assert!((1..=READS - 2).contains(&refused), "{refused} of {READS} were not run again");
    Ok(())
}

/// Ends the connections of the replica that runs `pg_sleep`.
async fn kill_sleeper(cluster: &Cluster) -> Result {
    let victim = async {
        loop {
            for replica in cluster.replicas() {
                if running(replica, "SELECT %pg_sleep%").await? > 0 {
                    return Ok::<_, Box<dyn std::error::Error>>(replica);
                }
            }
        }
    };
    let victim = tokio::time::timeout(crate::support::PATIENCE, victim).await??;
    victim.kill_client_connections().await?;
    Ok(())
}

#[tokio::test]
async fn a_node_that_hangs_loses_the_statement_to_another() -> Result {
    let cluster = boot(2).await?;
    let settings = config(&cluster).with(|config| {
        config.pool.replica.statement_timeout = Some(Duration::from_millis(300));
        // Only the deadline of the statement itself may notice.
        config.monitor.interval = Duration::from_secs(60);
        config.max_lag = None;
    });
    let pool = RoutedPool::start(settings.build()?).await?;
    for _ in 0..20 {
        assert!(place(&mut pool.handle()).await?.standby);
    }
    let hung = cluster.replica(1)?;
    hung.sigstop(rr_tests::cluster::Part::Everything)?;
    let port = server_port(hung)?;
    for _ in 0..20 {
        assert_ne!(place(&mut pool.handle()).await?.port, port);
    }
    hung.sigcont(rr_tests::cluster::Part::Everything)?;
    Ok(())
}

#[tokio::test]
async fn a_slow_server_is_not_taken_for_one_that_is_gone() -> Result {
    let cluster = boot(1).await?;
    let settings = config(&cluster).with(|config| {
        // Only what statements meet counts.
        config.monitor.interval = Duration::from_secs(60);
        config.max_lag = None;
    });
    let pool = RoutedPool::start(settings.build()?).await?;
    place(&mut pool.handle()).await?;
    place(pool.handle().use_primary()).await?;
    let runs = Arc::new(Mutex::new(0));
    let mut conn = pool.handle();
    conn.set_instrumentation({
        let runs = Arc::clone(&runs);
        move |event: InstrumentationEvent<'_>| {
            if matches!(event, InstrumentationEvent::StartQuery { .. }) {
                *runs.lock().unwrap() += 1;
            }
        }
    });
    for node in cluster.nodes() {
        node.link().delay(Duration::from_millis(350)).await?;
    }
    let error = sql_query("SELECT nonsense").execute(&mut conn).await.unwrap_err().to_string();
    assert!(error.contains("\"nonsense\" does not exist"), "{error}");
    assert_eq!(*runs.lock().unwrap(), 2, "the replica said it, and the primary confirmed it");
    for node in cluster.nodes() {
        node.link().heal().await?;
    }
    assert!(place(&mut conn).await?.standby);
    Ok(())
}

#[tokio::test]
async fn a_future_that_is_dropped_leaves_nothing_behind() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    let replica = cluster.replica(1)?;
    for sql in ["SELECT pg_sleep(600)", "SELECT pg_sleep(600) FROM generate_series(1, 3)"] {
        let mut conn = pool.handle();
        let reading = sql_query(sql).execute(&mut conn);
        drop(tokio::time::timeout(Duration::from_millis(200), reading).await);
        until("the server to stop", async || Ok(running(replica, "%pg_sleep(600)%").await? == 0)).await?;
    }
    let in_flight = || ["primary", "replica-1"].map(|name| pool.router().in_flight(name));
    assert_eq!(in_flight(), [Some(0); 2]);
    // A write is the same, and counts as done: the reads after it do not trust the replica blindly.
    let mut conn = pool.handle();
    let writing = sql_query("INSERT INTO note (text) SELECT 'late' FROM pg_sleep(600)").execute(&mut conn);
    drop(tokio::time::timeout(Duration::from_millis(200), writing).await);
    until("the primary to stop", async || Ok(running(cluster.primary(), "%pg_sleep(600)%").await? == 0))
        .await?;
    assert_eq!(in_flight(), [Some(0); 2]);
    Ok(())
}

#[tokio::test]
async fn a_stream_that_is_dropped_early_gives_its_connection_up() -> Result {
    let cluster = boot(1).await?;
    let settings = config(&cluster).with(|config| config.pool.replica.max = 1);
    let pool = RoutedPool::start(settings.build()?).await?;
    for _ in 0..10 {
        let mut conn = pool.handle();
        let mut rows = sql_query("SELECT generate_series AS id FROM generate_series(1, 5000000)")
            .load_stream::<Id>(&mut conn)
            .await?;
        assert_eq!(rows.next().await.transpose()?.map(|row| row.id), Some(1));
        drop(rows);
        let one: Id = sql_query("SELECT 7 AS id").get_result(&mut pool.handle()).await?;
        assert_eq!(one.id, 7);
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_on_the_replica_yet_is_answered_by_the_primary() -> Result {
    let cluster = boot(1).await?;
    let settings = config(&cluster).with(|config| config.unscoped = rr_core::config::Unscoped::Eventual);
    let pool = RoutedPool::start(settings.build()?).await?;
    cluster.replica(1)?.pause_replay().await?;
    cluster.primary().sql("CREATE TABLE late (id int); INSERT INTO late VALUES (3)").await?;
    let row: Id = sql_query("SELECT id FROM late").get_result(&mut pool.handle()).await?;
    assert_eq!(row.id, 3);
    let missing = sql_query("SELECT id FROM nowhere").get_result::<Id>(&mut pool.handle()).await;
    assert!(missing.unwrap_err().to_string().contains("\"nowhere\" does not exist"));
    assert!(place(&mut pool.handle()).await?.standby);
    let none = note::table.find(77).first::<(i32, String, i32)>(&mut pool.handle()).await;
    assert_eq!(none, Err(diesel::result::Error::NotFound));
    Ok(())
}

#[derive(Debug, QueryableByName)]
struct Id {
    #[diesel(sql_type = diesel::sql_types::Integer)]
    id: i32,
}
