//! Connections on their way back into their pools: a server that does not answer keeps nobody else from a connection.
//!
//! Each pool has room for one. One thread: what the driver wants to do after a statement has not begun before the test waits.

use std::thread;
use std::time::Duration;

use futures_util::TryStreamExt;
use rr_core::{Request, Requirement};
use rr_seaorm::{RoutedConnection, outcome_unknown};
use rr_tests::cluster::{Cluster, Node};
use sea_orm::{ConnectionTrait, StreamTrait, TransactionTrait};
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::support::{PATIENCE, Result, ask, boot, config, raw, running, standby_pid, started, until};

const SLEEP: &str = "SELECT 1 FROM pg_sleep(600)";

async fn narrow(limit: Option<Duration>) -> Result<(Cluster, RoutedConnection)> {
    let cluster = boot(1).await?;
    let settings = config(&cluster).with(|config| {
        for pool in [&mut config.pool.primary, &mut config.pool.replica] {
            pool.max = 1;
            pool.checkout_timeout = PATIENCE;
            pool.statement_timeout = limit;
        }
    });
    let db = started(settings).await?;
    Ok((cluster, db))
}

/// Has the network forget the node's connections, and lets nothing else happen meanwhile.
fn forget(node: &Node) -> Result {
    let link = node.link().clone();
    let forgotten = thread::spawn(move || {
        let runtime = Builder::new_current_thread().build()?;
        runtime.block_on(link.forget()).map_err(std::io::Error::other)
    });
    Ok(forgotten.join().map_err(|_| "a thread that talks to the proxy")??)
}

/// The backend that serves the primary's pool.
async fn primary_pid(db: &RoutedConnection) -> Result<i32> {
    Ok(ask(&db.use_primary(), "SELECT on_pid()").await?)
}

async fn writes_again(db: &RoutedConnection) -> Result {
    until("writes to find a connection", async || {
        Ok(db.execute_unprepared("INSERT INTO note (text) VALUES ('again')").await.map(|_| true)?)
    })
    .await
}

#[tokio::test]
async fn a_connection_that_the_network_forgot_makes_room() -> Result {
    let (cluster, db) = narrow(None).await?;
    let before = standby_pid(&db).await?;
    forget(cluster.replica(1)?)?;
    assert_ne!(standby_pid(&db).await?, before);
    let before = primary_pid(&db).await?;
    forget(cluster.primary())?;
    until("the primary to serve", async || Ok(primary_pid(&db).await? != before)).await?;
    writes_again(&db).await
}

#[tokio::test]
async fn a_stream_that_the_network_forgot_makes_room() -> Result {
    let (cluster, db) = narrow(Some(Duration::from_secs(1))).await?;
    let before = standby_pid(&db).await?;
    let rows = db.stream_raw(raw("SELECT generate_series(1, 1000000)")).await?;
    forget(cluster.replica(1)?)?;
    drop(rows);
    assert_ne!(standby_pid(&db).await?, before);
    Ok(())
}

/// A statement that was given up has as long as one that was not.
#[tokio::test]
async fn a_statement_that_was_given_up_has_its_limit() -> Result {
    let (cluster, db) = narrow(Some(Duration::from_secs(2))).await?;
    let replica = cluster.replica(1)?;
    let before = standby_pid(&db).await?;
    let reader = db.clone();
    let reading = tokio::spawn(async move { ask::<i32>(&reader, SLEEP).await });
    until("the read to run", async || Ok(running(replica, SLEEP).await? == 1)).await?;
    forget(replica)?;
    reading.abort();
    assert_ne!(standby_pid(&db).await?, before);
    Ok(())
}

/// Without a limit a server may take its time, as long as it is there.
#[tokio::test]
async fn a_node_that_is_gone_is_not_waited_for() -> Result {
    let (cluster, db) = narrow(None).await?;
    let replica = cluster.replica(1)?;
    let hung = standby_pid(&db).await?;
    let route = db.router().route(&Request::read(Requirement::NONE))?;
    assert_eq!(route.name().as_ref(), replica.name());
    let reader = db.clone();
    let reading = tokio::spawn(async move { ask::<i32>(&reader, SLEEP).await });
    until("the read to run", async || Ok(running(replica, SLEEP).await? == 1)).await?;
    reading.abort();
    assert!(reading.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(route.pool().connections(), (1, 0), "the server is at work");
    replica.link().blackhole().await?;
    until("its place to be free", async || Ok(route.pool().connections() == (0, 0))).await?;
    drop(route);
    replica.link().heal().await?;
    assert_ne!(standby_pid(&db).await?, hung);
    Ok(())
}

#[tokio::test]
async fn a_transaction_that_took_too_long_makes_room() -> Result {
    let (cluster, db) = narrow(Some(Duration::from_secs(1))).await?;
    for end in ["dropped", "rolled back", "committed"] {
        writes_again(&db).await?;
        let transaction = db.begin().await?;
        transaction.execute_unprepared("INSERT INTO note (text) VALUES ('hung')").await?;
        forget(cluster.primary())?;
        match end {
            "dropped" => {
                transaction.execute_unprepared("SELECT 1").await.unwrap_err();
                drop(transaction);
            }
            "rolled back" => drop(transaction.rollback().await.unwrap_err()),
            _ => assert!(outcome_unknown(&transaction.commit().await.unwrap_err()).is_some()),
        }
        writes_again(&db).await.map_err(|error| format!("{end}: {error}"))?;
    }
    let hung: i64 = ask(&db.use_primary(), "SELECT count(*) FROM note WHERE text = 'hung'").await?;
    assert_eq!(hung, 0);
    Ok(())
}

/// With statements that were given up, without a limit.
#[tokio::test]
async fn a_connection_is_closed_while_servers_do_not_answer() -> Result {
    let (cluster, db) = narrow(None).await?;
    let (primary, writer) = (cluster.primary(), db.use_primary());
    standby_pid(&db).await?;
    forget(cluster.replica(1)?)?;
    let writing = tokio::spawn(async move { writer.execute_unprepared(SLEEP).await });
    until("the statement to run", async || Ok(running(primary, SLEEP).await? == 1)).await?;
    writing.abort();
    timeout(PATIENCE, db.close()).await??;
    Ok(())
}

/// The backend that serves a pool of one.
async fn same_pids(db: &RoutedConnection, expected: [i32; 2], after: &str) -> Result {
    assert_eq!([standby_pid(db).await?, primary_pid(db).await?], expected, "after {after}");
    Ok(())
}

#[tokio::test]
async fn a_connection_whose_statement_was_answered_is_used_again() -> Result {
    let (_cluster, db) = narrow(None).await?;
    let pids = [standby_pid(&db).await?, primary_pid(&db).await?];
    let primary = db.use_primary();
    for handle in [&db, &primary] {
        same_pids(&db, pids, "a read").await?;
        ask::<i32>(handle, "SELECT 1 / 0").await.unwrap_err();
        same_pids(&db, pids, "an error").await?;
        let rows = handle.stream_raw(raw("SELECT generate_series(1, 3)")).await?;
        assert_eq!(rows.try_collect::<Vec<_>>().await?.len(), 3);
        same_pids(&db, pids, "a stream").await?;
        drop(handle.stream_raw(raw("SELECT generate_series(1, 100000)")).await?);
        same_pids(&db, pids, "a stream that was given up").await?;
    }
    db.execute_unprepared("INSERT INTO note (text) VALUES ('x')").await?;
    db.stream_raw(raw("INSERT INTO note (text) VALUES ('y') RETURNING id"))
        .await?
        .try_collect::<Vec<_>>()
        .await?;
    same_pids(&db, pids, "writes").await?;
    db.begin().await?.commit().await?;
    drop(db.begin().await?);
    same_pids(&db, pids, "transactions").await?;
    db.ping().await?;
    same_pids(&db, pids, "a ping").await
}

/// Without a limit it may take longer than a connection takes to be opened.
#[tokio::test]
async fn a_statement_that_was_given_up_and_has_no_limit_is_waited_for() -> Result {
    let (cluster, db) = narrow(None).await?;
    let replica = cluster.replica(1)?;
    let before = standby_pid(&db).await?;
    let slow = "SELECT 1 FROM pg_sleep(3)";
    let reader = db.clone();
    let reading = tokio::spawn(async move { ask::<i32>(&reader, slow).await });
    until("the read to run", async || Ok(running(replica, slow).await? == 1)).await?;
    reading.abort();
    assert_eq!(standby_pid(&db).await?, before, "its connection is there again when it has ended");
    Ok(())
}

/// Nobody waits for the answer of a server that took too long.
#[tokio::test]
async fn a_statement_that_took_too_long_leaves_its_place_at_once() -> Result {
    let (cluster, db) = narrow(Some(Duration::from_secs(1))).await?;
    let pids = [standby_pid(&db).await?, primary_pid(&db).await?];
    let reads = db.router().route(&Request::read(Requirement::NONE))?;
    let writes = db.router().route(&Request::write())?;
    assert_eq!(reads.name().as_ref(), cluster.replica(1)?.name());
    let connections = || [reads.pool().connections().0, writes.pool().connections().0];
    assert_eq!(connections(), [1, 1]);
    for end in ["a read", "a stream"] {
        match end {
            "a read" => drop(ask::<i32>(&db, SLEEP).await.unwrap_err()),
            _ => drop(db.stream_raw(raw(SLEEP)).await.unwrap_err()),
        }
        assert_eq!(connections(), [0, 0], "{end} was too slow on two nodes");
        let now = [standby_pid(&db).await?, primary_pid(&db).await?];
        assert!(now[0] != pids[0] && now[1] != pids[1], "{end}");
    }
    Ok(())
}

/// Nothing was sent yet, or what was is no statement.
#[tokio::test]
async fn a_ping_that_the_network_forgot_makes_room() -> Result {
    let (cluster, db) = narrow(None).await?;
    writes_again(&db).await?;
    forget(cluster.primary())?;
    timeout(Duration::from_millis(100), db.ping()).await.unwrap_err();
    writes_again(&db).await
}
