//! Servers that go away.

use std::time::Duration;

use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;

use super::{RoutedPool, place, pool};
use crate::support::{PLACE, Place, Result, boot, config, note, running, until};

#[tokio::test(flavor = "multi_thread")]
async fn reads_survive_the_death_of_connections_replicas_and_the_primary() -> Result {
    let cluster = boot(2).await?;
    let pool = pool(&cluster)?;
    let by_rows = || -> QueryResult<Place> {
        let conn = &mut pool.handle();
        let mut rows = sql_query(PLACE).load_iter::<Place, PgRowByRowLoadingMode>(conn)?;
        rows.next().unwrap_or(Err(Error::NotFound))
    };
    for _ in 0..20 {
        assert!(place(&mut pool.handle())?.standby && by_rows()?.standby);
    }
    for _ in 0..3 {
        for replica in cluster.replicas() {
            replica.kill_client_connections().await?;
        }
        by_rows()?;
        for _ in 0..20 {
            place(&mut pool.handle())?;
        }
    }
    cluster.replica(1)?.kill9().await?;
    for _ in 0..50 {
        place(&mut pool.handle())?;
        by_rows()?;
    }
    cluster.replica(2)?.kill9().await?;
    for _ in 0..50 {
        assert!(!place(&mut pool.handle())?.standby, "the primary is all there is");
        assert!(!by_rows()?.standby);
    }
    cluster.replica(1)?.start().await?;
    until("the replica to serve again", async || Ok(place(&mut pool.handle())?.standby)).await?;
    cluster.primary().kill9().await?;
    for _ in 0..50 {
        assert!(place(&mut pool.handle())?.standby, "reads go on without a primary");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_is_killed_midway_is_answered_by_another_node() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    let slow = "SELECT CASE WHEN on_standby() THEN pg_sleep(600) END";
    let reading = tokio::task::spawn_blocking(move || sql_query(slow).execute(&mut pool.handle()));
    let replica = cluster.replica(1)?;
    until("it to run", async || Ok(running(replica, "SELECT CASE%").await? > 0)).await?;
    replica.kill_client_connections().await?;
    assert_eq!(reading.await??, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_not_given_connections_that_died_in_the_pool() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    let insert = || diesel::insert_into(note::table).values(note::text.eq("x"));
    for round in 1..=3 {
        insert().execute(&mut pool.handle())?;
        pool.handle().transaction::<_, Error, _>(|conn| insert().execute(conn))?;
        cluster.primary().kill_client_connections().await?;
        if round == 2 {
            cluster.primary().restart().await?;
        }
        // So long that nobody trusts them.
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    pool.handle().transaction::<_, Error, _>(|conn| insert().execute(conn))?;
    assert_eq!(note::table.count().get_result::<i64>(&mut pool.handle())?, 7);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_cut_off_is_not_repeated() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    let writing = tokio::task::spawn_blocking({
        let pool = pool.clone();
        move || {
            let slow = "INSERT INTO note (text) SELECT 'once' FROM pg_sleep(600)";
            sql_query(slow).execute(&mut pool.handle())
        }
    });
    let primary = cluster.primary();
    until("the write to run", async || Ok(running(primary, "INSERT%pg_sleep(600)%").await? == 1)).await?;
    primary.kill_client_connections().await?;
    assert!(writing.await?.is_err());
    assert_eq!(running(primary, "INSERT%pg_sleep(600)%").await?, 0);
    assert_eq!(pool.router().in_flight("primary"), Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_on_the_replica_yet_is_answered_by_the_primary() -> Result {
    let cluster = boot(1).await?;
    let settings = config(&cluster).with(|config| config.unscoped = rr_core::config::Unscoped::Eventual);
    let pool = RoutedPool::start(settings.build()?)?;
    cluster.replica(1)?.pause_replay().await?;
    cluster
        .primary()
        .sql("CREATE TABLE late (standby bool, port int); INSERT INTO late VALUES (false, 3)")
        .await?;
    let late = Place { standby: false, port: 3 };
    assert_eq!(sql_query("SELECT * FROM late").get_result::<Place>(&mut pool.handle())?, late);
    let conn = &mut pool.handle();
    let mut rows = sql_query("SELECT * FROM late").load_iter::<Place, PgRowByRowLoadingMode>(conn)?;
    assert_eq!(rows.next().transpose()?, Some(late));
    drop(rows);
    let missing = sql_query("SELECT id FROM nowhere").execute(conn);
    assert!(missing.unwrap_err().to_string().contains("\"nowhere\" does not exist"));
    assert!(place(conn)?.standby);
    assert_eq!(note::table.find(77).first::<(i32, String, i32)>(conn), Err(Error::NotFound));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_exhausted_says_so_and_recovers() -> Result {
    let cluster = boot(0).await?;
    let settings = config(&cluster).with(|config| {
        config.pool.primary.max = 1;
        config.pool.primary.checkout_timeout = Duration::from_millis(100);
    });
    let pool = RoutedPool::start(settings.build()?)?;
    let mut holder = pool.handle();
    sql_query("SET application_name = 'holder'").execute(&mut holder)?;
    let refused = diesel::insert_into(note::table).values(note::text.eq("x")).execute(&mut pool.handle());
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("raise the pool's `max`"), "{text}");
    let waiting =
        std::thread::spawn(move || sql_query("UPDATE note SET stars = 1").execute(&mut pool.handle()));
    drop(holder);
    waiting.join().map_err(|_| "panicked")??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_for_a_statement_is_kept_by_the_server() -> Result {
    let cluster = boot(1).await?;
    let settings = config(&cluster)
        .with(|config| config.pool.replica.statement_timeout = Some(Duration::from_millis(100)));
    let pool = RoutedPool::start(settings.build()?)?;
    let stopped = sql_query("SELECT pg_sleep(600)").execute(&mut pool.handle());
    assert!(stopped.unwrap_err().to_string().contains("statement timeout"));
    assert!(place(&mut pool.handle())?.standby);
    Ok(())
}
