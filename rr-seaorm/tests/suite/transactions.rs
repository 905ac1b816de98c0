//! Transactions: where they run, how they end.

use std::time::Duration;

use futures_util::TryStreamExt;
use rr_core::topology::Role;
use rr_seaorm::{RoutedConnection, RoutedTransaction, RoutingError, routing_error};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    AccessMode, ActiveModelTrait, ConnectionTrait, DbErr, EntityTrait, IsolationLevel, StreamTrait,
    TransactionError, TransactionOptions, TransactionSession, TransactionTrait,
};

use crate::support::{
    Result, ask, boot, config, connect, in_flight, note, notes, on_standby, raw, seen, until,
};

async fn insert(db: &impl ConnectionTrait, text: &str) -> Result<note::Model, DbErr> {
    note::ActiveModel { text: Set(text.to_owned()), ..Default::default() }.insert(db).await
}

#[tokio::test]
async fn a_transaction_stays_on_the_primary_and_savepoints_are_undone_alone() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    let inside = db
        .transaction_async::<_, bool, DbErr>(async |transaction| {
            let standby = on_standby(transaction).await?;
            insert(transaction, "a").await?;
            let nested: Result<(), TransactionError<DbErr>> = transaction
                .transaction_async(async |nested| {
                    insert(nested, "b").await?;
                    Err(DbErr::Custom("no".to_owned()))
                })
                .await;
            assert!(matches!(nested, Err(TransactionError::Transaction(DbErr::Custom(_)))));
            let dropped = transaction.begin().await?;
            insert(&dropped, "c").await?;
            drop(dropped);
            transaction
                .transaction::<_, (), DbErr>(|nested| {
                    Box::pin(async move { insert(nested, "d").await.map(drop) })
                })
                .await
                .map_err(|error| DbErr::Custom(error.to_string()))?;
            assert_eq!(notes(transaction).await?, 2);
            let streamed: Vec<_> = note::Entity::find().stream(transaction).await?.try_collect().await?;
            assert_eq!(streamed.len(), 2);
            Ok(standby)
        })
        .await?;
    assert!(!inside);
    assert_eq!(in_flight(&db), [Some(0); 2]);
    assert_eq!(notes(&db).await?, 2);
    until("reads to return to the standby", async || Ok(on_standby(&db).await?)).await?;
    Ok(())
}

#[tokio::test]
async fn a_failed_closure_is_rolled_back() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    let failed: Result<(), TransactionError<DbErr>> = db
        .transaction(|transaction| {
            Box::pin(async move {
                insert(transaction, "gone").await?;
                Err(DbErr::Custom("no".to_owned()))
            })
        })
        .await;
    assert!(matches!(failed, Err(TransactionError::Transaction(DbErr::Custom(_)))));
    assert_eq!(notes(&db).await?, 0);
    let rolled_back = db.begin().await?;
    insert(&rolled_back, "gone").await?;
    TransactionSession::rollback(rolled_back).await?;
    drop(db.begin().await?);
    assert_eq!(in_flight(&db), [Some(0); 2]);
    assert_eq!(notes(&db.use_primary()).await?, 0);
    Ok(())
}

/// In a transaction that has failed, PostgreSQL refuses everything up to its end; the driver forgets that at a savepoint.
#[tokio::test]
async fn a_savepoint_that_is_refused_ends_the_transaction() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    let transaction = db.begin().await?;
    insert(&transaction, "gone").await?;
    transaction.execute_unprepared("SELECT 1 / 0").await.expect_err("a division by zero");
    transaction.begin().await.expect_err("a savepoint in a failed transaction");
    let torn = |error: &DbErr| matches!(routing_error(error), Some(RoutingError::Torn));
    assert!(insert(&transaction, "gone").await.is_err_and(|error| torn(&error)));
    assert!(transaction.begin().await.is_err_and(|error| torn(&error)));
    assert!(transaction.commit().await.is_err_and(|error| torn(&error)));
    assert_eq!(notes(&db.use_primary()).await?, 0);
    assert_eq!(in_flight(&db), [Some(0); 2]);

    let transaction = db.begin().await?;
    insert(&transaction, "kept").await?;
    let isolation = Some(IsolationLevel::Serializable);
    transaction.begin_with_config(isolation, None).await.expect_err("isolation is the transaction's");
    insert(&transaction, "kept").await?;
    transaction.commit().await?;
    assert_eq!(notes(&db.use_primary()).await?, 2);
    Ok(())
}

#[tokio::test]
async fn transactions_that_only_read_use_replicas_unless_serializable() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    let only_reads = Some(AccessMode::ReadOnly);
    let table = [
        (None, None, Role::Primary),
        (None, Some(AccessMode::ReadWrite), Role::Primary),
        (None, only_reads, Role::Replica),
        (Some(IsolationLevel::ReadCommitted), only_reads, Role::Replica),
        (Some(IsolationLevel::RepeatableRead), only_reads, Role::Replica),
        (Some(IsolationLevel::Serializable), only_reads, Role::Primary),
        (Some(IsolationLevel::Serializable), None, Role::Primary),
    ];
    for (isolation_level, access_mode, role) in table {
        let transaction = db.begin_with_config(isolation_level, access_mode).await?;
        assert_eq!(transaction.node().1, role, "{isolation_level:?} {access_mode:?}");
        assert_eq!(on_standby(&transaction).await?, role == Role::Replica);
        let level: String = ask(&transaction, "SELECT current_setting('transaction_isolation')").await?;
        let expected = isolation_level.unwrap_or(IsolationLevel::ReadCommitted).to_string().to_lowercase();
        assert_eq!(level, expected);
        if access_mode == only_reads {
            let refused = insert(&transaction, "no").await.unwrap_err();
            assert!(refused.to_string().contains("read-only transaction"), "{refused}");
        }
        transaction.rollback().await?;
    }
    let options = TransactionOptions { access_mode: only_reads, ..Default::default() };
    assert_eq!(db.begin_with_options(options).await?.node().1, Role::Replica);
    assert_eq!(db.use_primary().begin_with_options(options).await?.node().1, Role::Primary);
    cluster.replica(1)?.pause_replay().await?;
    insert(&db, "new").await?;
    let reading = db.begin_with_config(None, only_reads).await?;
    assert_eq!(notes(&reading).await?, 1, "it sees what was written before it began");
    Ok(())
}

/// All of it on one backend of the standby, as that says itself.
#[tokio::test]
async fn savepoints_work_in_a_transaction_that_a_standby_serves() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    let backend = async |on: &RoutedTransaction| {
        ask::<Option<i32>>(on, "SELECT CASE WHEN on_standby() THEN on_pid() END").await
    };
    let reading = db.begin_with_config(None, Some(AccessMode::ReadOnly)).await?;
    let standby = backend(&reading).await?;
    assert!(standby.is_some(), "it is served by the standby");
    let nested = reading.begin().await?;
    assert_eq!(nested.node(), reading.node());
    assert_eq!(backend(&nested).await?, standby);
    nested.execute_unprepared("SELECT 1 / 0").await.expect_err("a division by zero");
    backend(&nested).await.expect_err("the savepoint has failed");
    nested.rollback().await?;
    assert_eq!(backend(&reading).await?, standby, "what came before the savepoint goes on");
    let within = reading.transaction_async::<_, _, DbErr>(async |nested| {
        let deeper = nested.begin().await?;
        let seen = seen::Entity::find().stream(&deeper).await?.try_collect::<Vec<_>>().await?;
        deeper.commit().await?;
        assert_eq!(seen.len(), 2, "a standby's");
        backend(nested).await
    });
    assert_eq!(within.await?, standby);
    let refused = reading.begin().await?;
    let error = insert(&refused, "no").await.unwrap_err();
    assert!(error.to_string().contains("read-only transaction"), "{error}");
    drop(refused);
    assert_eq!(backend(&reading).await?, standby);
    reading.commit().await?;
    assert_eq!(in_flight(&db), [Some(0); 2]);
    assert!(on_standby(&db).await?);
    Ok(())
}

#[tokio::test]
async fn a_transaction_that_only_reads_begins_elsewhere_when_its_node_is_dead() -> Result {
    let cluster = boot(2).await?;
    let db = connect(&cluster).await?;
    let begin = async || db.begin_with_config(None, Some(AccessMode::ReadOnly)).await;
    for _ in 0..10 {
        begin().await?.commit().await?;
    }
    for replica in cluster.replicas() {
        replica.kill_client_connections().await?;
    }
    for _ in 0..10 {
        assert_eq!(notes(&begin().await?).await?, 0);
    }
    cluster.replica(1)?.kill9().await?;
    for _ in 0..10 {
        assert_eq!(notes(&begin().await?).await?, 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_dead_connection_is_replaced_before_a_transaction_begins() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    for _ in 0..3 {
        let transaction = db.begin().await?;
        insert(&transaction, "x").await?;
        transaction.commit().await?;
        cluster.primary().kill_client_connections().await?;
    }
    let transaction = db.begin().await?;
    assert_eq!(notes(&transaction).await?, 3);
    Ok(())
}

/// Begins, writes, and loses the connection at the moment of the commit.
async fn lose_the_commit(db: &RoutedConnection, cluster: &rr_tests::cluster::Cluster) -> Result<DbErr> {
    let transaction: RoutedTransaction = db.begin().await?;
    insert(&transaction, "perhaps").await?;
    let link = cluster.primary().link();
    // The commit arrives, its answer does not.
    link.delay_ways(Duration::ZERO, Duration::from_secs(60)).await?;
    let committing = tokio::spawn(transaction.commit());
    let committed = async || {
        let count = cluster.primary().direct().await?.query_one("SELECT count(*) FROM note", &[]).await?;
        Ok(count.get::<_, i64>(0) == 1)
    };
    until("the commit to be done", committed).await?;
    link.cut().await?;
    let error = committing.await?.err().ok_or("the commit was not acknowledged")?;
    link.heal().await?;
    Ok(error)
}

#[tokio::test]
async fn a_commit_that_nobody_acknowledged_counts_and_is_not_repeated() -> Result {
    let cluster = boot(1).await?;
    let settings = config(&cluster).with(|config| config.write_wait = crate::support::PATIENCE);
    let db = crate::support::started(settings).await?;
    assert!(on_standby(&db).await?);
    cluster.replica(1)?.pause_replay().await?;
    let error = lose_the_commit(&db, &cluster).await?;
    assert!(matches!(routing_error(&error), Some(RoutingError::OutcomeUnknown { .. })), "{error}");
    until("the primary to be back", async || Ok(db.ping().await.is_ok())).await?;
    assert_eq!(notes(&db).await?, 1, "the reads after it see it, and it was done once");
    assert_eq!(in_flight(&db), [Some(0); 2]);
    Ok(())
}

#[tokio::test]
async fn what_belongs_to_a_session_lasts_as_long_as_the_transaction() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    let transaction = db.begin().await?;
    transaction.execute_unprepared("SET LOCAL application_name = 'inside'").await?;
    transaction.execute_unprepared("CREATE TEMP TABLE mine ON COMMIT DROP AS SELECT 1 AS n").await?;
    assert!(ask::<bool>(&transaction, "SELECT pg_try_advisory_xact_lock(7)").await?);
    assert_eq!(ask::<String>(&transaction, "SELECT current_setting('application_name')").await?, "inside");
    assert_eq!(ask::<i32>(&transaction, "SELECT n FROM mine").await?, 1);
    let rows = transaction.stream_raw(raw("SELECT n FROM mine")).await?.try_collect::<Vec<_>>().await?;
    assert_eq!(rows.len(), 1);
    transaction.commit().await?;
    let name = "SELECT current_setting('application_name')";
    assert_ne!(ask::<String>(&db.use_primary(), name).await?, "inside");
    Ok(())
}

/// Whatever has the connection of a transaction may have it for longer than a server may take for a statement.
#[tokio::test]
async fn waiting_for_a_turn_is_not_held_against_the_server() -> Result {
    let cluster = boot(1).await?;
    let limit = Duration::from_secs(1);
    let settings = config(&cluster).with(|config| config.pool.primary.statement_timeout = Some(limit));
    let db = crate::support::started(settings).await?;
    let transaction = db.begin().await?;
    let rows = transaction.stream_raw(raw("SELECT generate_series(1, 3)")).await?;
    let mut writing = Box::pin(insert(&transaction, "x"));
    let mut nesting = Box::pin(async {
        let nested = transaction.begin().await?;
        insert(&nested, "y").await?;
        nested.commit().await
    });
    let both = async { tokio::join!(writing.as_mut(), nesting.as_mut()) };
    assert!(tokio::time::timeout(2 * limit, both).await.is_err(), "the rows have the connection");
    drop(rows);
    let (written, nested) = tokio::join!(writing, nesting);
    written?;
    nested?;
    assert_eq!(in_flight(&db)[0], Some(1), "the node has not failed the transaction");
    transaction.commit().await?;
    assert_eq!(notes(&db.use_primary()).await?, 2);
    Ok(())
}
