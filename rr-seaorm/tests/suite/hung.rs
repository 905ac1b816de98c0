//! A connection on which nobody has answered is never used again.

use std::time::Duration;

use futures_util::StreamExt;
use rr_core::topology::Role;
use rr_core::{Request, Requirement};
use rr_seaorm::{RoutedConnection, RoutingError, routing_error};
use rr_tests::cluster::{Cluster, Node, Part};
use sea_orm::{AccessMode, ConnectionTrait, StreamTrait, TransactionTrait};

use crate::support::{
    PATIENCE, Result, ask, boot, config, in_flight, raw, standby_pid, standby_serves, started, until,
};

async fn is_there(node: &Node, pid: i32) -> Result<bool> {
    let sql = format!("SELECT count(*)::text FROM pg_stat_activity WHERE pid = {pid}");
    Ok(node.admin_query_text(&sql).await? != "0")
}

/// One connection to the replica, and not much patience with it.
async fn hasty(cluster: &Cluster) -> Result<RoutedConnection> {
    let settings = config(cluster).with(|config| {
        config.pool.replica.max = 1;
        config.pool.replica.statement_timeout = Some(Duration::from_millis(500));
    });
    started(settings).await
}

/// A replica that hangs in one way or another, and then goes on.
async fn hang(link: bool) -> Result {
    let cluster = boot(1).await?;
    let db = &hasty(&cluster).await?;
    let replica = cluster.replica(1)?;
    let hung = standby_pid(db).await?;
    // The driver asks a connection whether it lives before it puts it back: one that is still out is not the read's.
    until("the connection to be back in its pool", async || {
        let route = db.router().route(&Request::read(Requirement::NONE))?;
        let idle = route.pool().database().get_postgres_connection_pool().num_idle();
        Ok(route.role() == Role::Replica && idle == 1)
    })
    .await?;
    // The read has it when it first waits. Whatever notices then, the monitor or the limit of the statement.
    let reading = async {
        let sql = "SELECT on_standby() FROM pg_sleep(CASE WHEN on_standby() THEN 600 ELSE 0 END)";
        Ok(ask::<bool>(db, sql).await?)
    };
    let hanging = async {
        match link {
            false => drop(replica.sigstop(Part::Everything)?),
            true => replica.link().blackhole().await?,
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let (standby, ()) = tokio::try_join!(reading, hanging)?;
    assert!(!standby, "the primary answers");
    assert_eq!(in_flight(db), [Some(0); 2]);
    match link {
        false => drop(replica.sigcont(Part::Everything)?),
        true => replica.link().heal().await?,
    }
    assert_ne!(
        standby_pid(db).await?,
        hung,
        "a connection that was left in the middle of a statement is not used again"
    );
    // The server learns that nobody listens when it wants to say something.
    replica.admin_sql(&format!("SELECT pg_cancel_backend({hung})")).await?;
    until("the hung connection to be closed", async || Ok(!is_there(replica, hung).await?)).await?;
    Ok(())
}

/// Rows that are far more than fits between the server and its client; on a replica that stands still after the first ones.
#[tokio::test]
async fn a_stream_that_hangs_after_its_first_rows_ends_and_its_connection_is_not_used_again() -> Result {
    let cluster = boot(1).await?;
    let db = &hasty(&cluster).await?;
    let replica = cluster.replica(1)?;
    let hung = standby_pid(db).await?;
    let sql = "SELECT n, repeat('x', 20000) FROM generate_series(1, 100000) n";
    let mut rows = db.use_replica().stream_raw(raw(sql)).await?;
    for _ in 0..2 {
        rows.next().await.ok_or("a row")??;
    }
    replica.sigstop(Part::Everything)?;
    let error = loop {
        match rows.next().await.ok_or("an error before the end")? {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(routing_error(&error), Some(RoutingError::TooSlow { .. })), "{error}");
    assert!(rows.next().await.is_none(), "it has ended for good");
    assert_eq!(in_flight(db), [Some(0); 2]);
    replica.sigcont(Part::Everything)?;
    assert_ne!(standby_pid(db).await?, hung);
    Ok(())
}

/// A read-only transaction asks a handle's own deadline as every read does.
#[tokio::test]
async fn a_deadline_of_a_handle_holds_in_its_read_only_transactions() -> Result {
    let cluster = boot(1).await?;
    let db = started(config(&cluster)).await?;
    let hasty = db.with_deadline(Duration::from_millis(200));
    let reading = hasty.begin_with_config(None, Some(AccessMode::ReadOnly)).await?;
    let error = reading.query_one_raw(raw("SELECT pg_sleep(600)")).await.unwrap_err();
    assert!(matches!(routing_error(&error), Some(RoutingError::TooSlow { .. })), "{error}");
    drop(reading);
    assert_eq!(in_flight(&db), [Some(0); 2]);
    Ok(())
}

/// The rows of such a transaction as well; what it leaves behind keeps nobody out of the pool.
#[tokio::test]
async fn a_stream_in_a_read_only_transaction_has_the_deadline() -> Result {
    let cluster = boot(1).await?;
    let settings = config(&cluster).with(|config| config.pool.replica.max = 1);
    let db = started(settings).await?;
    let hasty = db.with_deadline(Duration::from_millis(200));
    let reading = hasty.begin_with_config(None, Some(AccessMode::ReadOnly)).await?;
    assert_eq!(reading.node().1, Role::Replica);
    let mut rows = reading.stream_raw(raw("SELECT pg_sleep(600)")).await?;
    let row = tokio::time::timeout(PATIENCE, rows.next()).await?;
    let error = row.ok_or("an error before the end")?.unwrap_err();
    assert!(matches!(routing_error(&error), Some(RoutingError::TooSlow { .. })), "{error}");
    assert!(rows.next().await.is_none(), "it has ended for good");
    assert_eq!(in_flight(&db), [Some(0); 2], "the node has failed the transaction");
    drop(rows);
    drop(reading);
    standby_serves(&db).await
}

#[tokio::test]
async fn the_connection_of_a_server_that_hung_is_not_used_again() -> Result {
    hang(false).await
}

#[tokio::test]
async fn a_half_open_connection_is_not_used_again() -> Result {
    hang(true).await
}
