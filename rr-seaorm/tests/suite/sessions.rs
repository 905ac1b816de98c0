//! What belongs to a server's session, as raw statements: locks and notifications. The same through a plain pool and through
//! a routed one.

use rr_core::Connector as _;
use rr_seaorm::{RoutedConnection, RoutingError, routing_error};
use rr_tests::cluster::{Cluster, Node};
use sea_orm::{
    AccessMode, ConnectOptions, ConnectionTrait, Database, StreamTrait, TransactionSession, TransactionTrait,
    sqlx,
};
use sqlx::postgres::PgListener;
use tokio::time::timeout;

use crate::support::{PATIENCE, Result, ask, boot, config, raw, started};

/// The locks that clients hold, as the server lists them.
async fn locks(node: &Node) -> Result<String> {
    let sql = "SELECT coalesce(string_agg(objid::text, ' ' ORDER BY objid), 'none') FROM pg_locks WHERE locktype = 'advisory'";
    Ok(node.query_text(sql).await?)
}

/// What a pool of one connection does with its session, and what others see of it.
async fn told<C>(db: &C, primary: &Node) -> Result<Vec<String>>
where
    C: ConnectionTrait + TransactionTrait + StreamTrait,
{
    let mut told = Vec::new();
    let taken = async |key: i32| ask::<bool>(db, &format!("SELECT pg_try_advisory_lock({key})")).await;
    db.query_one_raw(raw("SELECT pg_advisory_lock(1)")).await?;
    told.push(format!("2 is taken: {}", taken(2).await?));
    drop(db.stream_raw(raw("SELECT pg_advisory_lock(3)")).await?);
    told.push(format!("the statement of a dropped stream: {}", locks(primary).await?));
    told.push(format!("1 is given back: {}", ask::<bool>(db, "SELECT pg_advisory_unlock(1)").await?));
    told.push(format!("and then again: {}", ask::<bool>(db, "SELECT pg_advisory_unlock(1)").await?));
    db.execute_unprepared("SELECT pg_advisory_unlock_all()").await?;
    told.push(format!("all: {}", locks(primary).await?));
    db.query_one_raw(raw("SELECT pg_advisory_xact_lock(4)")).await?;
    told.push(format!("a transaction's, outside of one: {}", locks(primary).await?));
    let channels = "SELECT count(*) FROM pg_listening_channels()";
    db.execute_unprepared("LISTEN deals").await?;
    told.push(format!("channels: {}", ask::<i64>(db, channels).await?));
    db.execute_unprepared("UNLISTEN *").await?;
    told.push(format!("channels: {}", ask::<i64>(db, channels).await?));

    let transaction = db.begin().await?;
    transaction.query_one_raw(raw("SELECT pg_advisory_xact_lock(5)")).await?;
    transaction.query_one_raw(raw("SELECT pg_advisory_lock(6)")).await?;
    transaction.execute_unprepared("LISTEN deals").await?;
    told.push(format!("channels before the end: {}", ask::<i64>(&transaction, channels).await?));
    told.push(format!("in a transaction: {}", locks(primary).await?));
    transaction.commit().await?;
    told.push(format!("after it: {}", locks(primary).await?));
    told.push(format!("channels after the end: {}", ask::<i64>(db, channels).await?));
    told.push(format!("6 is given back: {}", ask::<bool>(db, "SELECT pg_advisory_unlock(6)").await?));
    let transaction = db.begin().await?;
    transaction.query_one_raw(raw("SELECT pg_advisory_xact_lock(7)")).await?;
    transaction.execute_unprepared("UNLISTEN *").await?;
    transaction.rollback().await?;
    told.push(format!("undone: {}, channels: {}", locks(primary).await?, ask::<i64>(db, channels).await?));
    Ok(told)
}

#[tokio::test]
async fn locks_and_channels_are_those_of_a_pool_of_one() -> Result {
    let cluster = boot(2).await?;
    let mut options = ConnectOptions::new(cluster.primary().url());
    options.max_connections(1);
    let plain = Database::connect(options).await?;
    let expected = told(&plain, cluster.primary()).await?;
    plain.close().await?;
    let settings = config(&cluster).with(|config| config.pool.primary.max = 1);
    let db = started(settings).await?;
    assert_eq!(told(&db, cluster.primary()).await?, expected);
    assert_eq!(
        expected,
        [
            "2 is taken: true",
            "the statement of a dropped stream: 1 2",
            "1 is given back: true",
            "and then again: false",
            "all: none",
            "a transaction's, outside of one: none",
            "channels: 1",
            "channels: 0",
            "channels before the end: 0",
            "in a transaction: 5 6",
            "after it: 6",
            "channels after the end: 1",
            "6 is given back: true",
            "undone: none, channels: 1",
        ]
    );
    assert_eq!(db.router().connector().misroutes(), Some(0), "no standby was asked for any of it");
    for replica in cluster.replicas() {
        assert_eq!(locks(replica).await?, "none");
    }
    Ok(())
}

/// A lock of a transaction keeps others out until its end, wherever they come from.
#[tokio::test]
async fn a_lock_of_a_transaction_keeps_others_out_until_its_end() -> Result {
    let cluster = boot(1).await?;
    let db = crate::support::connect(&cluster).await?;
    let other = crate::support::connect(&cluster).await?;
    let free = async || ask::<bool>(&other, "SELECT pg_try_advisory_xact_lock(7)").await;
    for end in ["commit", "rollback", "drop"] {
        let transaction = db.begin().await?;
        transaction.query_one_raw(raw("SELECT pg_advisory_xact_lock(7)")).await?;
        assert!(!free().await?, "{end}");
        assert!(
            !ask::<bool>(&db, "SELECT pg_try_advisory_xact_lock(7)").await?,
            "another connection of the pool"
        );
        match end {
            "commit" => transaction.commit().await?,
            "rollback" => transaction.rollback().await?,
            _ => drop(transaction),
        }
        crate::support::until("the lock to be free", async || Ok(free().await?)).await?;
    }
    Ok(())
}

#[derive(Debug)]
struct Ear(PgListener);

impl Ear {
    async fn on(cluster: &Cluster) -> Result<Self> {
        let mut listener = PgListener::connect(&cluster.primary().url()).await?;
        listener.listen("deals").await?;
        Ok(Self(listener))
    }

    async fn hears(&mut self) -> Result<String> {
        Ok(timeout(PATIENCE, self.0.recv()).await??.payload().to_owned())
    }
}

/// In the order in which they were sent, and none that was not.
#[tokio::test]
async fn notifications_are_sent_once_and_those_of_a_transaction_with_its_commit() -> Result {
    let cluster = boot(1).await?;
    let db = crate::support::connect(&cluster).await?;
    let mut ear = Ear::on(&cluster).await?;
    db.execute_unprepared("NOTIFY deals, 'a statement'").await?;
    assert_eq!(ear.hears().await?, "a statement");
    db.execute_raw(raw("NOTIFY deals, 'a prepared one'")).await?;
    assert_eq!(ear.hears().await?, "a prepared one");
    db.query_one_raw(raw("SELECT pg_notify('deals', 'a function')")).await?;
    assert_eq!(ear.hears().await?, "a function");
    // Where a replica is asked for: it refuses, and the primary does it.
    db.use_replica().execute_unprepared("NOTIFY deals, 'nowhere else'").await?;
    assert_eq!(ear.hears().await?, "nowhere else");

    let undone = db.begin().await?;
    undone.execute_unprepared("NOTIFY deals, 'undone'").await?;
    undone.rollback().await?;
    let kept = db.begin().await?;
    kept.execute_unprepared("NOTIFY deals, 'kept'").await?;
    db.execute_unprepared("NOTIFY deals, 'before the commit'").await?;
    assert_eq!(ear.hears().await?, "before the commit");
    kept.commit().await?;
    assert_eq!(ear.hears().await?, "kept");
    db.execute_unprepared("NOTIFY deals, 'the last'").await?;
    assert_eq!(ear.hears().await?, "the last");
    Ok(())
}

/// A listener of the driver's, on the plain pool of the primary that the handle lends.
#[tokio::test]
async fn a_listener_on_the_lent_pool_hears_what_the_handle_sends() -> Result {
    let cluster = boot(1).await?;
    let db = crate::support::connect(&cluster).await?;
    let mut ear = Ear(PgListener::connect_with(db.get_postgres_connection_pool()).await?);
    ear.0.listen("deals").await?;
    db.execute_unprepared("NOTIFY deals, 'heard'").await?;
    assert_eq!(ear.hears().await?, "heard");
    Ok(())
}

/// A standby sends no notifications and says so. Its locks it hands out, and they would keep out nobody who locks on the primary.
#[tokio::test]
async fn a_read_only_transaction_on_a_standby_refuses_what_belongs_to_the_primary() -> Result {
    let cluster = boot(1).await?;
    let db = crate::support::connect(&cluster).await?;
    let begin = async |db: &RoutedConnection| db.begin_with_config(None, Some(AccessMode::ReadOnly)).await;
    let transaction = begin(&db).await?;
    assert!(crate::support::on_standby(&transaction).await?);
    let refused = transaction.execute_unprepared("NOTIFY deals, 'no'").await.unwrap_err();
    assert!(refused.to_string().contains("NOTIFY"), "{refused}");
    transaction.rollback().await?;

    let locking = ["SELECT pg_advisory_xact_lock(7)", "SELECT Pg_Try_Advisory_Lock(7) IS NOT NULL"];
    for lock in locking {
        // What the one on the primary did counts as a write.
        crate::support::standby_serves(&db).await?;
        let transaction = begin(&db).await?;
        for refused in [
            transaction.query_one_raw(raw(lock)).await.unwrap_err(),
            transaction.execute_unprepared(lock).await.unwrap_err(),
            transaction.stream_raw(raw(lock)).await.map(drop).unwrap_err(),
        ] {
            assert!(matches!(routing_error(&refused), Some(RoutingError::LockOnReplica { .. })), "{refused}");
        }
        // Nothing was sent, and it goes on. What only speaks of locks is no lock.
        let spoken = "SELECT 'pg_advisory_lock(1)', on_standby() /* pg_advisory_lock(1) */";
        transaction.query_one_raw(raw(spoken)).await?;
        assert_eq!(locks(cluster.replica(1)?).await?, "none");
        transaction.commit().await?;

        // On the primary a lock is one, whether the transaction writes or not.
        let transaction = begin(&db.use_primary()).await?;
        transaction.query_one_raw(raw(lock)).await?;
        assert_eq!(locks(cluster.primary()).await?, "7");
        transaction.query_one_raw(raw("SELECT pg_advisory_unlock_all()")).await?;
        transaction.commit().await?;
    }
    Ok(())
}
