//! Connections on their way back into their pools: a server that does not answer keeps nobody else from a connection.
//!
//! Each pool has room for one. One thread: what the driver wants to do after a statement has not begun before the test waits.

use std::thread;
use std::time::Duration;

use rr_core::{Request, Requirement};
use rr_seaorm::{RoutedConnection, outcome_unknown};
use rr_tests::cluster::{Cluster, Node};
use sea_orm::{ConnectionTrait, StreamTrait, TransactionTrait};
use tokio::runtime::Builder;

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
    tokio::time::timeout(PATIENCE, db.close()).await??;
    Ok(())
}
