//! What code that was written for a plain connection does with a handle.

use std::sync::{Arc, Mutex};

use diesel::connection::{CacheSize, InstrumentationEvent};
use diesel::prelude::*;
use diesel::sql_query;
use diesel_async::{
    AsyncConnection, AsyncPgConnection, RunQueryDsl, SaveChangesDsl, SimpleAsyncConnection,
    TransactionManager,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use futures_util::{StreamExt, TryStreamExt};

use crate::support::{Result, boot, note, place, pool, until};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("tests/migrations");

#[derive(Debug, Clone, Copy, Identifiable, AsChangeset)]
#[diesel(table_name = note)]
struct Stars {
    id: i32,
    stars: i32,
}

#[tokio::test]
async fn save_changes_streams_and_pipelining() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    let conn = &mut pool.get().await?;
    let texts: Vec<_> = (0..200).map(|n| note::text.eq(format!("n{n}"))).collect();
    assert_eq!(diesel::insert_into(note::table).values(&texts).execute(conn).await?, 200);
    let saved: (i32, String, i32) = Stars { id: 7, stars: 5 }.save_changes(conn).await?;
    assert_eq!(saved, (7, "n6".to_owned(), 5));
    let ids: Vec<i32> =
        note::table.select(note::id).order(note::id).load_stream::<i32>(conn).await?.try_collect().await?;
    assert_eq!(ids, (1..=200).collect::<Vec<_>>());
    let shared = &*conn;
    let read =
        |id: i32| async move { note::table.find(id).select(note::stars).first::<i32>(&mut &*shared).await };
    let (a, b, c) = futures_util::try_join!(read(7), read(8), read(9))?;
    assert_eq!((a, b, c), (5, 0, 0));
    conn.transaction::<_, diesel::result::Error, _>(async |conn| {
        let shared = &*conn;
        let one = diesel::update(note::table.find(1)).set(note::stars.eq(1)).execute(&mut &*shared);
        let two = diesel::update(note::table.find(2)).set(note::stars.eq(2)).execute(&mut &*shared);
        futures_util::try_join!(one, two)
    })
    .await?;
    assert_eq!((read_stars(conn, 1).await?, read_stars(conn, 2).await?), (1, 2));
    Ok(())
}

async fn read_stars(conn: &mut rr_diesel::RoutedPgConnection, id: i32) -> QueryResult<i32> {
    note::table.find(id).select(note::stars).first(conn).await
}

#[tokio::test]
async fn test_transactions_and_transactions_by_hand() -> Result {
    type Manager = <rr_diesel::RoutedPgConnection as AsyncConnection>::TransactionManager;
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    let conn = &mut pool.get().await?;
    let insert = diesel::insert_into(note::table).values(note::text.eq("x"));
    conn.test_transaction::<_, diesel::result::Error, _>(async |conn| {
        insert.execute(conn).await?;
        assert_eq!(note::table.count().get_result::<i64>(conn).await?, 1);
        Ok(())
    })
    .await;
    assert_eq!(note::table.count().get_result::<i64>(conn).await?, 0);
    Manager::begin_transaction(conn).await?;
    let _: i64 = note::table.count().get_result(conn).await?;
    insert.execute(conn).await?;
    Manager::commit_transaction(conn).await?;
    assert_eq!(note::table.count().get_result::<i64>(&mut pool.handle()).await?, 1);
    conn.begin_test_transaction().await?;
    insert.execute(conn).await?;
    assert_eq!(note::table.count().get_result::<i64>(conn).await?, 2);
    assert_eq!(note::table.count().get_result::<i64>(&mut pool.handle()).await?, 1);
    let mut dropped = pool.handle();
    Manager::begin_transaction(&mut dropped).await?;
    insert.execute(&mut dropped).await?;
    drop(dropped);
    assert_eq!(note::table.count().get_result::<i64>(&mut pool.handle()).await?, 1);
    Ok(())
}

#[tokio::test]
async fn events_are_those_of_a_plain_connection() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    let record = |into: &Arc<Mutex<Vec<String>>>| {
        let into = Arc::clone(into);
        move |event: InstrumentationEvent<'_>| into.lock().unwrap().push(format!("{event:?}"))
    };
    let (routed, plain) = (Arc::default(), Arc::default());
    let mut conn = pool.handle();
    conn.set_instrumentation(record(&routed));
    let mut other = AsyncPgConnection::establish(&cluster.primary().url()).await?;
    other.set_instrumentation(record(&plain));
    macro_rules! story {
        ($conn:expr, $id:expr) => {
            diesel::insert_into(note::table)
                .values((note::id.eq($id), note::text.eq("it's"), note::stars.eq(3)))
                .execute($conn)
                .await?;
            drop::<Vec<i32>>(note::table.filter(note::text.eq("it's")).select(note::id).load($conn).await?);
            drop::<Vec<i32>>(note::table.filter(note::text.eq("it's")).select(note::id).load($conn).await?);
            $conn.batch_execute("SELECT 1").await?;
            $conn
                .transaction::<_, diesel::result::Error, _>(async |conn| {
                    diesel::delete(note::table.find($id)).execute(conn).await
                })
                .await?;
            assert!(sql_query("SELECT nonsense").execute($conn).await.is_err());
        };
    }
    story!(&mut other, 1000);
    cluster.wait_caught_up(crate::support::PATIENCE).await?;
    story!(&mut conn, 1000);
    let (routed, plain) = (routed.lock().unwrap().clone(), plain.lock().unwrap().clone());
    // A pool has more than one connection, and each has to learn a statement; an error is confirmed by the primary.
    let told = |events: &[String]| {
        let mut events: Vec<_> =
            events.iter().filter(|event| !event.starts_with("CacheQuery")).cloned().collect();
        events.dedup();
        events
    };
    let (routed, plain) = (told(&routed), told(&plain));
    assert_eq!(routed[..plain.len()], plain[..]);
    // Once more, when it was a replica that said it first.
    let again = &routed[plain.len()..];
    assert!(again.is_empty() || again == &plain[plain.len() - 2..], "{again:#?}");
    assert!(plain.iter().any(|event| event.contains("binds: [1000, \"it's\", 3]")), "{plain:#?}");
    Ok(())
}

#[tokio::test]
async fn notifications_cancel_tokens_caches_and_lent_connections() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    let mut conn = pool.handle();
    conn.set_prepared_statement_cache_size(CacheSize::Disabled);
    assert!(place(&mut conn).await?.standby);
    sql_query("LISTEN news").execute(&mut conn).await?;
    sql_query("NOTIFY news, 'hello'").execute(&mut pool.handle()).await?;
    let news = {
        let mut news = std::pin::pin!(conn.notifications_stream());
        tokio::time::timeout(crate::support::PATIENCE, news.next()).await?
    };
    assert_eq!(news.transpose()?.map(|news| news.payload), Some("hello".to_owned()));
    conn.reset_session();
    until("reads to return", async || Ok(place(&mut conn).await?.standby)).await?;
    let token = conn.cancel_token();
    let sleeping = sql_query("SELECT pg_sleep(600)").execute(&mut conn);
    let cancelling = async {
        let replica = cluster.replica(1)?;
        until("the sleep to begin", async || {
            Ok(crate::support::running(replica, "SELECT pg_sleep(600)%").await? == 1)
        })
        .await?;
        Ok::<(), Box<dyn std::error::Error>>(token.cancel_query(tokio_postgres::NoTls).await?)
    };
    let (slept, cancelled) = tokio::join!(sleeping, cancelling);
    cancelled?;
    assert!(slept.unwrap_err().to_string().contains("user request"), "and it is not tried again");
    let lent = conn.replica().await?;
    assert!(crate::support::standby_says(lent, "SELECT on_standby() AS standby").await?);
    let lent = conn.primary().await?;
    assert!(!crate::support::standby_says(lent, "SELECT on_standby() AS standby").await?);
    {
        let mut guard = pool.handle();
        let mut guard = guard.on_primary();
        assert!(!place(&mut guard).await?.standby);
    }
    let mut once = pool.handle();
    assert!(!place(once.use_primary()).await?.standby);
    until("a replica to serve the next one", async || Ok(place(&mut once).await?.standby)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_run_on_the_primary() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    cluster.replica(1)?.pause_replay().await?;
    for pending in [2, 0] {
        let mut harness = diesel_async::AsyncMigrationHarness::new(pool.handle());
        let ran = harness.run_pending_migrations(MIGRATIONS).map_err(|error| error.to_string())?;
        assert_eq!(ran.len(), pending);
    }
    assert_eq!(cluster.primary().query_text("SELECT count(*)::text FROM pet").await?, "1");
    Ok(())
}
