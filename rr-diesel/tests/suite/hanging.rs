//! Connections to a node that hangs are not used again when it goes on.

use std::time::Duration;

use diesel::sql_query;
use diesel_async::RunQueryDsl;
use futures_util::StreamExt;
use rr_core::config::Unscoped;
use rr_diesel::RoutedPool;
use rr_tests::cluster::{Cluster, Node, Part};

use crate::midway::Id;
use crate::support::{PATIENCE, Place, Result, boot, config, until};

/// Where a read goes, with the server's process in place of its port.
const PROCESS: &str = "SELECT on_standby() AS standby, on_process() AS port";

/// How a node stops to answer without anybody being told.
#[derive(Clone, Copy, Debug)]
enum Hang {
    /// Its processes stand still.
    Stopped,
    /// Nothing comes through: its connections are half-open.
    Silent,
}

impl Hang {
    async fn begin(self, node: &Node) -> Result {
        match self {
            Self::Stopped => drop(node.sigstop(Part::Everything)?),
            Self::Silent => node.link().blackhole().await?,
        }
        Ok(())
    }

    async fn end(self, node: &Node) -> Result {
        match self {
            Self::Stopped => drop(node.sigcont(Part::Everything)?),
            Self::Silent => node.link().heal().await?,
        }
        Ok(())
    }
}

async fn process(pool: &RoutedPool) -> diesel::QueryResult<Place> {
    sql_query(PROCESS).get_result(&mut pool.handle()).await
}

#[tokio::test]
async fn a_connection_that_hung_is_closed_and_never_used_again() -> Result {
    let cluster = boot(1).await?;
    let function =
        "CREATE FUNCTION on_process() RETURNS int STABLE LANGUAGE sql AS 'SELECT pg_backend_pid()'";
    cluster.primary().sql(function).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    for hang in [Hang::Stopped, Hang::Silent] {
        not_used_again(&cluster, hang).await.map_err(|error| format!("{hang:?}: {error}"))?;
    }
    Ok(())
}

async fn not_used_again(cluster: &Cluster, hang: Hang) -> Result {
    let settings = config(cluster).with(|config| {
        config.pool.replica.max = 1;
        config.pool.replica.statement_timeout = Some(Duration::from_millis(300));
        // Only the deadline of the statement itself may notice.
        config.monitor.interval = Duration::from_secs(60);
        config.max_lag = None;
        config.unscoped = Unscoped::Eventual;
    });
    let pool = RoutedPool::start(settings.build()?).await?;
    let before = process(&pool).await?;
    assert!(before.standby);
    let replica = cluster.replica(1)?;
    hang.begin(replica).await?;
    assert!(!process(&pool).await?.standby, "the primary answers in its place");
    hang.end(replica).await?;
    let there = format!("SELECT count(*)::text FROM pg_stat_activity WHERE pid = {}", before.port);
    let gone = async || Ok(replica.admin_query_text(&there).await? == "0");
    until("the server to have closed it", gone).await?;
    let mut after = before;
    until("the standby to serve again", async || {
        after = process(&pool).await?;
        Ok(after.standby)
    })
    .await?;
    assert_ne!(after.port, before.port, "on another connection");
    Ok(())
}

/// Rows that are far more than fits between the server and its client; the server stands still after the first ones.
#[tokio::test]
async fn a_load_that_hangs_after_its_first_rows_ends_and_its_connection_is_not_used_again() -> Result {
    const ROWS: &str = "SELECT id, repeat('x', 20000) AS filler FROM generate_series(1, 100000) AS id";
    let cluster = boot(1).await?;
    let settings = config(&cluster).with(|config| {
        config.pool.replica.max = 1;
        config.pool.replica.statement_timeout = Some(Duration::from_millis(500));
        config.max_lag = None;
        config.unscoped = Unscoped::Eventual;
    });
    let pool = RoutedPool::start(settings.build()?).await?;
    let replica = cluster.replica(1)?;
    let mut conn = pool.handle();
    let mut rows = sql_query(ROWS).load_stream::<Id>(&mut conn).await?;
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
    assert!(error.to_string().contains("`replica-1` did not answer within 500ms"), "{error}");
    assert!(rows.next().await.is_none(), "it has ended for good");
    drop(rows);
    assert_eq!(pool.router().in_flight("replica-1"), Some(0));
    replica.sigcont(Part::Everything)?;
    let busy = "SELECT count(*)::text FROM pg_stat_activity WHERE query LIKE '%AS filler%' AND pid <> pg_backend_pid()";
    until("its connection to be closed", async || Ok(replica.admin_query_text(busy).await? == "0")).await
}
