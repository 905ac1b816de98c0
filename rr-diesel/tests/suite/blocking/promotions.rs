//! Writes that meet a server which was the primary when anybody last looked.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;

use super::{RoutedPool, place};
use crate::promotions::{boot_with_touch, change_places, notes, refusals, unwatched};
use crate::support::{Result, note, until};

fn write(pool: &RoutedPool, text: &str) -> QueryResult<usize> {
    diesel::insert_into(note::table).values(note::text.eq(text)).execute(&mut pool.handle())
}

#[derive(Clone, Copy, Identifiable, AsChangeset)]
#[diesel(table_name = note)]
struct Stars {
    id: i32,
    stars: i32,
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_refused_by_a_demoted_primary_reach_the_new_one_once() -> Result {
    let cluster = boot_with_touch().await?;
    let (old, new) = (cluster.primary(), cluster.replica(1)?);
    cluster.primary().sql("INSERT INTO note (id, text) VALUES (-1, 'saved')").await?;
    // Each is a router that learns by itself.
    let mut pools = Vec::new();
    for _ in 0..8 {
        let pool = RoutedPool::start(unwatched(&cluster)?)?;
        place(&mut pool.handle())?;
        pools.push(pool);
    }
    let [executed, loaded, by_rows, batch, saved, touched, begun, many] = &pools[..] else {
        unreachable!("eight were made")
    };
    change_places(&cluster).await?;
    let insert = |text: &'static str| diesel::insert_into(note::table).values(note::text.eq(text));

    let before = refusals(&cluster, old)?;
    assert_eq!(insert("executed").execute(&mut executed.handle())?, 1);
    insert("loaded").returning(note::id).get_result::<i32>(&mut loaded.handle())?;
    let rows = insert("by rows").returning(note::id);
    assert_eq!(rows.load_iter::<i32, PgRowByRowLoadingMode>(&mut by_rows.handle())?.count(), 1);
    batch.handle().batch_execute("INSERT INTO note (text) VALUES ('batch'), ('batch')")?;
    let stars: (i32, String, i32) = Stars { id: -1, stars: 5 }.save_changes(&mut saved.handle())?;
    assert_eq!(stars, (-1, "saved".to_owned(), 5));
    sql_query("SELECT touch()").execute(touched.handle().use_primary())?;
    let mut handle = begun.handle();
    handle.build_transaction().serializable().run::<_, Error, _>(|conn| insert("begun").execute(conn))?;
    let told = refusals(&cluster, old)? - before;
    assert_eq!(told, 8, "each of them met it, and `touch` as a query and as a write");
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20).map(|_| scope.spawn(|| write(many, "many"))).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(written) => written.map(drop),
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    assert!(refusals(&cluster, old)? - before > 8);

    for (text, count) in [
        ("executed", "1"),
        ("loaded", "1"),
        ("by rows", "1"),
        ("batch", "2"),
        ("touched", "1"),
        ("begun", "1"),
        ("many", "20"),
    ] {
        assert_eq!(notes(new, text).await?, count, "{text}");
    }
    for pool in &pools {
        assert_eq!(note::table.count().get_result::<i64>(&mut pool.handle())?, 28);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_on_a_demoted_primary_fails_and_the_next_one_does_not() -> Result {
    let cluster = boot_with_touch().await?;
    let pools = [RoutedPool::start(unwatched(&cluster)?)?, RoutedPool::start(unwatched(&cluster)?)?];
    change_places(&cluster).await?;
    for (pool, by_rows) in pools.iter().zip([false, true]) {
        let conn = &mut pool.handle();
        let mut write = || {
            conn.transaction::<_, Error, _>(|conn| {
                let insert = diesel::insert_into(note::table).values(note::text.eq("inside"));
                match by_rows {
                    true => {
                        let rows = insert.returning(note::id);
                        rows.load_iter::<i32, PgRowByRowLoadingMode>(conn)?.try_for_each(|row| row.map(drop))
                    }
                    false => insert.execute(conn).map(drop),
                }
            })
        };
        let error = write().unwrap_err().to_string();
        assert!(error.contains("read-only transaction"), "{error}");
        // Nobody looks for a minute, unless the refusal was reason to.
        until("the promotion to be noticed", async || Ok(write().is_ok())).await?;
    }
    assert_eq!(notes(cluster.replica(1)?, "inside").await?, "2");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_refuses_to_write_and_still_is_one_is_believed() -> Result {
    let cluster = boot_with_touch().await?;
    let pool = RoutedPool::start(unwatched(&cluster)?)?;
    cluster.primary().admin_sql("ALTER ROLE app SET default_transaction_read_only = on").await?;
    let before = refusals(&cluster, cluster.primary())?;
    let error = write(&pool, "x").unwrap_err().to_string();
    assert!(error.contains("read-only transaction"), "{error}");
    assert_eq!(refusals(&cluster, cluster.primary())? - before, 1, "it was asked once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_patience_a_refusal_is_told_at_once() -> Result {
    let cluster = boot_with_touch().await?;
    let mut config = unwatched(&cluster)?;
    config.write_wait = Duration::ZERO;
    let pool = RoutedPool::start(config)?;
    change_places(&cluster).await?;
    let error = write(&pool, "x").unwrap_err().to_string();
    assert!(error.contains("read-only transaction"), "{error}");
    until("the promotion to be noticed", async || Ok(write(&pool, "x").is_ok())).await
}
