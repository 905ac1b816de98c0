//! Nobody reads a state older than what was written through this router.

use rr_core::Session;
use rr_core::config::Unscoped;
use rr_core::tally::Step;
use rr_seaorm::RoutedConnection;
use rr_tests::cluster::Boundary;
use sea_orm::ActiveValue::Set;
use sea_orm::{
    AccessMode, ActiveModelTrait, ConnectionTrait, DbErr, EntityTrait, IsolationLevel, PaginatorTrait,
    StreamTrait, TransactionTrait,
};

use futures_util::TryStreamExt;

use crate::support::{
    Result, ask, boot, config, connect, note, notes, on_standby, raw, replicas_only, until,
};

fn text(text: &str) -> note::ActiveModel {
    note::ActiveModel { text: Set(text.to_owned()), ..Default::default() }
}

/// One of each kind of write, each followed by what the next read on another handle sees.
async fn write_in_every_way(db: &RoutedConnection) -> Result {
    let other = db.clone();
    let count = async || notes(&other).await;
    assert_eq!(count().await?, 0);
    text("insert").insert(db).await?;
    assert_eq!(count().await?, 1);
    note::Entity::insert(text("exec")).exec_without_returning(db).await?;
    assert_eq!(count().await?, 2);
    db.execute_unprepared(
        "INSERT INTO note (text) VALUES ('batch'); INSERT INTO note (text) VALUES ('batch')",
    )
    .await?;
    assert_eq!(count().await?, 4);
    let transaction = db.begin().await?;
    text("transaction").insert(&transaction).await?;
    assert_eq!(note::Entity::find().count(&transaction).await?, 5);
    transaction.commit().await?;
    assert_eq!(count().await?, 5);
    db.transaction::<_, (), DbErr>(|transaction| {
        Box::pin(async move { text("closure").insert(transaction).await.map(drop) })
    })
    .await?;
    assert_eq!(count().await?, 6);
    db.transaction_with_config_async::<_, (), DbErr>(
        async |transaction| {
            let nested = transaction.begin().await?;
            text("nested").insert(&nested).await?;
            nested.commit().await
        },
        Some(IsolationLevel::Serializable),
        None,
    )
    .await?;
    assert_eq!(count().await?, 7);
    let rows = db.stream_raw(raw("INSERT INTO note (text) VALUES ('stream') RETURNING id")).await?;
    assert_eq!(rows.try_collect::<Vec<_>>().await?.len(), 1);
    assert_eq!(count().await?, 8);
    let transaction = db.begin().await?;
    text("by hand").insert(&transaction).await?;
    transaction.execute_unprepared("COMMIT").await?;
    drop(transaction);
    assert_eq!(count().await?, 9);
    Ok(())
}

#[tokio::test]
async fn every_kind_of_write_is_seen_by_the_next_read() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    let replica = cluster.replica(1)?;
    assert!(on_standby(&db).await?);
    replica.pause_replay().await?;
    write_in_every_way(&db).await?;
    assert!(!on_standby(&db).await?);
    replica.resume_replay().await?;
    until("reads to return", async || Ok(on_standby(&db).await?)).await?;
    assert_eq!(notes(&db).await?, 9);
    Ok(())
}

/// SeaORM rolls back what has been committed by hand, and what was written behind that without a transaction.
#[tokio::test]
async fn what_a_transaction_commits_by_hand_is_seen_at_once() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    assert!(on_standby(&db).await?);
    cluster.replica(1)?.pause_replay().await?;
    let other = db.clone();
    let count = async || notes(&other).await;
    let transaction = db.begin().await?;
    text("inside").insert(&transaction).await?;
    assert_eq!(count().await?, 0);
    transaction.execute_unprepared("COMMIT").await?;
    assert_eq!(count().await?, 1);
    text("behind").insert(&transaction).await?;
    assert_eq!(count().await?, 2);
    let rows = transaction.stream_raw(raw("INSERT INTO note (text) VALUES ('stream') RETURNING id")).await?;
    assert_eq!(rows.try_collect::<Vec<_>>().await?.len(), 1);
    assert_eq!(count().await?, 3);
    transaction.execute_unprepared("BEGIN; INSERT INTO note (text) VALUES ('batch'); END").await?;
    assert_eq!(count().await?, 4);
    transaction.rollback().await?;
    assert_eq!(count().await?, 4);
    Ok(())
}

#[tokio::test]
async fn replicas_alone_give_the_same_answers() -> Result {
    let cluster = boot(1).await?;
    let db = crate::support::started(replicas_only(&cluster)).await?;
    write_in_every_way(&db).await?;
    for round in 10..60 {
        text("more").insert(&db).await?;
        assert_eq!(notes(&db.clone()).await?, round);
        assert!(on_standby(&db).await?);
    }
    Ok(())
}

#[tokio::test]
async fn a_table_is_used_by_another_clone_as_soon_as_it_is_there() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    for round in 0..20 {
        db.execute_unprepared(&format!("CREATE TABLE t{round} AS SELECT {round} AS n")).await?;
        assert_eq!(ask::<i32>(&db.clone(), &format!("SELECT n FROM t{round}")).await?, round);
    }
    // Somebody else made it, and nothing says that the standby does not have it yet.
    let careless = config(&cluster).with(|config| config.unscoped = Unscoped::Eventual);
    let careless = crate::support::started(careless).await?;
    cluster.replica(1)?.pause_replay().await?;
    cluster.primary().sql("CREATE TABLE late AS SELECT 3 AS n").await?;
    assert_eq!(ask::<i32>(&careless, "SELECT n FROM late").await?, 3);
    let missing = ask::<i32>(&careless, "SELECT n FROM nowhere").await.unwrap_err();
    assert!(missing.to_string().contains("\"nowhere\" does not exist"), "{missing}");
    assert!(on_standby(&careless).await?);
    Ok(())
}

#[tokio::test]
async fn a_database_is_used_as_soon_as_it_is_there() -> Result {
    let cluster = boot(1).await?;
    let replica = cluster.replica(1)?;
    let db = RoutedConnection::connect_nodes(cluster.primary().admin_url(), [replica.admin_url()]).await?;
    replica.pause_replay().await?;
    db.execute_unprepared("CREATE DATABASE fresh").await?;
    let fresh = |url: String| format!("{}/fresh", url.rsplit_once('/').map_or("", |(server, _)| server));
    let nodes = (fresh(cluster.primary().admin_url()), fresh(replica.admin_url()));
    let there = RoutedConnection::connect_nodes(nodes.0, [nodes.1]).await?;
    there.execute_unprepared("CREATE TABLE t AS SELECT 4 AS n").await?;
    assert_eq!(ask::<i32>(&there.clone(), "SELECT n FROM t").await?, 4);
    replica.resume_replay().await?;
    until("the standby to have it", async || {
        Ok(ask::<bool>(
            &there,
            "SELECT transaction_timestamp() IS NOT NULL \
         AND current_setting('transaction_read_only') = 'on'",
        )
        .await?)
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn an_explicit_session_sees_its_own_writes_and_others_need_not() -> Result {
    let cluster = boot(1).await?;
    let careless = config(&cluster).with(|config| config.unscoped = Unscoped::Eventual);
    let db = crate::support::started(careless).await?;
    cluster.replica(1)?.pause_replay().await?;
    let (mine, other) = (Session::new(), Session::new());
    text("mine").insert(&db.with_session(&mine)).await?;
    assert_eq!(notes(&db.with_session(&mine)).await?, 1);
    assert_eq!(notes(&db.with_session(&other)).await?, 0);
    assert_eq!(notes(&db).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_transaction_that_only_reads_or_is_rolled_back_demands_nothing() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    let mine = Session::new();
    let db = db.with_session(&mine);
    let transaction = db.begin().await?;
    assert_eq!(notes(&transaction).await?, 0);
    transaction.commit().await?;
    let transaction = db.begin().await?;
    text("gone").insert(&transaction).await?;
    transaction.rollback().await?;
    let transaction = db.begin().await?;
    text("gone").insert(&transaction).await?;
    drop(transaction);
    let unplaced = || mine.requirement(rr_core::Consistency::Session).after;
    assert_eq!((unplaced(), mine.last_write()), (None, None));
    assert!(db.execute_unprepared("INSERT INTO note (text) VALUES (NULL)").await.is_err());
    assert_eq!((unplaced(), mine.last_write()), (None, None), "it was refused");
    assert_eq!(notes(&db).await?, 0);
    Ok(())
}

/// Reads of a session through two handles that take turns, in transactions and streams too.
#[tokio::test]
async fn a_session_does_not_go_back_in_time_while_another_process_writes() -> Result {
    let cluster = boot(2).await?;
    let db = connect(&cluster).await?;
    let session = Session::new();
    let handles = [db.with_session(&session), db.with_session(&session)];
    let mut newest = 0;
    for round in 0..200 {
        match round {
            // From here on the two replicas differ, and one of them goes away in the middle.
            30 => cluster.replica(1)?.pause_replay().await?,
            100 => cluster.replica(2)?.kill9().await?,
            150 => cluster.replica(1)?.resume_replay().await?,
            _ => {}
        }
        cluster.primary().sql("INSERT INTO note (text) VALUES ('of another process')").await?;
        let db = &handles[round % 2];
        let count = match round % 3 {
            0 => notes(db).await?,
            1 => notes(&db.begin_with_config(None, Some(AccessMode::ReadOnly)).await?).await?,
            _ => {
                let rows = db.stream_raw(raw("SELECT count(*) AS n FROM note")).await?;
                rows.try_collect::<Vec<_>>().await?[0].try_get("", "n")?
            }
        };
        assert!(count >= newest, "round {round}: {count} after {newest}");
        newest = count;
    }
    Ok(())
}

/// The log of an idle primary may end where a page begins: no replica ever gets behind the page's header.
#[tokio::test]
async fn a_write_that_ends_with_a_page_holds_no_reader_up() -> Result {
    let cluster = boot(1).await?;
    let db = crate::support::started(replicas_only(&cluster)).await?;
    for boundary in [Boundary::Page, Boundary::Segment] {
        cluster.primary().commit_at_boundary("INSERT INTO note (text) VALUES ('last')", boundary).await?;
        let db = db.with_session(&Session::new());
        // It changes nothing, so that the log still ends there when the primary is sampled.
        let done = db.execute_unprepared("UPDATE note SET stars = 1 WHERE id < 0").await?;
        assert_eq!(done.rows_affected(), 0);
        assert!(on_standby(&db).await?, "{boundary:?}");
    }
    assert_eq!(db.router().counted(Step::GaveUp), 0);
    Ok(())
}

#[tokio::test]
async fn a_write_that_was_meant_for_a_replica_counts_where_the_primary_ran_it() -> Result {
    let cluster = boot(1).await?;
    let session = Session::new();
    let db = connect(&cluster).await?.with_session(&session);
    cluster.replica(1)?.pause_replay().await?;
    text("first").insert(&db).await?;
    until("the first write to be placed", async || {
        notes(&db).await?;
        Ok(session.unplaced_since().is_none())
    })
    .await?;
    let first = session.last_write();
    // The replica lacks what the session has written, so that the primary serves.
    db.use_replica().execute_raw(raw("INSERT INTO note (text) VALUES ('second')")).await?;
    assert!(
        session.unplaced_since().is_some() || session.last_write() != first,
        "the session knows of its write"
    );
    assert_eq!(notes(&db).await?, 2);
    Ok(())
}
