//! A thousand tasks and ten connections to each node; and replicas that are lost meanwhile.

use std::time::Duration;

use rr_core::config::ConfigBuilder;
use rr_core::tally::WriteStep;
use rr_core::{RouteError, Router};
use rr_seaorm::{RoutedConnection, RoutingError, SeaOrmConnector, routing_error};
use rr_tests::cluster::Cluster;
use rr_tests::storm::barrier::Barrier;
use rr_tests::storm::{
    CONNECTIONS, Client, Ended, GROUND, READ, WRITE, alarms, losses, overload, pools, recovered, waiting,
};
use sea_orm::{ConnAcquireErr, ConnectionTrait, DbErr};
use tokio::task::JoinSet;

use crate::support::{PATIENCE, Result, boot, config, raw, running, until};

/// A connection as storms use it.
#[derive(Clone)]
struct SeaOrm(RoutedConnection);

impl Client for SeaOrm {
    type Connector = SeaOrmConnector;

    fn router(&self) -> &Router<SeaOrmConnector> {
        self.0.router()
    }

    async fn read(&self) -> Ended {
        read(&self.0).await.unwrap_or_else(|error| ended(&error))
    }

    async fn write(&self) -> Ended {
        self.0.execute_unprepared(WRITE).await.map_or_else(|error| ended(&error), |_| Ended::Written)
    }
}

async fn read(db: &RoutedConnection) -> std::result::Result<Ended, DbErr> {
    let row = db.query_one_raw(raw(READ)).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound(READ.to_owned()))?;
    Ok(Ended::Read { standby: row.try_get_by_index(0)?, port: row.try_get_by_index(1)? })
}

fn ended(error: &DbErr) -> Ended {
    match (error, routing_error(error)) {
        // As without us: the words for people are in the log.
        (DbErr::ConnectionAcquire(ConnAcquireErr::Timeout), _) => Ended::NoConnection,
        (_, Some(RoutingError::NoRoute { error: RouteError::BudgetSpent { .. }, .. })) => Ended::NoBudget,
        _ => Ended::Failed(error.to_string()),
    }
}

async fn start(settings: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Result<(Cluster, SeaOrm)> {
    let cluster = boot(2).await?;
    cluster.primary().sql(GROUND).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let db = RoutedConnection::start(settings(config(&cluster)).build()?).await?;
    Ok((cluster, SeaOrm(db)))
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_served() -> Result {
    let (cluster, db) = start(|config| waiting(config, PATIENCE)).await?;
    println!("{:?}", overload::everybody_is_served(&db, &cluster).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_ever() -> Result {
    let (cluster, db) = start(|config| waiting(config, Duration::from_millis(200))).await?;
    println!("{:?}", overload::nobody_waits_for_ever(&db, &cluster).await?);
    Ok(())
}

/// Whoever stands in line behind others waits for these, and not for a server that lets nobody in: the limit for opening
/// a connection says nothing about it.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_line_is_no_unreachable_node() -> Result {
    let limit = Duration::from_secs(1);
    let (cluster, SeaOrm(db)) =
        start(|config| waiting(config, PATIENCE).with(|config| config.pool.primary.connect_timeout = limit))
            .await?;
    let slow = "INSERT INTO storm (n) SELECT 1 FROM pg_sleep(0.02)";
    let mut tasks = JoinSet::new();
    // With ten connections a turn takes longer than that limit.
    for _ in 0..600 {
        let db = db.clone();
        tasks.spawn(async move {
            for _ in 0..4 {
                db.execute_unprepared(slow).await?;
            }
            Ok::<_, DbErr>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    assert_eq!(db.router().counted_writes(WriteStep::Waited), 0, "writes took the primary for unreachable");
    let written = cluster.primary().query_text("SELECT count(*)::text FROM storm WHERE n = 1").await?;
    assert_eq!(written, "2400");
    Ok(())
}

/// A statement that was given up leaves its connection with the server until that is done with it. Whoever comes next waits for
/// the server's work, and not for a connection to be opened.
#[tokio::test(flavor = "multi_thread")]
async fn connections_on_their_way_back_are_no_unreachable_node() -> Result {
    let limit = Duration::from_secs(1);
    let (cluster, db) = start(|config| {
        waiting(config, 3 * limit).with(|config| {
            config.pool.primary.connect_timeout = limit;
            config.pool.replica.connect_timeout = limit;
        })
    })
    .await?;
    let mut notices = db.router().notices();
    let barrier = Barrier::close(&cluster).await?;
    let begin = |tasks: &mut JoinSet<Ended>, count: u32| {
        for number in 0..count {
            let db = db.clone();
            tasks.spawn(async move { if number % 3 == 0 { db.write().await } else { db.read().await } });
        }
    };
    let all_used = || pools(db.router()).iter().all(|state| state.active == CONNECTIONS);
    let mut given_up = JoinSet::new();
    begin(&mut given_up, 6 * CONNECTIONS);
    let at_work = async || {
        for node in cluster.nodes() {
            let count = running(node, "%storm%").await? + running(node, "%shelter%").await?;
            if count < i64::from(CONNECTIONS) {
                return Ok(false);
            }
        }
        Ok(true)
    };
    until("all connections to be at work", at_work).await?;
    given_up.shutdown().await;
    let idle = || cluster.nodes().iter().all(|node| db.router().in_flight(node.name()) == Some(0));
    until("nothing to be in flight", async || Ok(idle())).await?;
    assert!(all_used(), "{:?}", pools(db.router()));
    let mut tasks = JoinSet::new();
    begin(&mut tasks, CONNECTIONS);
    while let Some(ended) = tasks.join_next().await {
        assert_eq!(ended?, Ended::NoConnection);
    }
    assert_eq!(db.router().counted_writes(WriteStep::Waited), 0, "writes took the primary for unreachable");
    assert_eq!(alarms(&mut notices), Vec::<String>::new());
    barrier.open().await?;
    recovered(&db, &cluster).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_survives_its_replicas() -> Result {
    let (cluster, db) = start(losses::with_budget).await?;
    println!("{:?}", losses::the_primary_survives_its_replicas(&db, &cluster).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_will_do() -> Result {
    let (cluster, db) = start(losses::stale_ok).await?;
    println!("{:?}", losses::what_is_old_will_do(&db, &cluster).await?);
    Ok(())
}
