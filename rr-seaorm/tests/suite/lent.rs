//! Code that asks for a plain `&DatabaseConnection`, and what the routed handles know of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rr_core::config::{FailoverMode, Secret};
use rr_core::{Requirement, Session};
use rr_seaorm::{RoutedConnection, RoutedTransaction};
use rr_tests::cluster::Node;
use rr_tests::plain::promoting;
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, EntityTrait,
    PaginatorTrait, TransactionTrait, sqlx,
};
use tokio::task::JoinSet;

use crate::support::{
    PATIENCE, Result, boot, config, connect, note, notes, on_standby, replicas_only, standby_serves, until,
};

const COUNT: &str = "SELECT count(*)::text FROM note";

async fn insert(db: &DatabaseConnection) -> Result<note::Model, DbErr> {
    note::ActiveModel { text: Set("plain".to_owned()), ..Default::default() }.insert(db).await
}

async fn insert_within(db: &DatabaseTransaction) -> Result<note::Model, DbErr> {
    note::ActiveModel { text: Set("plain".to_owned()), ..Default::default() }.insert(db).await
}

async fn insert_and_commit(db: &DatabaseConnection) -> Result<note::Model, DbErr> {
    let transaction = db.begin().await?;
    let row = insert_within(&transaction).await?;
    transaction.commit().await?;
    Ok(row)
}

async fn write_in_every_way(db: &RoutedConnection) -> Result {
    let mut expected = 0;
    for _ in 0..10 {
        insert(db).await?;
        expected += 1;
        assert_eq!(notes(db).await?, expected, "prepared");
        db.as_ref().execute_unprepared("INSERT INTO note (text) VALUES ('unprepared')").await?;
        expected += 1;
        assert_eq!(notes(db).await?, expected, "unprepared");
        insert_and_commit(db).await?;
        expected += 1;
        assert_eq!(notes(db).await?, expected, "transaction");
        let plain: DatabaseConnection = (**db).clone();
        plain.execute_unprepared("INSERT INTO note (text) VALUES ('clone')").await?;
        expected += 1;
        assert_eq!(notes(db).await?, expected, "clone");
        let insert = sqlx::query("INSERT INTO note (text) VALUES ('pool')");
        insert.execute(db.get_postgres_connection_pool()).await?;
        expected += 1;
        assert_eq!(notes(db).await?, expected, "the pool itself");
        let transaction: RoutedTransaction = db.begin().await?;
        insert_within(&transaction).await?;
        transaction.commit().await?;
        expected += 1;
        assert_eq!(notes(db).await?, expected, "a plain reference to a routed transaction");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_written_through_a_plain_reference_is_read() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    assert!(on_standby(&db).await?);
    cluster.replica(1)?.pause_replay().await?;
    write_in_every_way(&db).await?;
    cluster.replica(1)?.resume_replay().await?;
    until("reads to return", async || Ok(on_standby(&db).await?)).await?;
    assert_eq!(note::Entity::find().count(&*db).await?, 60, "reads of a plain reference are the primary's");
    Ok(())
}

#[tokio::test]
async fn replicas_alone_see_what_is_written_through_a_plain_reference() -> Result {
    let cluster = boot(1).await?;
    let db = crate::support::started(replicas_only(&cluster)).await?;
    write_in_every_way(&db).await
}

/// Somebody else may be the first to hear that the connection is back.
#[tokio::test]
async fn a_session_sees_what_it_wrote_through_a_plain_reference_whoever_reads_first() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    standby_serves(&db).await?;
    cluster.replica(1)?.pause_replay().await?;
    let (mine, yours) = (Session::new(), Session::new());
    for expected in 1..=10 {
        mine.scope(async { insert(&db).await }).await?;
        assert_eq!(notes(&db).await?, expected, "reads of no session see all");
        assert_eq!(mine.scope(notes(&db)).await?, expected);
        assert_eq!(notes(&db.with_session(&mine)).await?, expected);
    }
    assert_eq!(db.router().requirement(Some(&yours), None), Requirement::NONE, "it has not borrowed");
    Ok(())
}

#[tokio::test]
async fn what_is_written_through_a_plain_reference_of_nobodys_is_seen_by_all() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    standby_serves(&db).await?;
    cluster.replica(1)?.pause_replay().await?;
    let (mine, yours) = (Session::new(), Session::new());
    let kept: &DatabaseConnection = &db;
    mine.scope(insert(kept)).await?;
    assert_eq!(yours.scope(notes(&db)).await?, 1);
    assert_eq!(mine.scope(notes(&db)).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_token_tells_of_what_was_written_through_a_plain_reference() -> Result {
    let cluster = boot(1).await?;
    let keyed = || {
        config(&cluster).with(|config| {
            config.session.keys = vec![Secret::new("a key that all processes of this test have")]
        })
    };
    let settings = keyed().build()?;
    let here = RoutedConnection::start(settings.clone()).await?;
    let there = RoutedConnection::start(settings).await?;
    standby_serves(&there).await?;
    cluster.replica(1)?.pause_replay().await?;
    for expected in 1..=10 {
        let session = Session::new();
        session.scope(async { insert(&here).await }).await?;
        let exported = here.router().export(&session, PATIENCE).await?;
        assert!(exported.exact);
        let resumed = there.router().resume(exported.token.as_str()).await?;
        assert_eq!(notes(&there.with_session(&resumed)).await?, expected);
    }
    Ok(())
}

#[tokio::test]
async fn a_transaction_that_is_out_keeps_reads_on_the_primary() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    let plain: &DatabaseConnection = &db;
    let transaction = plain.begin().await?;
    insert_within(&transaction).await?;
    assert!(!on_standby(&db).await?);
    transaction.rollback().await?;
    until("reads to return", async || Ok(on_standby(&db).await?)).await?;
    Ok(())
}

#[tokio::test]
async fn a_plain_reference_follows_the_primary() -> Result {
    let cluster = boot(2).await?;
    let settings = config(&cluster).with(|config| config.write_wait = PATIENCE);
    let db = crate::support::started(settings).await?;
    let plain: &DatabaseConnection = &db;
    insert(plain).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    cluster.primary().kill9().await?;
    cluster.replica(1)?.promote().await?;
    until("the reference to lead to the new primary", async || Ok(insert(plain).await.is_ok())).await?;
    assert_eq!(notes(&db).await?, 2);
    Ok(())
}

/// Nobody tells the router what these writers have under way: the old primary refuses them from the moment on from which
/// what it writes would be lost.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_plain_reference_wrote_is_lost_in_a_switchover() -> Result {
    let cluster = boot(2).await?;
    let db = RoutedConnection::start(promoting(&cluster, FailoverMode::Manual)).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for number in 0..8 {
        let (db, stop) = (db.clone(), Arc::clone(&stop));
        writers.spawn(async move {
            let (plain, mut written, mut refused): (&DatabaseConnection, _, _) = (&db, Vec::new(), 0);
            while !stop.load(Ordering::Relaxed) {
                let row = match number % 2 {
                    0 => insert(plain).await,
                    _ => insert_and_commit(plain).await,
                };
                match row {
                    Ok(row) => written.push(row.id),
                    Err(_) => refused += 1,
                }
            }
            (written, refused)
        });
    }
    let more = async |node: &Node| {
        let count = async || Ok::<i64, Box<dyn std::error::Error>>(node.query_text(COUNT).await?.parse()?);
        let before = count().await?;
        until("more to be written", async || Ok(count().await? > before + 50)).await
    };
    more(cluster.primary()).await?;
    let new = cluster.replica(1)?;
    let report = db.router().failover().initiate("a test", Some(new.name()), false).await?;
    assert!(report.succeeded(), "{report}");
    more(new).await?;
    stop.store(true, Ordering::Relaxed);
    let done = writers.join_all().await;
    let ids = new.query_text("SELECT string_agg(id::text, ',') FROM note").await?;
    let kept: HashSet<i64> = ids.split(',').map(str::parse).collect::<Result<_, _>>()?;
    for (written, refused) in done {
        println!("{} written, {refused} refused", written.len());
        let lost: Vec<_> = written.iter().filter(|id| !kept.contains(id)).collect();
        assert!(lost.is_empty(), "{lost:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_metric_callback_hears_of_every_statement() -> Result {
    let cluster = boot(1).await?;
    let mut db = connect(&cluster).await?;
    let (heard, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    db.set_metric_callback({
        let (heard, failed) = (Arc::clone(&heard), Arc::clone(&failed));
        move |info| {
            heard.fetch_add(1, Ordering::Relaxed);
            failed.fetch_add(usize::from(info.failed), Ordering::Relaxed);
        }
    });
    let db = db.clone();
    let mut expected = 0;
    macro_rules! hears {
        ($($operation:expr),+ $(,)?) => {$(
            drop(Box::new($operation));
            expected += 1;
            assert_eq!(heard.load(Ordering::Relaxed), expected, "{}", stringify!($operation));
        )+};
    }
    let transaction = db.begin().await?;
    hears!(
        note::Entity::find().all(&db).await?,
        note::Entity::find().stream(&db).await?,
        insert_within(&transaction).await?,
        insert(&db).await?,
        notes(&db.use_primary()).await?,
        crate::support::ask::<i32>(&db, "SELECT 1 / 0").await.unwrap_err(),
    );
    assert_eq!(failed.load(Ordering::Relaxed), 1);
    Ok(())
}

/// The driver opens another one in its place, and tells nobody.
#[tokio::test]
async fn what_is_written_on_a_connection_that_was_replaced_is_read() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    let killed = "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity \
                  WHERE usename = 'app' AND query LIKE '%unprepared%' AND pid <> pg_backend_pid()";
    let write = "INSERT INTO note (text) VALUES ('unprepared')";
    for round in 1..=3 {
        standby_serves(&db).await?;
        db.as_ref().execute_unprepared(write).await?;
        assert_eq!(notes(&db).await?, 2 * round - 1);
        cluster.wait_caught_up(PATIENCE).await?;
        standby_serves(&db).await?;
        let replica = cluster.replica(1)?;
        replica.pause_replay().await?;
        assert_eq!(cluster.primary().admin_query_text(killed).await?, "1");
        let plain = db.as_ref();
        plain.execute_unprepared(write).await?;
        // Before, it may be about to write for all that is known.
        let pool = plain.get_postgres_connection_pool();
        until("it to be back", async || Ok(pool.size() as usize == pool.num_idle())).await?;
        assert_eq!(notes(&db).await?, 2 * round);
        replica.resume_replay().await?;
    }
    Ok(())
}
