//! Handles out of other pools, and without any.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};
use diesel::result::Error;
use diesel::{PgConnection, sql_query};
use rr_core::{Request, Requirement};
use rr_diesel::blocking::RoutedManager;

use super::{RoutedConnection, RoutedPool, pool};
use crate::support::{PATIENCE, PLACE, Place, Result, boot, config, note, until};

/// Code that was written for any connection.
fn use_it<C>(conn: &mut C) -> QueryResult<Place>
where
    C: diesel::connection::LoadConnection<Backend = diesel::pg::Pg>,
{
    conn.transaction::<_, Error, _>(|conn| {
        diesel::insert_into(note::table).values(note::text.eq("x")).execute(conn)
    })?;
    let count: i64 = note::table.count().get_result(conn)?;
    assert!(count > 0);
    sql_query(PLACE).get_result(conn)
}

#[tokio::test(flavor = "multi_thread")]
async fn r2d2_pools_of_handles_route() -> Result {
    let cluster = boot(1).await?;
    let urls = format!("{},{}", cluster.primary().url(), cluster.replica(1)?.url());
    let ours = Pool::builder().max_size(2).build(RoutedManager::new(pool(&cluster)?))?;
    let theirs =
        Pool::builder().max_size(2).build(ConnectionManager::<RoutedConnection>::new(urls.as_str()))?;
    until("reads on the standby", async || {
        Ok(use_it(&mut ours.get()?)?.standby && use_it(&mut theirs.get()?)?.standby)
    })
    .await?;
    // A handle that is kept on a connection is not given to the next one.
    for _ in 0..4 {
        let mut conn = ours.get()?;
        conn.batch_execute("SET application_name = 'kept'; CREATE TEMP TABLE mine (n int)")?;
    }
    for _ in 0..4 {
        let mut conn = ours.get()?;
        assert!(sql_query("SELECT * FROM mine").execute(&mut conn).is_err());
    }
    let mut conn = ours.get()?;
    conn.begin_test_transaction()?;
    drop(conn);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_how_busy_the_pools_are() -> Result {
    let cluster = boot(1).await?;
    let settings = config(&cluster).with(|config| config.pool.primary.max = 4).build()?;
    let pool = RoutedPool::start(settings)?;
    let primary = || pool.router().health().primary.and_then(|node| node.pool).ok_or("a pool that tells");
    assert_eq!((primary()?.active, primary()?.idle, primary()?.max), (0, 0, 4));
    pool.handle().transaction::<_, Box<dyn std::error::Error>, _>(|conn| {
        diesel::insert_into(note::table).values(note::text.eq("x")).execute(conn)?;
        let busy = primary()?;
        assert_eq!((busy.active, busy.idle), (1, 0));
        assert!((busy.utilisation - 0.25).abs() < f64::EPSILON);
        Ok(())
    })?;
    assert_eq!((primary()?.active, primary()?.idle), (0, 1));
    assert!(pool.router().health().replicas[0].pool.is_some());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_transaction_stays_in_a_pool_of_one() -> Result {
    let cluster = boot(1).await?;
    let pool = Pool::builder()
        .max_size(1)
        .connection_customizer(Box::new(diesel::r2d2::TestCustomizer))
        .build(RoutedManager::new(pool(&cluster)?))?;
    for expected in 1..=3 {
        let mut conn = pool.get()?;
        diesel::insert_into(note::table).values(note::text.eq("x")).execute(&mut conn)?;
        assert_eq!(note::table.count().get_result::<i64>(&mut conn)?, expected);
    }
    let outside = cluster.primary().query_text("SELECT count(*)::text FROM note").await?;
    assert_eq!(outside, "0");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_of_the_same_urls_share_their_router() -> Result {
    let cluster = boot(1).await?;
    let urls = format!("{},{}", cluster.primary().url(), cluster.replica(1)?.url());
    let (mut one, mut other) = (RoutedConnection::establish(&urls)?, RoutedConnection::establish(&urls)?);
    diesel::insert_into(note::table).values(note::text.eq("x")).execute(&mut one)?;
    assert_eq!(note::table.count().get_result::<i64>(&mut other)?, 1);
    assert_eq!(one.router().process_session().last_write(), other.router().process_session().last_write());
    assert!(RoutedConnection::establish("no URL").is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_nobody_uses_are_closed() -> Result {
    let cluster = boot(1).await?;
    let settings = config(&cluster).with(|config| {
        config.pool.replica.idle_timeout = Some(Duration::from_millis(100));
    });
    let pool = RoutedPool::start(settings.build()?)?;
    let connections = || -> Result<(u32, u32)> {
        let request = Request::read(Requirement::NONE);
        Ok(pool.router().route(&request)?.pool().connections())
    };
    assert_eq!(connections()?, (0, 0), "none is opened before it is needed");
    super::place(&mut pool.handle())?;
    until("the connection to be closed", async || Ok(connections()? == (0, 0))).await?;
    let sessions = "SELECT count(*)::text FROM pg_stat_activity WHERE query LIKE '%on_standby()%' \
                    AND pid <> pg_backend_pid()";
    let closed = async || Ok(cluster.replica(1)?.admin_query_text(sessions).await? == "0");
    until("the server to see that", closed).await?;
    assert!(super::place(&mut pool.handle())?.standby);
    Ok(())
}

#[test]
fn no_runtime_of_the_application_is_needed() -> Result {
    let harness = tokio::runtime::Runtime::new()?;
    let cluster = harness.block_on(boot(1))?;
    let pool = pool(&cluster)?;
    assert!(use_it(&mut pool.handle()).is_ok());
    harness.block_on(cluster.wait_caught_up(PATIENCE))?;
    let count = std::thread::spawn(move || {
        let count: i64 = note::table.count().get_result(&mut pool.handle())?;
        pool.shutdown();
        Ok::<_, Error>(count)
    });
    assert_eq!(count.join().map_err(|_| "panicked")??, 1);
    harness.block_on(async { drop(cluster) });
    Ok(())
}

#[expect(dead_code, reason = "shows that handles can be sent to other threads, and pools be shared")]
fn can_be_sent(handle: RoutedConnection, pool: RoutedPool) -> (impl Send, impl Send + Sync + Clone) {
    (handle, pool)
}

#[expect(dead_code, reason = "the plain connection can do the same")]
fn plain(conn: &mut PgConnection) -> QueryResult<Place> {
    use_it(conn)
}

#[test]
fn a_pool_starts_with_notifiers() -> Result {
    let (sender, heard) = std::sync::mpsc::channel();
    let config = rr_core::Config::builder().primary("postgres://app@127.0.0.1:1/shop");
    let config = config.with(|config| config.startup_wait = Duration::ZERO).build()?;
    let pool = RoutedPool::start_as(config, |router| {
        router.on_notice(move |told| drop(sender.send(told.text.clone())))
    })?;
    assert_eq!(heard.recv_timeout(PATIENCE)?, "`primary` joined");
    pool.shutdown();
    Ok(())
}
