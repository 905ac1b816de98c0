//! Servers that go away, and callers that do.

use std::time::Duration;

use futures_util::TryStreamExt;
use rr_seaorm::{RoutedConnection, RoutingError, routing_error};
use rr_tests::cluster::Part;
use sea_orm::{ConnectionTrait, StreamTrait};

use crate::support::{
    PATIENCE, Result, ask, boot, config, connect, in_flight, notes, on_port, on_standby, raw, running,
    server_port, until,
};

#[tokio::test]
async fn reads_survive_the_death_of_connections_replicas_and_the_primary() -> Result {
    let cluster = boot(2).await?;
    let db = &connect(&cluster).await?;
    for _ in 0..20 {
        assert!(on_standby(db).await?);
    }
    for replica in cluster.replicas() {
        replica.kill_client_connections().await?;
    }
    for _ in 0..20 {
        on_standby(db).await?;
    }
    cluster.replica(1)?.kill9().await?;
    for _ in 0..50 {
        on_standby(db).await?;
    }
    cluster.replica(2)?.kill9().await?;
    for _ in 0..50 {
        assert!(!on_standby(db).await?, "the primary is all there is");
    }
    cluster.replica(1)?.start().await?;
    until("the replica to serve again", async || Ok(on_standby(db).await?)).await?;
    cluster.primary().kill9().await?;
    for _ in 0..50 {
        assert!(on_standby(db).await?, "reads go on without a primary");
    }
    Ok(())
}

#[tokio::test]
async fn a_dead_replica_does_not_keep_anybody_from_starting() -> Result {
    let cluster = boot(1).await?;
    cluster.replica(1)?.kill9().await?;
    let db = RoutedConnection::connect_nodes(cluster.primary().url(), [cluster.replica(1)?.url()]).await?;
    assert!(!on_standby(&db).await?);
    cluster.replica(1)?.start().await?;
    until("the replica to serve", async || Ok(on_standby(&db).await?)).await?;
    Ok(())
}

#[tokio::test]
async fn a_read_that_is_killed_midway_is_answered_by_another_node() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    for streamed in [false, true] {
        until("the replica to serve", async || Ok(on_standby(&db).await?)).await?;
        let reading = tokio::spawn({
            let db = db.clone();
            async move {
                let slow = raw("SELECT CASE WHEN on_standby() THEN pg_sleep(600) END");
                match streamed {
                    false => db.query_all_raw(slow).await.map(|rows| rows.len()),
                    true => db.stream_raw(slow).await?.try_collect::<Vec<_>>().await.map(|rows| rows.len()),
                }
            }
        });
        let replica = cluster.replica(1)?;
        until("it to run", async || Ok(running(replica, "SELECT CASE%").await? > 0)).await?;
        replica.kill_client_connections().await?;
        assert_eq!(reading.await??, 1, "streamed: {streamed}");
    }
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
    let db = crate::support::started(settings).await?;
    for _ in 0..20 {
        assert!(on_standby(&db).await?);
    }
    let hung = cluster.replica(1)?;
    hung.sigstop(Part::Everything)?;
    let port = server_port(hung)?;
    for _ in 0..8 {
        assert_ne!(on_port(&db).await?, port);
        let rows = db.stream_raw(raw("SELECT on_port() AS port")).await?.try_collect::<Vec<_>>().await?;
        assert_ne!(rows[0].try_get::<i32>("", "port")?, port);
    }
    hung.sigcont(Part::Everything)?;
    Ok(())
}

#[tokio::test]
async fn a_handle_may_have_a_deadline_of_its_own() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    let hasty = db.with_deadline(Duration::from_millis(100));
    let error = hasty.query_one_raw(raw("SELECT pg_sleep(600)")).await.unwrap_err();
    assert!(matches!(routing_error(&error), Some(RoutingError::TooSlow { .. })), "{error}");
    assert_eq!(ask::<i32>(&hasty, "SELECT 1").await?, 1);
    let patient = db.query_one_raw(raw("SELECT pg_sleep(0.3)")).await?;
    assert!(patient.is_some());
    Ok(())
}

#[tokio::test]
async fn a_future_that_is_dropped_leaves_nothing_behind() -> Result {
    let cluster = boot(1).await?;
    let settings = config(&cluster).with(|config| {
        config.pool.replica.max = 1;
        config.pool.primary.max = 1;
    });
    let db = crate::support::started(settings).await?;
    for sql in ["SELECT pg_sleep(0.3)", "SELECT pg_sleep(0.1), generate_series(1, 3)"] {
        drop(tokio::time::timeout(Duration::from_millis(50), db.query_one_raw(raw(sql))).await);
        assert_eq!(in_flight(&db), [Some(0); 2]);
        assert_eq!(
            ask::<i32>(&db, "SELECT 5").await?,
            5,
            "the connection was not handed on while it was busy"
        );
    }
    // A write is the same, and counts as done: the reads after it do not trust the replica blindly.
    let writing = db.execute_unprepared("INSERT INTO note (text) SELECT 'late' FROM pg_sleep(0.5)");
    let begun =
        until("the write to begin", async || Ok(running(cluster.primary(), "INSERT INTO note%").await? > 0));
    tokio::select! {
        done = writing => drop(done),
        begun = begun => begun?,
    }
    assert_eq!(in_flight(&db), [Some(0); 2]);
    let requirement = db.router().process_session().requirement(rr_core::Consistency::Session);
    assert!(requirement.after.is_some() || requirement.covers.is_some());
    until("the write to end", async || Ok(notes(&db.use_primary()).await? == 1)).await?;
    Ok(())
}

#[tokio::test]
async fn writes_wait_for_a_new_primary_and_are_not_repeated() -> Result {
    let cluster = boot(2).await?;
    let settings = config(&cluster).with(|config| config.write_wait = PATIENCE);
    let db = crate::support::started(settings).await?;
    db.execute_unprepared("INSERT INTO note (text) VALUES ('before')").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    cluster.primary().kill9().await?;
    let writing = tokio::spawn({
        let db = db.clone();
        async move {
            loop {
                // Lost before it was sent, or on a connection that was dead already: then it may be asked again.
                match db.execute_unprepared("INSERT INTO note (text) VALUES ('after')").await {
                    Ok(done) => return done.rows_affected(),
                    Err(error) => assert!(!error.to_string().contains("read-only"), "{error}"),
                }
            }
        }
    });
    cluster.replica(1)?.promote().await?;
    assert_eq!(tokio::time::timeout(PATIENCE, writing).await??, 1);
    assert_eq!(notes(&db).await?, 2);
    assert_eq!(notes(&db.use_primary()).await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_closed_connection_says_so_at_once() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    db.ping().await?;
    let clone = db.clone();
    db.close().await?;
    for error in [
        clone.ping().await.unwrap_err(),
        on_standby(&clone).await.unwrap_err(),
        clone.execute_unprepared("SELECT 1 FOR UPDATE").await.unwrap_err(),
    ] {
        assert_eq!(error.to_string(), "Failed to acquire connection from pool: Connection closed");
    }
    for node in cluster.nodes() {
        until("all connections to be closed", async || {
            let sql = "SELECT count(*)::text FROM pg_stat_activity WHERE backend_type = 'client backend' \
                       AND pid <> pg_backend_pid()";
            Ok(node.admin_query_text(sql).await? == "0")
        })
        .await?;
    }
    Ok(())
}
