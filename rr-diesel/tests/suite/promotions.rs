//! Writes that meet a server which was the primary when anybody last looked.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::future::try_join_all;
use rr_core::Config;
use rr_diesel::RoutedPool;
use rr_tests::cluster::{Cluster, Mode, Node};

use crate::support::{PATIENCE, Result, boot, config, note, place, until};

/// A cluster whose `touch()` writes although it is called by a query.
pub(crate) async fn boot_with_touch() -> Result<Cluster> {
    let cluster = boot(1).await?;
    cluster
        .primary()
        .sql(
            "CREATE FUNCTION touch() RETURNS bool VOLATILE LANGUAGE sql AS \
             $$ INSERT INTO note (text) VALUES ('touched'); SELECT on_standby() $$",
        )
        .await?;
    cluster.wait_caught_up(PATIENCE).await?;
    Ok(cluster)
}

/// Nobody looks at the servers of their own accord.
pub(crate) fn unwatched(cluster: &Cluster) -> Result<Config> {
    let config = config(cluster).with(|config| {
        config.monitor.interval = Duration::from_secs(60);
        config.monitor.jitter = Duration::ZERO;
        config.max_lag = None;
        config.write_wait = PATIENCE;
    });
    Ok(config.build()?)
}

/// The standby becomes the primary, and the primary its standby.
pub(crate) async fn change_places(cluster: &Cluster) -> Result {
    let (old, new) = (cluster.primary(), cluster.replica(1)?);
    old.stop(Mode::Fast).await?;
    new.promote().await?;
    old.rebuild(new).await?;
    old.wait_caught_up(new, PATIENCE).await?;
    Ok(())
}

/// How often a server has refused to write, by its own account.
pub(crate) fn refusals(cluster: &Cluster, node: &Node) -> Result<usize> {
    let log = std::fs::read_to_string(cluster.folder().join(format!("{}.log", node.name())))?;
    let refusal = |line: &&str| {
        ["read-only transaction", "during recovery", "hot standby"].iter().any(|text| line.contains(text))
    };
    Ok(log.lines().filter(refusal).filter(|line| line.contains("ERROR")).count())
}

pub(crate) async fn notes(node: &Node, text: &str) -> Result<String> {
    let count = format!("SELECT count(*)::text FROM note WHERE text = '{text}'");
    Ok(node.query_text(&count).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_refused_by_a_demoted_primary_reach_the_new_one_once() -> Result {
    let cluster = boot_with_touch().await?;
    let (old, new) = (cluster.primary(), cluster.replica(1)?);
    // Each is a router that learns by itself.
    let mut pools = Vec::new();
    for _ in 0..6 {
        let pool = RoutedPool::start(unwatched(&cluster)?).await?;
        assert!(place(&mut pool.handle()).await?.standby);
        pools.push(pool);
    }
    let [executed, loaded, batch, touched, begun, many] =
        <[RoutedPool; 6]>::try_from(pools).map_err(drop).unwrap();
    change_places(&cluster).await?;
    let text = |text: &'static str| diesel::insert_into(note::table).values(note::text.eq(text));

    let before = refusals(&cluster, old)?;
    assert_eq!(text("executed").execute(&mut executed.handle()).await?, 1);
    let id: i32 = text("loaded").returning(note::id).get_result(&mut loaded.handle()).await?;
    assert!(id > 0);
    batch.handle().batch_execute("INSERT INTO note (text) VALUES ('batch'), ('batch')").await?;
    sql_query("SELECT touch()").execute(touched.handle().use_primary()).await?;
    let mut handle = begun.handle();
    let built = handle.build_transaction().read_write();
    { built }.run::<_, diesel::result::Error, _>(async |conn| text("begun").execute(conn).await).await?;
    assert_eq!(
        refusals(&cluster, old)? - before,
        6,
        "each of them met it, and `touch` as a query and as a write"
    );
    let write = async || text("many").execute(&mut many.handle()).await;
    assert_eq!(try_join_all((0..20).map(|_| write())).await?.len(), 20);
    assert!(refusals(&cluster, old)? - before > 6);

    for (text, count) in
        [("executed", "1"), ("loaded", "1"), ("batch", "2"), ("touched", "1"), ("begun", "1"), ("many", "20")]
    {
        assert_eq!(notes(new, text).await?, count, "{text}");
    }
    for pool in [executed, loaded, batch, touched, begun, many] {
        assert_eq!(note::table.count().get_result::<i64>(&mut pool.handle()).await?, 26);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_on_a_demoted_primary_fails_and_the_next_one_does_not() -> Result {
    let cluster = boot_with_touch().await?;
    let mut pools = Vec::new();
    for _ in 0..2 {
        pools.push(RoutedPool::start(unwatched(&cluster)?).await?);
    }
    change_places(&cluster).await?;
    for (pool, returning) in pools.iter().zip([false, true]) {
        let conn = &mut pool.handle();
        let mut write = async || {
            conn.transaction::<_, diesel::result::Error, _>(async |conn| {
                let insert = diesel::insert_into(note::table).values(note::text.eq("inside"));
                match returning {
                    true => insert.returning(note::id).get_result::<i32>(conn).await.map(drop),
                    false => insert.execute(conn).await.map(drop),
                }
            })
            .await
        };
        let error = write().await.unwrap_err().to_string();
        assert!(error.contains("read-only transaction"), "{error}");
        // Nobody looks for a minute, unless the refusal was reason to.
        until("the promotion to be noticed", async || Ok(write().await.is_ok())).await?;
    }
    assert_eq!(notes(cluster.replica(1)?, "inside").await?, "2");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_refuses_to_write_and_still_is_one_is_believed() -> Result {
    let cluster = boot_with_touch().await?;
    let pool = RoutedPool::start(unwatched(&cluster)?).await?;
    cluster.primary().admin_sql("ALTER ROLE app SET default_transaction_read_only = on").await?;
    let before = refusals(&cluster, cluster.primary())?;
    let insert = diesel::insert_into(note::table).values(note::text.eq("x"));
    let error = insert.execute(&mut pool.handle()).await.unwrap_err().to_string();
    assert!(error.contains("read-only transaction"), "{error}");
    assert_eq!(refusals(&cluster, cluster.primary())? - before, 1, "it was asked once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_patience_a_refusal_is_told_at_once() -> Result {
    let cluster = boot_with_touch().await?;
    let mut config = unwatched(&cluster)?;
    config.write_wait = Duration::ZERO;
    let pool = RoutedPool::start(config).await?;
    change_places(&cluster).await?;
    let insert = || diesel::insert_into(note::table).values(note::text.eq("x"));
    let error = insert().execute(&mut pool.handle()).await.unwrap_err().to_string();
    assert!(error.contains("read-only transaction"), "{error}");
    until("the promotion to be noticed", async || Ok(insert().execute(&mut pool.handle()).await.is_ok()))
        .await
}
