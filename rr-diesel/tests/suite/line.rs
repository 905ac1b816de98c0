//! Statements in line for connections that are all in use, and a connect that fails beside them.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rr_core::connector::PoolState;
use rr_core::tally::WriteStep;
use rr_diesel::{DieselConnector, RoutedPool};
use rr_tests::cluster::Cluster;
use rr_tests::storm::barrier::Barrier;
use rr_tests::storm::{CONNECTIONS, Client, Ended, GROUND, Turn, alarms, pools, recovered, waiting};
use tokio::task::JoinHandle;

use crate::overload::Diesel;
use crate::support::{PATIENCE, Result, boot, config, until};

/// Statements that wait for the connections of others.
const LINE: u32 = 50;

/// A replica, and a pool that waits for the next connect to either node for ever, once it is asked to.
async fn start() -> Result<(Cluster, Diesel, Arc<AtomicBool>)> {
    let cluster = boot(1).await?;
    cluster.primary().sql(GROUND).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let hangs = Arc::new(AtomicBool::new(false));
    let connector = DieselConnector::new().before_connect({
        let hangs = Arc::clone(&hangs);
        move |_, settings| {
            let hang = hangs.swap(false, Ordering::Relaxed);
            async move { if hang { pending().await } else { Ok(settings) } }
        }
    });
    let config = waiting(config(&cluster), PATIENCE).with(|config| {
        config.pool.primary.connect_timeout = Duration::from_secs(2);
        config.pool.replica.connect_timeout = Duration::from_secs(2);
    });
    let pool = RoutedPool::start_with(connector, config.build()?).await?;
    Ok((cluster, Diesel(pool), hangs))
}

fn begin(db: &Diesel, turn: Turn, count: u32) -> Vec<JoinHandle<Ended>> {
    let one =
        |db: Diesel| async move { if turn == Turn::Write { db.write().await } else { db.read().await } };
    (0..count).map(|_| tokio::spawn(one(db.clone()))).collect()
}

/// Lets a connect fail while all other connections are in use and many wait for these; how all ended.
async fn fail_one(db: &Diesel, cluster: &Cluster, turn: Turn, hangs: &AtomicBool) -> Result<Vec<Ended>> {
    let mut notices = db.router().notices();
    let barrier = Barrier::close(cluster).await?;
    let state = || {
        let states = pools(db.router());
        states.get(usize::from(turn == Turn::Read)).map(|state: &PoolState| (state.active, state.waiting))
    };
    let mut tasks = begin(db, turn, CONNECTIONS);
    until("all connections to be in use", async || Ok(state() == Some((CONNECTIONS, Some(0))))).await?;
    tasks.extend(begin(db, turn, LINE));
    until("the others to stand in line", async || Ok(state() == Some((CONNECTIONS, Some(LINE))))).await?;
    hangs.store(true, Ordering::Relaxed);
    // Its connection is closed, and the first in line opens one, in vain; then the next one does.
    tasks.remove(0).abort();
    let opened = || !hangs.load(Ordering::Relaxed) && state().is_some_and(|(used, _)| used == CONNECTIONS);
    until("a connection to be opened", async || Ok(opened())).await?;
    barrier.open().await?;
    let mut ended = Vec::new();
    for task in tasks {
        ended.push(task.await?);
    }
    assert_eq!(alarms(&mut notices), Vec::<String>::new());
    recovered(db, cluster).await?;
    Ok(ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_in_line_do_not_hold_a_failed_connect_against_their_replica() -> Result {
    let (cluster, db, hangs) = start().await?;
    let ended = fail_one(&db, &cluster, Turn::Read, &hangs).await?;
    let others = ended.iter().filter(|ended| !matches!(ended, Ended::Read { standby: true, .. }));
    assert_eq!(others.count(), 1, "{ended:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_in_line_do_not_take_a_failed_connect_for_a_primary_that_is_gone() -> Result {
    let (cluster, db, hangs) = start().await?;
    let ended = fail_one(&db, &cluster, Turn::Write, &hangs).await?;
    assert!(ended.iter().all(|ended| *ended == Ended::Written), "{ended:?}");
    assert_eq!(db.router().counted_writes(WriteStep::Waited), 1);
    Ok(())
}

/// Those who give up leave their places to the others, wherever they stand.
#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_in_line_leaves_no_gap() -> Result {
    let (cluster, db, _) = start().await?;
    let barrier = Barrier::close(&cluster).await?;
    let state = || pools(db.router()).get(1).map(|state: &PoolState| (state.active, state.waiting));
    let mut tasks = begin(&db, Turn::Read, CONNECTIONS);
    until("all connections to be in use", async || Ok(state() == Some((CONNECTIONS, Some(0))))).await?;
    let line = begin(&db, Turn::Read, LINE);
    until("the others to stand in line", async || Ok(state() == Some((CONNECTIONS, Some(LINE))))).await?;
    let mut given_up = Vec::new();
    for (number, task) in line.into_iter().enumerate() {
        if number % 2 == 0 { given_up.push(task) } else { tasks.push(task) }
    }
    for task in &given_up {
        task.abort();
    }
    until("half of them to leave", async || Ok(state() == Some((CONNECTIONS, Some(LINE / 2))))).await?;
    barrier.open().await?;
    for task in tasks {
        let ended = task.await?;
        assert!(matches!(ended, Ended::Read { standby: true, .. }), "{ended:?}");
    }
    for task in given_up {
        assert!(task.await.is_err_and(|error| error.is_cancelled()));
    }
    recovered(&db, &cluster).await
}
