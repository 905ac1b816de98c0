//! Savepoints that are given up or refused while other statements of the transaction wait behind them.

use std::pin::{Pin, pin};

use futures_util::{TryStreamExt, poll};
use rr_seaorm::retry::{self, Policy};
use rr_seaorm::{RoutedConnection, RoutedTransaction, RoutingError, routing_error};
use rr_tests::cluster::Cluster;
use sea_orm::{ConnectionTrait, DbErr, StreamTrait, TransactionTrait};

use crate::support::{PATIENCE, Result, boot, connect, in_flight, notes, raw};

const INSERT: &str = "INSERT INTO note (text) VALUES ('beside') RETURNING id";
const ROWS: &str = "SELECT generate_series(1, 20000)";

type Statement = for<'a> fn(&'a RoutedTransaction) -> Work<'a>;
type Work<'a> = Pin<Box<dyn Future<Output = Result<(), DbErr>> + Send + 'a>>;

/// Everything that a transaction can be asked to do, as a write.
const STATEMENTS: [Statement; 6] = [
    |on| Box::pin(async { on.execute_unprepared(INSERT).await.map(drop) }),
    |on| Box::pin(async { on.execute_raw(raw(INSERT)).await.map(drop) }),
    |on| Box::pin(async { on.query_one_raw(raw(INSERT)).await.map(drop) }),
    |on| Box::pin(async { on.query_all_raw(raw(INSERT)).await.map(drop) }),
    |on| Box::pin(async { on.stream_raw(raw(INSERT)).await?.try_for_each(async |_| Ok(())).await }),
    |on| {
        Box::pin(async {
            let nested = on.begin().await?;
            nested.execute_unprepared(INSERT).await?;
            nested.commit().await
        })
    },
];

async fn insert(on: &impl ConnectionTrait) -> Result<(), DbErr> {
    on.execute_unprepared(INSERT).await.map(drop)
}

fn torn<T>(result: &Result<T, DbErr>) -> bool {
    let error = result.as_ref().err().and_then(routing_error);
    matches!(error, Some(RoutingError::Torn))
}

/// Begins one thing, then another one, and gives the first one up before the server has answered.
async fn give_up<T>(
    cluster: &Cluster,
    mut first: Pin<Box<impl Future>>,
    second: &mut (impl Future<Output = T> + Unpin),
) -> Result {
    let link = cluster.primary().link();
    link.blackhole().await?;
    assert!(poll!(first.as_mut()).is_pending());
    assert!(poll!(second).is_pending());
    drop(first);
    Ok(link.heal().await?)
}

/// The transaction has to say that it is torn; what was done in it is gone, and its connection is well.
async fn is_undone(db: &RoutedConnection, transaction: RoutedTransaction) -> Result {
    assert!(torn(&insert(&transaction).await));
    assert!(torn(&transaction.begin().await));
    assert!(torn(&transaction.commit().await));
    assert_eq!(notes(&db.use_primary()).await?, 0);
    assert_eq!(in_flight(db), [Some(0); 2]);
    Ok(())
}

async fn connected() -> Result<(Cluster, RoutedConnection)> {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    Ok((cluster, db))
}

/// Plays a scene with each statement: a transaction in which it waits behind something that goes wrong, and must not be run.
async fn play(
    scene: impl AsyncFn(&Cluster, &RoutedTransaction, Statement) -> Result<Result<(), DbErr>>,
) -> Result {
    let (cluster, db) = connected().await?;
    for (number, statement) in STATEMENTS.into_iter().enumerate() {
        let transaction = db.begin().await?;
        let beside = scene(&cluster, &transaction, statement).await?;
        assert!(torn(&beside), "statement {number}: {beside:?}");
        is_undone(&db, transaction).await?;
    }
    Ok(())
}

/// The driver undoes everything with the savepoint: a statement that waits behind it would be kept alone.
#[tokio::test]
async fn what_waits_behind_a_savepoint_that_is_given_up_is_not_run() -> Result {
    play(async |cluster, transaction, statement| {
        insert(transaction).await?;
        let mut beside = statement(transaction);
        give_up(cluster, Box::pin(transaction.begin()), &mut beside).await?;
        Ok(beside.await)
    })
    .await
}

/// Here the driver forgets the outer savepoint, and would commit everything at its end.
#[tokio::test]
async fn a_savepoint_within_a_savepoint_tears_both() -> Result {
    play(async |cluster, transaction, statement| {
        insert(transaction).await?;
        let outer = transaction.begin().await?;
        insert(&outer).await?;
        let mut beside = statement(&outer);
        give_up(cluster, Box::pin(outer.begin()), &mut beside).await?;
        let beside = beside.await;
        assert!(torn(&outer.commit().await), "{beside:?}");
        Ok(beside)
    })
    .await
}

#[tokio::test]
async fn what_waits_behind_the_end_of_a_savepoint_that_is_given_up_is_not_run() -> Result {
    play(async |cluster, transaction, statement| {
        let nested = transaction.begin().await?;
        insert(&nested).await?;
        let mut beside = statement(transaction);
        give_up(cluster, Box::pin(nested.commit()), &mut beside).await?;
        Ok(beside.await)
    })
    .await
}

#[tokio::test]
async fn what_waits_behind_a_savepoint_that_is_refused_is_not_run() -> Result {
    play(async |_, transaction, statement| {
        insert(transaction).await?;
        transaction.execute_unprepared("SELECT 1 / 0").await.expect_err("a division by zero");
        let (nested, beside) = futures_util::join!(transaction.begin(), statement(transaction));
        nested.expect_err("a savepoint in a failed transaction");
        Ok(beside)
    })
    .await
}

/// What has sent nothing may be given up: SeaORM itself panics then.
#[tokio::test]
async fn a_savepoint_that_only_waits_may_be_given_up() -> Result {
    let (cluster, db) = connected().await?;
    let transaction = db.begin().await?;
    let mut rows = transaction.stream_raw(raw(ROWS)).await?;
    assert!(rows.try_next().await?.is_some());
    give_up(&cluster, Box::pin(transaction.begin()), &mut std::future::pending::<()>()).await?;
    assert_eq!(rows.try_fold(1, async |count, _| Ok(count + 1)).await?, 20_000);
    insert(&transaction).await?;
    transaction.commit().await?;
    assert_eq!(notes(&db.use_primary()).await?, 1);
    Ok(())
}

/// Begins a statement behind rows that are under way, and leaves it alone when these are done: it holds up nobody.
async fn leaves_one_alone<C>(transaction: C) -> Result
where
    C: ConnectionTrait + StreamTrait + TransactionTrait,
{
    let mut rows = Box::pin(transaction.stream_raw(raw(ROWS)).await?);
    assert!(rows.try_next().await?.is_some());
    let mut left_alone = pin!(insert(&transaction));
    assert!(poll!(left_alone.as_mut()).is_pending(), "rows are under way");
    drop(rows);
    insert(&transaction).await?;
    drop(transaction.begin().await?);
    left_alone.await?;
    assert_eq!(notes(&transaction).await?, 2);
    Ok(())
}

#[tokio::test]
async fn whoever_may_wait_in_vain_without_us_need_not_with_us() -> Result {
    let (_cluster, db) = connected().await?;
    let plain: &sea_orm::DatabaseConnection = &db;
    tokio::time::timeout(PATIENCE, leaves_one_alone(plain.begin().await?)).await??;
    tokio::time::timeout(PATIENCE, leaves_one_alone(db.begin().await?)).await??;
    Ok(())
}

/// The error of the savepoint was swallowed; that of the transaction says to run it again.
#[tokio::test]
async fn a_torn_transaction_is_run_again() -> Result {
    let (cluster, db) = connected().await?;
    for told_by_a_statement in [false, true] {
        let tries = retry::transaction(&db, Policy::new(), async |transaction, attempt| {
            insert(transaction).await?;
            if attempt.is_first() {
                let begin = Box::pin(transaction.begin());
                assert!(give_up(&cluster, begin, &mut std::future::pending::<()>()).await.is_ok());
                if told_by_a_statement {
                    insert(transaction).await?;
                }
            }
            Ok::<_, DbErr>(attempt.number)
        });
        assert_eq!(tries.await?, 2);
    }
    assert_eq!(notes(&db.use_primary()).await?, 2);
    Ok(())
}
