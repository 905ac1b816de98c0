//! Writes that wait for a primary, and connections that are kept to one that is it no more.

use diesel::prelude::*;
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::future::join_all;
use rr_core::tally::WriteStep;
use rr_diesel::retry::{self, Policy};
use rr_diesel::{RoutedPgConnection, RoutedPool};
use rr_tests::cluster::{Cluster, Node};
use tokio::sync::Notify;

use crate::promotions::notes;
use crate::support::{PATIENCE, Result, boot, config, note, until};

async fn insert(conn: &mut RoutedPgConnection, text: &str) -> QueryResult<usize> {
    diesel::insert_into(note::table).values(note::text.eq(text)).execute(conn).await
}

async fn follows(pool: &RoutedPool, node: &Node) -> Result {
    let there = || pool.router().topology().primary().is_ok_and(|primary| &*primary.name == node.name());
    until("the promotion to be noticed", async || Ok(there())).await
}

/// What the application has open on a server, beside what the monitor has.
async fn connections(node: &Node) -> Result<u32> {
    let sql = "SELECT count(*)::text FROM pg_stat_activity WHERE usename = 'app' AND query NOT LIKE 'SELECT pg_is_in_recovery()::text%'";
    Ok(node.admin_query_text(sql).await?.parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_writes_waits_for_the_new_primary_and_fits_into_its_pool() -> Result {
    let cluster = boot(1).await?;
    let (old, new) = (cluster.primary(), cluster.replica(1)?);
    let settings = config(&cluster).write_wait(PATIENCE).with(|config| config.pool.primary.max = 3);
    // No connection is idle: on one that is dead and not yet known to be, a write is sent, and does not wait.
    let pool = RoutedPool::start(settings.build()?).await?;
    old.kill9().await?;
    let write = async |number: usize| {
        let mut handle = pool.handle();
        if number.is_multiple_of(2) {
            return insert(&mut handle, "storm").await;
        }
        handle.transaction(async |conn| insert(conn, "storm").await).await
    };
    let storm = join_all((0..100).map(write));
    let promotion = async {
        until("all to wait", async || Ok(pool.router().waiting_writes() == 100)).await?;
        Ok::<_, Box<dyn std::error::Error>>(new.promote().await?)
    };
    let (written, promoted) = tokio::join!(storm, promotion);
    promoted?;
    for write in written {
        assert_eq!(write?, 1);
    }
    assert_eq!(notes(new, "storm").await?, "100");
    assert!(connections(new).await? <= 3, "no more than the pool may have");
    let router = pool.router();
    let counted =
        [WriteStep::Served, WriteStep::GaveUp, WriteStep::Refused].map(|s| router.counted_writes(s));
    assert_eq!((counted, router.waiting_writes()), ([100, 0, 0], 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_beyond_the_queue_fail_at_once_and_say_what_to_do() -> Result {
    let cluster = boot(0).await?;
    let pool = RoutedPool::start(config(&cluster).write_wait(PATIENCE).write_queue(2).build()?).await?;
    cluster.primary().kill9().await?;
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let mut handle = pool.handle();
            tokio::spawn(async move { insert(&mut handle, "waits").await })
        })
        .collect();
    until("two to wait", async || Ok(pool.router().waiting_writes() == 2)).await?;
    for begin in [true, false] {
        let mut handle = pool.handle();
        let refused = match begin {
            true => handle.transaction(async |conn| insert(conn, "refused").await).await,
            false => insert(&mut handle, "refused").await,
        };
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("`write_queue`"), "{error}");
    }
    cluster.primary().start().await?;
    for write in waiting {
        assert_eq!(write.await??, 1);
    }
    Ok(())
}

/// A promotion, while the old primary lives and takes writes.
async fn promoted_beside(cluster: &Cluster, pool: &RoutedPool) -> Result {
    cluster.replica(1)?.promote().await?;
    follows(pool, cluster.replica(1)?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_kept_to_an_old_primary_is_used_no_more() -> Result {
    let cluster = boot(1).await?;
    let pool = RoutedPool::start(config(&cluster).build()?).await?;
    let (mut pinned, mut begun) = (pool.handle(), pool.handle());
    pinned.batch_execute("SET application_name = 'mine'").await?;
    let mut handle = pool.handle();
    let (begun_there, promoted) = (&Notify::new(), &Notify::new());
    let through = handle.transaction(async |conn| {
        insert(conn, "beside").await?;
        begun_there.notify_one();
        promoted.notified().await;
        Ok::<_, diesel::result::Error>(())
    });
    let promotion = async {
        begun_there.notified().await;
        promoted_beside(&cluster, &pool).await?;
        promoted.notify_one();
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let (through, promotion) = tokio::join!(through, promotion);
    promotion?;
    // It wrote before the promotion, and would be committed where it is lost.
    let error = through.unwrap_err().to_string();
    assert!(error.contains("`primary` is the primary no more"), "{error}");
    for _ in 0..2 {
        let error = insert(&mut pinned, "pinned").await.unwrap_err().to_string();
        assert!(error.contains("`primary` is the primary no more"), "{error}");
        let read = diesel::sql_query("SHOW application_name").execute(&mut pinned).await;
        assert!(read.is_err(), "nor is it read from");
    }
    pinned.reset_session();
    insert(&mut pinned, "reset").await?;
    begun.transaction(async |conn| insert(conn, "begun").await).await?;
    for (text, old, new) in
        [("beside", "0", "0"), ("pinned", "0", "0"), ("reset", "0", "1"), ("begun", "0", "1")]
    {
        assert_eq!(notes(cluster.primary(), text).await?, old, "{text}");
        assert_eq!(notes(cluster.replica(1)?, text).await?, new, "{text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_met_a_demotion_is_run_again_on_the_new_primary() -> Result {
    let cluster = boot(1).await?;
    let pool = RoutedPool::start(config(&cluster).write_wait(PATIENCE).build()?).await?;
    let (begun, promoted) = (&Notify::new(), &Notify::new());
    let mut handle = pool.handle();
    let moving = retry::transaction(&mut handle, Policy::new().within(PATIENCE), async |conn, attempt| {
        insert(conn, "moved").await?;
        if attempt.is_first() {
            begun.notify_one();
            promoted.notified().await;
        }
        Ok::<_, diesel::result::Error>(attempt.number)
    });
    let promotion = async {
        begun.notified().await;
        promoted_beside(&cluster, &pool).await?;
        promoted.notify_one();
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let (tries, promotion) = tokio::join!(moving, promotion);
    promotion?;
    assert_eq!(tries?, 2);
    assert_eq!(notes(cluster.primary(), "moved").await?, "0");
    assert_eq!(notes(cluster.replica(1)?, "moved").await?, "1");
    Ok(())
}
