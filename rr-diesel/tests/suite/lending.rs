//! Connections that a handle lends, whatever is done with them.

use std::time::Duration;

use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;
use diesel_async::pooled_connection::PoolableConnection;
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection, TransactionManager};
use futures_util::StreamExt;
use rr_core::Config;
use rr_diesel::{RoutedPgConnection, RoutedPool, outcome_unknown};
use rr_tests::cluster::Cluster;

use crate::support::{PATIENCE, Result, boot, config, note, place, pool, running, until};

pub(crate) const LEFT: &str = "SET application_name = 'left'";

/// A name that connections are not given by themselves.
pub(crate) const NAME: &str = "SELECT current_setting('application_name') = 'left' AS standby";

/// More rows than all buffers on their way hold.
pub(crate) const MANY: &str =
    "INSERT INTO note (text) SELECT 'x' FROM generate_series(1, 20000) RETURNING repeat(text, 10000) AS text";

/// It is waited for: a server that may write again before it has noticed sends all that is left.
pub(crate) const KILLED: &str = "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 20000))::text \
    FROM pg_stat_activity WHERE query LIKE 'INSERT%'";

/// One connection to each node, in the only pool for its role.
async fn narrow(cluster: &Cluster, more: impl FnOnce(&mut Config)) -> Result<RoutedPool> {
    let settings = config(cluster).with(|config| {
        (config.pool.primary.max, config.pool.replica.max) = (1, 1);
        more(config);
    });
    Ok(RoutedPool::start(settings.build()?).await?)
}

#[tokio::test]
async fn what_is_left_on_a_lent_connection_is_for_nobody_else() -> Result {
    let cluster = boot(1).await?;
    let pool = narrow(&cluster, |_| ()).await?;
    until("the replica to serve", async || Ok(place(&mut pool.handle()).await?.standby)).await?;
    let left = async |conn: &mut RoutedPgConnection| crate::support::standby_says(conn, NAME).await;
    pool.handle().primary().await?.batch_execute(LEFT).await?;
    assert!(!left(pool.handle().use_primary()).await?);
    pool.handle().replica().await?.batch_execute(LEFT).await?;
    assert!(!left(&mut pool.handle()).await?);
    assert!(place(&mut pool.handle()).await?.standby, "that one was asked");
    Ok(())
}

#[tokio::test]
async fn what_is_given_up_on_a_lent_connection_is_stopped() -> Result {
    const SLOW: &str = "SELECT 1 FROM pg_sleep(600)";
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    until("the replica to serve", async || Ok(place(&mut pool.handle()).await?.standby)).await?;
    for (node, on_primary) in [(cluster.primary(), true), (cluster.replica(1)?, false)] {
        let mut conn = pool.handle();
        let at_work = async || Ok::<_, Box<dyn std::error::Error>>(running(node, SLOW).await?);
        {
            let lent = if on_primary { conn.primary().await? } else { conn.replica().await? };
            let sleeping = sql_query(SLOW).execute(lent);
            let began = until("the statement to run", async || Ok(at_work().await? == 1));
            tokio::select! {
                slept = sleeping => return Err(format!("it ended: {slept:?}").into()),
                began = began => began?,
            }
        }
        drop(conn);
        until("the statement to be stopped", async || Ok(at_work().await? == 0)).await?;
    }
    Ok(())
}

/// What waits in a pool of handles has no connection of a node's pool.
#[tokio::test]
async fn a_handle_that_is_put_away_has_lent_nothing() -> Result {
    let cluster = boot(1).await?;
    let pool = narrow(&cluster, |_| ()).await?;
    until("the replica to serve", async || Ok(place(&mut pool.handle()).await?.standby)).await?;
    let mut away = pool.handle();
    away.replica().await?;
    assert!(!away.is_broken());
    assert!(place(&mut pool.handle()).await?.standby);
    Ok(())
}

#[tokio::test]
async fn a_transaction_on_a_replica_has_no_connection_to_the_primary() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    until("the replica to serve", async || Ok(place(&mut pool.handle()).await?.standby)).await?;
    let mut conn = pool.handle();
    let mut transaction = conn.build_transaction().read_only();
    let asked = transaction.run::<_, Error, _>(async |conn| {
        Ok(conn.primary().await.map(drop).map_err(|error| error.to_string()))
    });
    let told = asked.await?.unwrap_err();
    assert!(told.contains("on a replica"), "{told}");
    diesel::insert_into(note::table).values(note::text.eq("x")).execute(&mut conn).await?;
    assert_eq!(note::table.count().get_result::<i64>(&mut conn).await?, 1);
    Ok(())
}

#[tokio::test]
async fn where_replicas_are_asked_for_nothing_is_written() -> Result {
    let cluster = boot(0).await?;
    let pool = pool(&cluster).await?;
    let mut conn = pool.handle();
    let insert = || diesel::insert_into(note::table).values(note::text.eq("x"));
    let refused = insert().execute(conn.replica().await?).await;
    assert!(refused.unwrap_err().to_string().contains("read-only transaction"));
    insert().execute(&mut conn).await?;
    Ok(())
}

/// The rollback waits behind the statement that took too long, and is given up as well.
#[tokio::test]
async fn a_transaction_whose_end_takes_too_long_is_over() -> Result {
    let cluster = boot(1).await?;
    let limit = Some(Duration::from_millis(300));
    let pool = narrow(&cluster, |config| config.pool.primary.statement_timeout = limit).await?;
    until("the replica to serve", async || Ok(place(&mut pool.handle()).await?.standby)).await?;
    cluster.primary().sql("INSERT INTO note (text) VALUES ('locked')").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let mut locking = cluster.primary().client().await?;
    let lock = locking.transaction().await?;
    lock.batch_execute("SELECT FROM note FOR UPDATE").await?;
    let conn = &mut pool.handle();
    let update = diesel::update(note::table).set(note::stars.eq(1));
    let late = conn.transaction::<_, Error, _>(async |conn| update.execute(conn).await).await;
    assert!(late.is_err());
    lock.rollback().await?;
    cluster.replica(1)?.pause_replay().await?;
    let insert = || diesel::insert_into(note::table).values(note::text.eq("x"));
    insert().execute(conn).await?;
    assert_eq!(note::table.count().get_result::<i64>(&mut pool.handle()).await?, 2);
    conn.transaction::<_, Error, _>(async |conn| insert().execute(conn).await).await?;
    assert_eq!(note::table.count().get_result::<i64>(&mut pool.handle()).await?, 3);
    Ok(())
}

/// What comes after it is committed at once.
#[tokio::test]
async fn a_transaction_that_ends_on_a_lent_connection_is_over() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    let standby_serves =
        async || until("the replica to serve", async || Ok(place(&mut pool.handle()).await?.standby)).await;
    standby_serves().await?;
    let conn = &mut pool.handle();
    let insert = || diesel::insert_into(note::table).values(note::text.eq("x"));
    <RoutedPgConnection as AsyncConnection>::TransactionManager::begin_transaction(conn).await?;
    conn.primary().await?.batch_execute("COMMIT").await?;
    // With this one it is lent no more, which counts by itself.
    insert().execute(conn).await?;
    standby_serves().await?;
    cluster.replica(1)?.pause_replay().await?;
    insert().execute(conn).await?;
    assert_eq!(note::table.count().get_result::<i64>(&mut pool.handle()).await?, 2);
    Ok(())
}

#[derive(QueryableByName)]
pub(crate) struct Row {
    #[diesel(sql_type = diesel::sql_types::Text)]
    pub text: String,
}

/// The server goes while it waits for somebody to read.
#[tokio::test]
async fn a_write_that_is_lost_behind_its_first_row_is_unknown() -> Result {
    let cluster = boot(0).await?;
    let pool = pool(&cluster).await?;
    let conn = &mut pool.handle();
    let rows = sql_query(MANY).load_stream::<Row>(conn).await?;
    let mut rows = std::pin::pin!(rows);
    assert_eq!(rows.next().await.ok_or("no row")??.text.len(), 10_000);
    assert_eq!(cluster.primary().admin_query_text(KILLED).await?, "1");
    let error = loop {
        match rows.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => return Err("all rows came".into()),
        }
    };
    assert!(outcome_unknown(&error).is_some(), "{error:?}");
    Ok(())
}
