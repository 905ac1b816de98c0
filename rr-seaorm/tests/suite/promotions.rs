//! Promotions: writes that wait, kept connections, writes that were not answered, transactions that are run again.

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use rr_core::Session;
use rr_core::outcome::{Doubt, Resolution, Unanswered};
use rr_core::route::RouteError;
use rr_core::tally::WriteStep;
use rr_seaorm::retry::{self, Policy};
use rr_seaorm::{RoutedConnection, RoutingError, outcome_unknown, routing_error};
use rr_tests::cluster::{Cluster, Mode, Node};
use sea_orm::{ConnectionTrait, DbErr, Statement, StreamTrait, TransactionTrait};

use crate::support::{PATIENCE, Result, boot, config, raw, running, until};

/// The COMMIT of whoever writes `slow` never ends.
const SLOW: &str = "\
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
    'BEGIN IF NEW.text = ''slow'' THEN PERFORM pg_sleep(600); END IF; RETURN NULL; END'; \
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON note DEFERRABLE INITIALLY DEFERRED \
    FOR EACH ROW EXECUTE FUNCTION slow()";

async fn started(cluster: &Cluster) -> Result<RoutedConnection> {
    let config = config(cluster).write_wait(PATIENCE).with(|config| {
        config.failover.resolve_outcomes = true;
        config.pool.primary.max = 3;
    });
    Ok(RoutedConnection::start(config.build()?).await?)
}

async fn insert(db: &impl ConnectionTrait, text: &str) -> std::result::Result<u64, DbErr> {
    let sql = format!("INSERT INTO note (text) VALUES ('{text}')");
    Ok(db.execute_unprepared(&sql).await?.rows_affected())
}

async fn count(node: &Node, text: &str) -> Result<String> {
    Ok(node.query_text(&format!("SELECT count(*)::text FROM note WHERE text = '{text}'")).await?)
}

async fn follows(db: &RoutedConnection, node: &Node) -> Result {
    let there = || db.router().topology().primary().is_ok_and(|primary| &*primary.name == node.name());
    until("the promotion to be noticed", async || Ok(there())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_writes_waits_for_the_new_primary() -> Result {
    let cluster = boot(1).await?;
    let (old, new) = (cluster.primary(), cluster.replica(1)?);
    // No connection is idle: nothing would tell that it is dead before a write is sent.
    let db = started(&cluster).await?;
    old.kill9().await?;
    let write = async |number: usize| {
        if number.is_multiple_of(2) {
            return insert(&db, "storm").await;
        }
        let transaction = db.begin().await?;
        let rows = insert(&transaction, "storm").await?;
        transaction.commit().await?;
        Ok(rows)
    };
    let storm = join_all((0..60).map(write));
    let promotion = async {
        until("all to wait", async || Ok(db.router().waiting_writes() == 60)).await?;
        Ok::<_, Box<dyn std::error::Error>>(new.promote().await?)
    };
    let (written, promoted) = tokio::join!(storm, promotion);
    promoted?;
    for write in written {
        assert_eq!(write?, 1);
    }
    assert_eq!(count(new, "storm").await?, "60");
    assert_eq!(db.router().counted_writes(WriteStep::GaveUp), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_a_demoted_primary_refuses_reaches_the_new_one_once() -> Result {
    let cluster = boot(1).await?;
    let (old, new) = (cluster.primary(), cluster.replica(1)?);
    // Nobody looks at the servers of their own accord.
    let settings = config(&cluster).write_wait(PATIENCE).with(|config| {
        config.monitor.interval = std::time::Duration::from_secs(60);
        config.monitor.jitter = std::time::Duration::ZERO;
        config.max_lag = None;
    });
    let db = RoutedConnection::start(settings.build()?).await?;
    old.stop(Mode::Fast).await?;
    new.promote().await?;
    old.rebuild(new).await?;
    old.wait_caught_up(new, PATIENCE).await?;
    assert_eq!(insert(&db, "once").await?, 1);
    assert_eq!(count(new, "once").await?, "1");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_on_an_old_primary_is_not_committed_there() -> Result {
    let cluster = boot(1).await?;
    let db = started(&cluster).await?;
    let (kept, other) = (db.begin().await?, db.begin().await?);
    insert(&kept, "kept").await?;
    insert(&other, "other").await?;
    // The old primary lives and takes writes.
    cluster.replica(1)?.promote().await?;
    follows(&db, cluster.replica(1)?).await?;
    for error in [kept.commit().await.unwrap_err(), insert(&other, "more").await.unwrap_err()] {
        assert!(matches!(routing_error(&error), Some(RoutingError::Deposed { .. })), "{error}");
    }
    drop(other);
    let number = retry::transaction(&db, Policy::new(), async |transaction, attempt| {
        insert(transaction, "next").await?;
        Ok::<_, DbErr>(attempt.number)
    });
    assert_eq!(number.await?, 1);
    for text in ["kept", "other", "more", "next"] {
        assert_eq!(count(cluster.primary(), text).await?, "0", "{text}");
    }
    assert_eq!(count(cluster.replica(1)?, "next").await?, "1");
    Ok(())
}

/// The node has failed a statement of theirs before that.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_server_was_too_slow_is_not_committed_on_an_old_primary() -> Result {
    let cluster = boot(1).await?;
    let limit = std::time::Duration::from_secs(1);
    let settings = config(&cluster).with(|config| config.pool.primary.statement_timeout = Some(limit));
    let db = RoutedConnection::start(settings.build()?).await?;
    let (kept, other) = (db.begin().await?, db.begin().await?);
    for transaction in [&kept, &other] {
        insert(transaction, "slow").await?;
        let error = transaction.execute_unprepared("SELECT pg_sleep(600)").await.unwrap_err();
        assert!(matches!(routing_error(&error), Some(RoutingError::TooSlow { .. })), "{error}");
    }
    cluster.replica(1)?.promote().await?;
    follows(&db, cluster.replica(1)?).await?;
    for error in [insert(&other, "more").await.unwrap_err(), kept.commit().await.unwrap_err()] {
        assert!(matches!(routing_error(&error), Some(RoutingError::Deposed { .. })), "{error}");
    }
    Ok(())
}

/// A primary that was replaced while it worked answers all the same, and nobody else has what it wrote.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_primary_answers_late_is_told_of() -> Result {
    let cluster = boot(1).await?;
    let (old, new) = (cluster.primary(), cluster.replica(1)?);
    let db = started(&cluster).await?;
    let holder = old.direct().await?;
    holder.batch_execute("BEGIN; LOCK TABLE note IN SHARE MODE").await?;
    let (alone, within) = (Session::new(), Session::new());
    let writing = {
        let db = db.with_session(&alone);
        tokio::spawn(async move { insert(&db, "alone").await })
    };
    let committing = {
        let db = db.with_session(&within);
        tokio::spawn(async move {
            let transaction = db.begin().await?;
            insert(&transaction, "within").await?;
            transaction.commit().await
        })
    };
    until("both to wait", async || Ok(running(old, "INSERT%").await? == 2)).await?;
    new.promote().await?;
    follows(&db, new).await?;
    holder.batch_execute("COMMIT").await?;
    assert_eq!(writing.await??, 1);
    // It is either kept from committing there, or told of.
    let committed = committing.await?.is_ok();
    for (session, must) in [(&alone, true), (&within, committed)] {
        let db = db.with_session(session);
        let read = db.query_one_raw(Statement::from_string(db.get_database_backend(), "SELECT 1")).await;
        let error = read.err();
        let told = matches!(
            error.as_ref().and_then(routing_error),
            Some(RoutingError::NoRoute { error: RouteError::LostWrite(_), .. })
        );
        assert_eq!(told, must);
    }
    assert_eq!(count(new, "alone").await?, "0");
    Ok(())
}

/// Whoever commits is killed, and nobody hears of it.
async fn kill_silently(node: &Node) -> Result {
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE state = 'active' AND query LIKE 'COMMIT%'";
    until("the commit to be under way", async || Ok(running(node, "COMMIT%").await? > 0)).await?;
    node.link().blackhole().await?;
    node.admin_sql(kill).await?;
    until("the commit to end", async || Ok(running(node, "COMMIT%").await? == 0)).await?;
    node.link().cut().await?;
    node.link().heal().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_a_commit_that_was_not_answered_is_found_out() -> Result {
    let cluster = Cluster::builder().replicas(1).synchronous(["replica-1"]).start().await?;
    let node = cluster.primary();
    node.sql("CREATE TABLE note (id bigserial PRIMARY KEY, text text NOT NULL)").await?;
    node.sql(SLOW).await?;
    let db = started(&cluster).await?;
    for text in ["slow", "done"] {
        let transaction = db.begin().await?;
        insert(&transaction, text).await?;
        let undone = text == "slow";
        if !undone {
            cluster.replica(1)?.stop(Mode::Fast).await?;
        }
        let committing = tokio::spawn(transaction.commit());
        if undone {
            kill_silently(node).await?;
        } else {
            until("the commit to be under way", async || Ok(running(node, "COMMIT%").await? > 0)).await?;
            node.link().cut().await?;
            node.link().heal().await?;
        }
        let error = committing.await?.err().ok_or("the commit was answered")?;
        let unknown = outcome_unknown(&error).ok_or_else(|| format!("{error:?}"))?;
        assert_eq!((&*unknown.node, unknown.during), ("primary", Unanswered::Commit));
        if undone {
            assert_eq!(db.router().resolve(unknown).await, Resolution::Aborted);
            continue;
        }
        cluster.replica(1)?.start().await?;
        let resolved = async || Ok(db.router().resolve(unknown).await == Resolution::Committed);
        until("the commit to be done", resolved).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_was_not_answered_is_known_as_such() -> Result {
    let cluster = boot(0).await?;
    let db = started(&cluster).await?;
    let (own, node) = (db.clone(), cluster.primary());
    let writing = tokio::spawn(async move {
        own.execute_unprepared("INSERT INTO note (text) SELECT 'x' FROM pg_sleep(600)").await
    });
    until("the write to be under way", async || Ok(running(node, "INSERT%").await? > 0)).await?;
    node.link().reset().await?;
    let error = writing.await?.err().ok_or("it was answered")?;
    let unknown = outcome_unknown(&error).ok_or_else(|| format!("{error:?}"))?;
    assert_eq!(unknown.during, Unanswered::Statement);
    assert_eq!(db.router().resolve(unknown).await, Resolution::Unknown(Doubt::NoNumber));
    node.kill_client_connections().await?;
    Ok(())
}

/// As above, where rows are awaited.
#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_write_that_was_not_answered_is_known_as_such() -> Result {
    let cluster = boot(0).await?;
    let db = started(&cluster).await?;
    let (own, node) = (db.clone(), cluster.primary());
    let writing = tokio::spawn(async move {
        let sql = "INSERT INTO note (text) SELECT 'x' FROM pg_sleep(600) RETURNING id";
        own.stream_raw(raw(sql)).await?.try_next().await
    });
    until("the write to be under way", async || Ok(running(node, "INSERT%").await? > 0)).await?;
    node.link().reset().await?;
    let error = writing.await?.err().ok_or("it was answered")?;
    let unknown = outcome_unknown(&error).ok_or_else(|| format!("{error:?}"))?;
    assert_eq!((&*unknown.node, unknown.during), ("primary", Unanswered::Statement));
    assert_eq!(db.router().resolve(unknown).await, Resolution::Unknown(Doubt::NoNumber));
    assert_eq!(db.router().counted_writes(WriteStep::OutcomeUnknown), 1);
    node.kill_client_connections().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_run_again_when_nothing_of_it_can_have_happened() -> Result {
    let cluster = boot(0).await?;
    let node = cluster.primary();
    node.sql(SLOW).await?;
    let db = started(&cluster).await?;
    let policy = Policy::new().within(PATIENCE);
    let lost = |error: rr_tests::cluster::ClusterError| DbErr::Custom(error.to_string());
    let tries = retry::transaction(&db, policy, async |transaction, attempt| {
        insert(transaction, "again").await?;
        match attempt.number {
            1 => {
                node.kill_client_connections().await.map_err(lost)?;
                insert(transaction, "never").await?;
            }
            2 => {
                let conflict = "DO 'BEGIN RAISE EXCEPTION ''conflict'' USING ERRCODE = ''40P01''; END'";
                transaction.execute_unprepared(conflict).await?;
            }
            _ => {}
        }
        Ok::<_, DbErr>(attempt.number)
    });
    assert_eq!(tries.await?, 3);

    let tries = retry::transaction(&db, policy, async |transaction, attempt| {
        insert(transaction, "streamed").await?;
        if attempt.number == 1 {
            node.kill_client_connections().await.map_err(lost)?;
        }
        let sql = match attempt.number {
            1 => "SELECT 1",
            2 => "DO 'BEGIN RAISE EXCEPTION ''conflict'' USING ERRCODE = ''40001''; END'",
            _ => return Ok::<_, DbErr>(attempt.number),
        };
        transaction.stream_raw(raw(sql)).await?.try_next().await?;
        Err(DbErr::Custom(format!("an answer to {sql}")))
    });
    assert_eq!(tries.await?, 3);

    let own = retry::transaction(&db, policy, async |transaction, attempt| {
        assert!(attempt.is_first());
        insert(transaction, "own").await?;
        Err::<(), _>(DbErr::Custom("an error of the application's own".to_owned()))
    });
    assert!(own.await.is_err());

    let own = db.clone();
    let retried = tokio::spawn(async move {
        retry::transaction(&own, policy, async |transaction, attempt| {
            insert(transaction, if attempt.is_first() { "slow" } else { "at last" }).await
        })
        .await
    });
    kill_silently(node).await?;
    assert_eq!(retried.await??, 1);
    for (text, expected) in [("again", "1"), ("streamed", "1"), ("own", "0"), ("slow", "0"), ("at last", "1")]
    {
        assert_eq!(count(node, text).await?, expected, "{text}");
    }
    Ok(())
}
