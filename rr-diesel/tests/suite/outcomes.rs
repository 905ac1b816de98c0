//! Writes that were sent and not answered, and transactions that are run again.

use std::sync::atomic::{AtomicU32, Ordering};

use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use rr_core::OutcomeUnknown;
use rr_core::outcome::{Doubt, Resolution, Unanswered};
use rr_core::tally::WriteStep;
use rr_diesel::retry::{self, Policy};
use rr_diesel::{RoutedPgConnection, RoutedPool, outcome_unknown};
use rr_tests::cluster::{Cluster, Mode, Node};
use tokio::task::JoinHandle;

use crate::promotions::notes;
use crate::support::{PATIENCE, Result, boot, boot_with, config, note, running, until};

/// The COMMIT of whoever writes `slow` never ends.
pub(crate) const SLOW: &str = "\
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
    'BEGIN IF NEW.text = ''slow'' THEN PERFORM pg_sleep(600); END IF; RETURN NULL; END'; \
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON note DEFERRABLE INITIALLY DEFERRED \
    FOR EACH ROW EXECUTE FUNCTION slow()";

async fn resolving(cluster: &Cluster) -> Result<RoutedPool> {
    let config = config(cluster).write_wait(PATIENCE).with(|config| config.failover.resolve_outcomes = true);
    Ok(RoutedPool::start(config.build()?).await?)
}

async fn insert(conn: &mut RoutedPgConnection, text: &str) -> QueryResult<usize> {
    diesel::insert_into(note::table).values(note::text.eq(text)).execute(conn).await
}

/// A transaction whose COMMIT is at work on the primary and does not end.
async fn committing(
    pool: &RoutedPool,
    node: &Node,
    text: &'static str,
) -> Result<JoinHandle<QueryResult<usize>>> {
    let mut handle = pool.handle();
    let committing =
        tokio::spawn(async move { handle.transaction(async |conn| insert(conn, text).await).await });
    until("the commit to be under way", async || Ok(running(node, "COMMIT%").await? > 0)).await?;
    Ok(committing)
}

async fn unanswered(committing: JoinHandle<QueryResult<usize>>) -> Result<OutcomeUnknown> {
    let error = committing.await?.err().ok_or("the commit was answered")?;
    Ok(outcome_unknown(&error).ok_or_else(|| format!("{error:?}"))?)
}

/// Whoever commits is killed, and nobody hears of it.
pub(crate) async fn kill_silently(node: &Node) -> Result {
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE state = 'active' AND query LIKE 'COMMIT%'";
    node.link().blackhole().await?;
    node.admin_sql(kill).await?;
    until("the commit to end", async || Ok(running(node, "COMMIT%").await? == 0)).await?;
    node.link().cut().await?;
    node.link().heal().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_not_answered_turns_out_to_be_done() -> Result {
    let cluster = boot_with(Cluster::builder().replicas(1).synchronous(["replica-1"])).await?;
    let pool = resolving(&cluster).await?;
    for round in ["first on its connection", "and once more"] {
        cluster.replica(1)?.stop(Mode::Fast).await?;
        let committing = committing(&pool, cluster.primary(), "perhaps").await?;
        cluster.primary().link().cut().await?;
        let unknown = unanswered(committing).await?;
        cluster.primary().link().heal().await?;
        assert_eq!((&*unknown.node, unknown.during), ("primary", Unanswered::Commit), "{round}");
        assert!(unknown.transaction.is_some(), "{round}");
        // The lost connection's server is asked to stop, and then waits for the standby no more.
        let resolution = pool.router().resolve(&unknown).await;
        assert!(
            matches!(resolution, Resolution::InProgress | Resolution::Committed),
            "{round}: {resolution:?}"
        );
        cluster.replica(1)?.start().await?;
        let resolved = async || Ok(pool.router().resolve(&unknown).await == Resolution::Committed);
        until("the commit to be done", resolved).await?;
    }
    assert_eq!(notes(cluster.primary(), "perhaps").await?, "2");
    assert_eq!(pool.router().counted_writes(WriteStep::OutcomeUnknown), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_not_answered_turns_out_to_be_undone() -> Result {
    let cluster = boot(0).await?;
    cluster.primary().sql(SLOW).await?;
    let pool = resolving(&cluster).await?;
    // The question before COMMIT is sent without delay when it was asked on the connection before.
    pool.handle().transaction(async |conn| insert(conn, "warm").await).await?;
    let committing = committing(&pool, cluster.primary(), "slow").await?;
    kill_silently(cluster.primary()).await?;
    let unknown = unanswered(committing).await?;
    assert_eq!(pool.router().resolve(&unknown).await, Resolution::Aborted);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_nobody_is_taken_for_the_transaction() -> Result {
    let cluster = boot(0).await?;
    cluster.primary().sql(SLOW).await?;
    let pool = resolving(&cluster).await?;
    let committing = committing(&pool, cluster.primary(), "slow").await?;
    cluster.primary().crash().await?;
    let unknown = unanswered(committing).await?;
    cluster.primary().start().await?;
    let resolution = pool.router().resolve(&unknown).await;
    assert_eq!(resolution, Resolution::Unknown(Doubt::Crashed));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_primary_answers_for_what_it_has_and_for_nothing_else() -> Result {
    for has_it in [true, false] {
        let cluster = boot_with(Cluster::builder().replicas(1).synchronous(["replica-1"])).await?;
        let (old, new) = (cluster.primary(), cluster.replica(1)?);
        let pool = resolving(&cluster).await?;
        if has_it {
            // It receives and does not apply what the commit waits for.
            old.set("synchronous_commit", "remote_apply").await?;
            new.pause_replay().await?;
        } else {
            new.upstream_link().ok_or("a link")?.cut().await?;
        }
        let committing = committing(&pool, old, "perhaps").await?;
        if has_it {
            let sent =
                "SELECT count(*)::text FROM pg_stat_replication WHERE flush_lsn = pg_current_wal_flush_lsn()";
            until("the commit to be shipped", async || Ok(old.admin_query_text(sent).await? == "1")).await?;
        }
        old.crash().await?;
        let unknown = unanswered(committing).await?;
        if has_it {
            new.resume_replay().await?;
        }
        new.promote().await?;
        let there = || pool.router().topology().primary().is_ok_and(|primary| &*primary.name == "replica-1");
        until("the promotion to be noticed", async || Ok(there())).await?;
        match pool.router().resolve(&unknown).await {
            Resolution::Committed => assert!(has_it),
            Resolution::Unknown(Doubt::OtherHistory { .. }) => assert!(!has_it),
            other => return Err(format!("{has_it}: {other:?}").into()),
        }
        assert_eq!(notes(new, "perhaps").await?, if has_it { "1" } else { "0" });
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_was_not_answered_is_known_as_such_and_has_no_number() -> Result {
    let cluster = boot(0).await?;
    let pool = resolving(&cluster).await?;
    for batch in [false, true] {
        let mut handle = pool.handle();
        let text = "INSERT INTO note (text) SELECT 'x' FROM pg_sleep(600)";
        let writing = tokio::spawn(async move {
            match batch {
                true => handle.batch_execute(text).await,
                false => sql_query(text).execute(&mut handle).await.map(drop),
            }
        });
        until("the write to be under way", async || Ok(running(cluster.primary(), "INSERT%").await? > 0))
            .await?;
        cluster.primary().kill_client_connections().await?;
        let error = writing.await?.err().ok_or("it was answered")?;
        // The server has said that it was killed: that is an answer, and it has undone everything.
        assert_eq!(outcome_unknown(&error), None, "{error:?}");
        let mut handle = pool.handle();
        let writing = tokio::spawn(async move {
            match batch {
                true => handle.batch_execute(text).await,
                false => sql_query(text).execute(&mut handle).await.map(drop),
            }
        });
        until("the write to be under way", async || Ok(running(cluster.primary(), "INSERT%").await? > 0))
            .await?;
        cluster.primary().link().reset().await?;
        let error = writing.await?.err().ok_or("it was answered")?;
        let unknown = outcome_unknown(&error).ok_or_else(|| format!("{error:?}"))?;
        assert_eq!((unknown.during, &unknown.transaction), (Unanswered::Statement, &None));
        let resolution = pool.router().resolve(&unknown).await;
        assert_eq!(resolution, Resolution::Unknown(Doubt::NoNumber));
        cluster.primary().kill_client_connections().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_run_again_when_nothing_of_it_can_have_happened() -> Result {
    let cluster = boot(0).await?;
    cluster.primary().sql(SLOW).await?;
    let pool = resolving(&cluster).await?;
    let node = cluster.primary();
    let runs = AtomicU32::new(0);
    let policy = Policy::new().within(PATIENCE);

    // The connection is lost before COMMIT.
    let text = retry::transaction(&mut pool.handle(), policy, async |conn, attempt| {
        assert_eq!(runs.fetch_add(1, Ordering::Relaxed) + 1, attempt.number);
        insert(conn, "lost before").await?;
        if attempt.is_first() {
            node.kill_client_connections().await.map_err(|_| Error::NotFound)?;
            insert(conn, "never").await?;
        }
        Ok::<_, Error>("done")
    })
    .await?;
    assert_eq!((text, runs.swap(0, Ordering::Relaxed)), ("done", 2));

    // A conflict, twice.
    retry::transaction(&mut pool.handle(), policy, async |conn, attempt| {
        runs.fetch_add(1, Ordering::Relaxed);
        insert(conn, "conflict").await?;
        if attempt.number < 3 {
            let conflict = "DO 'BEGIN RAISE EXCEPTION ''conflict'' USING ERRCODE = ''40001''; END'";
            sql_query(conflict).execute(conn).await?;
        }
        Ok::<_, Error>(())
    })
    .await?;
    assert_eq!(runs.swap(0, Ordering::Relaxed), 3);

    // An error of the application's own, and one of the database's that says nothing of the kind.
    for own in [true, false] {
        let mut handle = pool.handle();
        let failed = retry::transaction(&mut handle, policy, async |conn, _| {
            runs.fetch_add(1, Ordering::Relaxed);
            insert(conn, "own").await?;
            if own { Err(Error::RollbackTransaction) } else { sql_query("SELECT 1 / 0").execute(conn).await }
        });
        assert!(failed.await.is_err());
        assert_eq!(runs.swap(0, Ordering::Relaxed), 1);
    }

    // A COMMIT of which the primary says that it did not happen. As a task of its own: its future can be sent.
    pool.handle().transaction(async |conn| insert(conn, "warm").await).await?;
    let mut handle = pool.handle();
    let retried = tokio::spawn(async move {
        retry::transaction(&mut handle, policy, async |conn, attempt| {
            insert(conn, if attempt.is_first() { "slow" } else { "at last" }).await
        })
        .await
    });
    until("the commit to be under way", async || Ok(running(node, "COMMIT%").await? > 0)).await?;
    kill_silently(node).await?;
    assert_eq!(retried.await??, 1);

    for (text, count) in
        [("lost before", "1"), ("conflict", "1"), ("own", "0"), ("slow", "0"), ("at last", "1")]
    {
        assert_eq!(notes(node, text).await?, count, "{text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_commit_was_done_after_all_is_not_run_again() -> Result {
    let cluster = boot_with(Cluster::builder().replicas(1).synchronous(["replica-1"])).await?;
    let pool = resolving(&cluster).await?;
    cluster.replica(1)?.stop(Mode::Fast).await?;
    let mut handle = pool.handle();
    let retried = tokio::spawn(async move {
        let policy = Policy::new().within(PATIENCE);
        retry::transaction(&mut handle, policy, async |conn, attempt| {
            insert(conn, "once").await?;
            Ok::<_, Error>(attempt.number)
        })
        .await
    });
    until("the commit to be under way", async || Ok(running(cluster.primary(), "COMMIT%").await? > 0))
        .await?;
    cluster.primary().link().cut().await?;
    cluster.primary().link().heal().await?;
    cluster.replica(1)?.start().await?;
    assert_eq!(retried.await??, 1);
    assert_eq!(notes(cluster.primary(), "once").await?, "1");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_number_a_commit_that_was_not_answered_is_not_run_again() -> Result {
    let cluster = boot(0).await?;
    cluster.primary().sql(SLOW).await?;
    let pool = RoutedPool::start(config(&cluster).build()?).await?;
    let mut handle = pool.handle();
    let retried = tokio::spawn(async move {
        retry::transaction(&mut handle, Policy::new(), async |conn, _| insert(conn, "slow").await).await
    });
    let node = cluster.primary();
    until("the commit to be under way", async || Ok(running(node, "COMMIT%").await? > 0)).await?;
    kill_silently(node).await?;
    let error = retried.await?.err().ok_or("it was answered")?;
    assert!(outcome_unknown(&error).is_some_and(|unknown| unknown.transaction.is_none()), "{error:?}");
    Ok(())
}
