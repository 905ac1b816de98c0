//! Code that asks for a plain `&DatabaseConnection`, and what the routed handles know of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rr_seaorm::{RoutedConnection, RoutedTransaction};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, EntityTrait,
    PaginatorTrait, TransactionTrait, sqlx,
};

use crate::support::{
    PATIENCE, Result, boot, config, connect, note, notes, on_standby, replicas_only, until,
};

async fn insert(db: &DatabaseConnection) -> Result<note::Model, DbErr> {
    note::ActiveModel { text: Set("plain".to_owned()), ..Default::default() }.insert(db).await
}

async fn insert_within(db: &DatabaseTransaction) -> Result<note::Model, DbErr> {
    note::ActiveModel { text: Set("plain".to_owned()), ..Default::default() }.insert(db).await
}

async fn insert_in_a_transaction(db: &DatabaseConnection) -> Result<(), DbErr> {
    let transaction = db.begin().await?;
    insert_within(&transaction).await?;
    transaction.commit().await
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
        insert_in_a_transaction(db).await?;
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
