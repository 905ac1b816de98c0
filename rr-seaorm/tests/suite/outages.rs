//! Servers that go away under load and while nothing happens: no read may fail, and no stream before its first row.

use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use rr_seaorm::RoutedConnection;
use rr_tests::cluster::Cluster;
use rr_tests::outage::Outage;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryResult, QuerySelect, StreamTrait,
};
use tokio::task::JoinHandle;

use crate::readers::Readers;
use crate::support::{
    Result, boot, config, connect, raw, running, seen, server_port, standby_serves, started, until,
};

/// A node whose statements failed is out for longer each time. Here it comes back soon, to be lost again.
async fn forgiving(cluster: &Cluster) -> Result<RoutedConnection> {
    started(config(cluster).with(|config| config.health.probation = Duration::from_millis(200))).await
}

/// A read that takes a while, so that servers go away under it: before its first row.
const SLOW: &str = "SELECT on_standby(), on_port() FROM pg_sleep(0.1)";

fn place(row: &QueryResult) -> Result<(bool, i32), DbErr> {
    Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))
}

/// What kinds of read there are; each says whether a standby served it, and on which port.
async fn read(db: &RoutedConnection, kind: usize, sql: &str) -> Result<(bool, i32), DbErr> {
    let none = || DbErr::RecordNotFound(sql.to_owned());
    match kind % 4 {
        0 => place(&db.query_one_raw(raw(sql)).await?.ok_or_else(none)?),
        1 => place(db.query_all_raw(raw(sql)).await?.first().ok_or_else(none)?),
        2 => place(db.stream_raw(raw(sql)).await?.try_collect::<Vec<_>>().await?.first().ok_or_else(none)?),
        _ => {
            let place = seen::Entity::find().select_only().expr(Expr::cust("on_standby(), on_port()"));
            place.into_tuple().one(db).await?.ok_or_else(none)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_read_under_load_fails_whatever_happens_to_servers() -> Result {
    let cluster = boot(2).await?;
    let db = forgiving(&cluster).await?;
    let mut readers = Readers::none();
    for kind in 0..8 {
        let db = db.clone();
        readers.add(async move |seen| {
            while seen.goes_on() {
                seen.count(read(&db, kind, SLOW).await?.0);
            }
            Ok(())
        });
    }
    for outage in Outage::ALL {
        // First the one and then the other: after that the primary is all there is.
        for replica in cluster.replicas() {
            let busy = async || Ok(running(replica, "%pg_sleep(0.1)%").await? > 0);
            until("a slow read to run", busy).await.map_err(|error| format!("{outage:?}: {error}"))?;
            outage.begin(replica).await?;
            readers.more(200).await?;
        }
        Outage::end(&cluster).await?;
        readers.more_on_standbys(200).await?;
    }
    for outage in [Outage::Sessions, Outage::Killed] {
        outage.begin(cluster.primary()).await?;
        readers.more(300).await?;
    }
    let (standby, primary) = readers.finish().await?;
    println!("outages: {standby} reads on standbys, {primary} on the primary, none failed");
    Ok(())
}

/// Many reads at once, each on a connection of its own.
async fn burst(db: &RoutedConnection) -> Result<Vec<(bool, i32)>, DbErr> {
    try_join_all((0..8).map(|kind| read(db, kind % 3, SLOW))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_died_in_the_pool_fail_no_read() -> Result {
    let cluster = boot(2).await?;
    let db = forgiving(&cluster).await?;
    for outage in Outage::ALL {
        for replica in cluster.replicas() {
            let port = server_port(replica)?;
            let serves = async || Ok(burst(&db).await?.iter().any(|there| there.1 == port));
            until("a replica to serve", serves).await.map_err(|error| format!("{outage:?}: {error}"))?;
        }
        burst(&db.use_primary()).await?;
        // There are idle connections to all nodes now.
        for replica in cluster.replicas() {
            outage.begin(replica).await?;
        }
        Outage::Sessions.begin(cluster.primary()).await?;
        for _ in 0..3 {
            burst(&db).await.map_err(|error| format!("{outage:?}: {error}"))?;
        }
        Outage::end(&cluster).await?;
    }
    Ok(())
}

/// Idle connections to the primary, opened by whatever `work` does at the same time.
async fn idle<F: Future<Output = Result<(), DbErr>>>(work: impl Fn() -> F) -> Result {
    try_join_all((0..4).map(|_| work())).await?;
    Ok(())
}

/// What the monitor has noticed costs no write: connections from before are asked first.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_died_with_a_restart_fail_no_write() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    let write = || async {
        db.execute_unprepared("INSERT INTO note (text) SELECT 'x' FROM pg_sleep(0.05)").await.map(drop)
    };
    let steady_since = || db.router().topology().primary().ok().map(|primary| primary.steady_since);
    for _ in 0..3 {
        idle(write).await?;
        let before = steady_since();
        cluster.primary().restart().await?;
        until("the restart to be noticed", async || Ok(steady_since() > before)).await?;
        until("a primary to be there", async || Ok(db.router().topology().primary().is_ok())).await?;
        for _ in 0..4 {
            write().await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_died_unseen_fail_nothing_on_a_plain_reference_and_no_ping() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    let plain: &DatabaseConnection = &db;
    let slow = "SELECT FROM pg_sleep(0.05)";
    for _ in 0..3 {
        idle(|| async { plain.execute_unprepared(slow).await.map(drop) }).await?;
        let on_primary = db.use_primary();
        idle(|| async { on_primary.execute_unprepared(slow).await.map(drop) }).await?;
        Outage::Sessions.begin(cluster.primary()).await?;
        for _ in 0..4 {
            plain.execute_unprepared("INSERT INTO note (text) VALUES ('x')").await?;
            db.ping().await?;
        }
    }
    Ok(())
}

/// Both standbys go, one after the other: the primary has the last word.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_server_goes_before_its_first_row_is_run_elsewhere() -> Result {
    let cluster = boot(2).await?;
    let db = forgiving(&cluster).await?;
    for outage in Outage::ALL {
        let slow = format!(
            "SELECT n FROM pg_sleep(CASE WHEN on_standby() THEN 600 ELSE 0 END), generate_series(1, 3) n /* {outage:?} */"
        );
        let streams: Vec<_> = (0..6)
            .map(|_| {
                let (db, slow) = (db.clone(), slow.clone());
                tokio::spawn(async move { db.stream_raw(raw(&slow)).await?.try_collect::<Vec<_>>().await })
            })
            .collect();
        let busy = async || {
            let mut running_there = 0;
            for replica in cluster.replicas() {
                running_there += running(replica, &format!("%{outage:?}%")).await?;
            }
            Ok(running_there > 0)
        };
        until("streams to wait for standbys", busy).await.map_err(|error| format!("{outage:?}: {error}"))?;
        for replica in cluster.replicas() {
            outage.begin(replica).await?;
        }
        // Servers that have only lost their sessions take new ones, and let them wait as well.
        until("the streams to end", async || {
            if outage == Outage::Sessions {
                for replica in cluster.replicas() {
                    outage.begin(replica).await?;
                }
            }
            Ok(streams.iter().all(JoinHandle::is_finished))
        })
        .await
        .map_err(|error| format!("{outage:?}: {error}"))?;
        for stream in streams {
            let rows = stream.await?.map_err(|error| format!("{outage:?}: {error}"))?;
            let numbers = rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<Vec<i32>, _>>()?;
            assert_eq!(numbers, [1, 2, 3], "{outage:?}");
        }
        Outage::end(&cluster).await?;
        standby_serves(&db).await?;
    }
    Ok(())
}
