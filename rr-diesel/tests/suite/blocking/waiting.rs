//! Writes that wait for a primary, are not answered, or are run again; and connections that are kept.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;
use rr_core::outcome::{Resolution, Unanswered};
use rr_core::tally::WriteStep;
use rr_diesel::blocking::retry::{self, Policy};
use rr_diesel::outcome_unknown;
use rr_tests::cluster::Cluster;

use super::{RoutedConnection, RoutedPool};
use crate::outcomes::{SLOW, kill_silently};
use crate::promotions::notes;
use crate::support::{PATIENCE, Result, boot, config, note, running, until};

fn insert(conn: &mut RoutedConnection, text: &str) -> QueryResult<usize> {
    diesel::insert_into(note::table).values(note::text.eq(text)).execute(conn)
}

fn started(cluster: &Cluster) -> Result<RoutedPool> {
    let settings = config(cluster).write_wait(PATIENCE).with(|config| {
        config.failover.resolve_outcomes = true;
        config.pool.primary.max = 3;
    });
    Ok(RoutedPool::start(settings.build()?)?)
}

async fn promotion_is_noticed(pool: &RoutedPool) -> Result {
    let there = || pool.router().topology().primary().is_ok_and(|primary| &*primary.name == "replica-1");
    until("the promotion to be noticed", async || Ok(there())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_writes_waits_for_the_new_primary() -> Result {
    let cluster = boot(1).await?;
    // No connection is idle: one that was used a moment ago is not asked whether it lives.
    let pool = started(&cluster)?;
    cluster.primary().kill9().await?;
    let write = |number: usize, pool: &RoutedPool| {
        let mut handle = pool.handle();
        if number.is_multiple_of(2) {
            return insert(&mut handle, "storm");
        }
        handle.transaction(|conn| insert(conn, "storm"))
    };
    let storm: Vec<_> = (0..30)
        .map(|number| {
            let pool = pool.clone();
            std::thread::spawn(move || write(number, &pool))
        })
        .collect();
    until("all to wait", async || Ok(pool.router().waiting_writes() == 30)).await?;
    cluster.replica(1)?.promote().await?;
    until("all to be served", async || Ok(storm.iter().all(std::thread::JoinHandle::is_finished))).await?;
    for write in storm {
        assert_eq!(write.join().map_err(|_| "it panicked")??, 1);
    }
    assert_eq!(notes(cluster.replica(1)?, "storm").await?, "30");
    assert_eq!(pool.router().counted_writes(WriteStep::GaveUp), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_kept_to_an_old_primary_is_used_no_more() -> Result {
    let cluster = boot(1).await?;
    let pool = started(&cluster)?;
    let (mut pinned, mut begun) = (pool.handle(), pool.handle());
    pinned.batch_execute("SET application_name = 'mine'")?;
    let began = begun.transaction(|conn| {
        insert(conn, "beside")?;
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                // The old primary lives and takes writes.
                cluster.replica(1)?.promote().await?;
                promotion_is_noticed(&pool).await
            })
        })
        .map_err(|error: Box<dyn std::error::Error>| Error::QueryBuilderError(error.to_string().into()))
    });
    for error in [began.unwrap_err(), insert(&mut pinned, "pinned").unwrap_err()] {
        assert!(error.to_string().contains("`primary` is the primary no more"), "{error}");
    }
    let tries = retry::transaction(&mut pool.handle(), Policy::new(), |conn, attempt| {
        insert(conn, "next")?;
        Ok::<_, Error>(attempt.number)
    })?;
    assert_eq!(tries, 1);
    for (text, new) in [("beside", "0"), ("pinned", "0"), ("next", "1")] {
        assert_eq!(notes(cluster.primary(), text).await?, "0", "{text}");
        assert_eq!(notes(cluster.replica(1)?, text).await?, new, "{text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_a_commit_that_was_not_answered_is_found_out() -> Result {
    let cluster = boot(0).await?;
    let node = cluster.primary();
    node.sql(SLOW).await?;
    let pool = started(&cluster)?;
    let own = pool.clone();
    let commit = std::thread::spawn(move || own.handle().transaction(|conn| insert(conn, "slow")));
    until("the commit to be under way", async || Ok(running(node, "COMMIT%").await? > 0)).await?;
    kill_silently(node).await?;
    let error = commit.join().map_err(|_| "it panicked")?.err().ok_or("it was answered")?;
    let unknown = outcome_unknown(&error).ok_or_else(|| format!("{error:?}"))?;
    assert_eq!((&*unknown.node, unknown.during), ("primary", Unanswered::Commit));
    assert_eq!(pool.router().resolve(&unknown).await, Resolution::Aborted);

    let own = pool.clone();
    let retried = std::thread::spawn(move || {
        retry::transaction(&mut own.handle(), Policy::new().within(PATIENCE), |conn, attempt| {
            insert(conn, if attempt.is_first() { "slow" } else { "at last" })
        })
    });
    until("the commit to be under way", async || Ok(running(node, "COMMIT%").await? > 0)).await?;
    kill_silently(node).await?;
    assert_eq!(retried.join().map_err(|_| "it panicked")??, 1);

    let tries = retry::transaction(&mut pool.handle(), Policy::new(), |conn, attempt| {
        insert(conn, "conflict")?;
        if attempt.is_first() {
            sql_query("DO 'BEGIN RAISE EXCEPTION ''conflict'' USING ERRCODE = ''40001''; END'")
                .execute(conn)?;
        }
        Ok::<_, Error>(attempt.number)
    })?;
    assert_eq!(tries, 2);
    for (text, count) in [("slow", "0"), ("at last", "1"), ("conflict", "1")] {
        assert_eq!(notes(node, text).await?, count, "{text}");
    }
    Ok(())
}
