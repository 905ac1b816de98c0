//! What it costs that a write says where in the log it has ended: on loopback, and over a network.
//!
//! A second round trip after each write would cost nothing much on loopback and half of the throughput over a network. So
//! each statement is measured on both: the same link, without and with a delay, for both sides. Reading back what was
//! written is measured too, as there a position that was not learned with the write has to be learned after all.

use std::alloc::System;
use std::hint::black_box;
use std::time::Duration;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use hdrhistogram::Histogram;
use rr_core::Config;
use rr_core::config::AskPositions;
use rr_core::time::Clock;
use rr_diesel::RoutedPool;
use rr_seaorm::RoutedConnection;
use rr_tests::cluster::Cluster;
use stats_alloc::StatsAlloc;

use crate::report::{Chart, Report};
use crate::side_by_side::{Rounds, compare};
use crate::with_diesel::{SETUP, author, plain_pool};
use crate::{Error, servers, with_seaorm};

/// How much longer the way to a server takes. The way back is not delayed: timers of a millisecond round up, and each would
/// add that. What a round trip takes in the end is measured and printed.
const AWAY: Duration = Duration::from_micros(500);

/// Round trips that are measured to say how far the server is.
const PINGS: u32 = 200;

/// The ratios of one ORM.
struct Ratios {
    write: f64,
    read_back: f64,
}

fn config(cluster: &Cluster) -> Result<Config, Error> {
    let config = Config::builder().primary(cluster.primary().url()).replica(cluster.replica(1)?.url());
    Ok(config.with(|config| config.ask_positions = AskPositions::Always).build()?)
}

async fn diesel(
    cluster: &Cluster,
    allocator: &'static StatsAlloc<System>,
    rounds: Rounds,
) -> Result<Ratios, Error> {
    let routed = RoutedPool::start(config(cluster)?).await?;
    let plain = plain_pool(&cluster.primary().url()).await?;
    macro_rules! write {
        ($pool:expr) => {{
            let one = author::table.find(7);
            diesel::update(one).set(author::name.eq(sql("name"))).execute(&mut $pool.get().await?).await?;
        }};
    }
    macro_rules! read {
        ($pool:expr) => {
            black_box(
                author::table.find(7).select(author::name).first::<String>(&mut $pool.get().await?).await?,
            );
        };
    }
    macro_rules! side {
        ($pool:expr, $($what:ident)*) => {
            async || { $($what!($pool);)* Ok(()) }
        };
    }
    let write =
        compare("Diesel, a write", allocator, rounds, side!(plain, write), side!(routed, write)).await?;
    let read_back =
        compare("Diesel, read back", allocator, rounds, side!(plain, write read), side!(routed, write read))
            .await?;
    Ok(Ratios { write, read_back })
}

async fn seaorm(
    cluster: &Cluster,
    allocator: &'static StatsAlloc<System>,
    rounds: Rounds,
) -> Result<Ratios, Error> {
    use with_seaorm::{find, plain, write};
    let routed = RoutedConnection::start(config(cluster)?).await?;
    let plain = plain(cluster.primary().url(), false).await?;
    let alone = compare(
        "SeaORM, a write",
        allocator,
        rounds,
        async || Ok(write(&plain, 7).await?),
        async || Ok(write(&routed, 7).await?),
    )
    .await?;
    let read_back = compare(
        "SeaORM, read back",
        allocator,
        rounds,
        async || {
            write(&plain, 7).await?;
            Ok(find(&plain, 7).await?)
        },
        async || {
            write(&routed, 7).await?;
            Ok(find(&routed, 7).await?)
        },
    )
    .await?;
    Ok(Ratios { write: alone, read_back })
}

/// The median, in milliseconds.
async fn round_trip(cluster: &Cluster) -> Result<f64, Error> {
    let client = cluster.primary().client().await?;
    let clock = Clock::start();
    let mut times = Histogram::<u64>::new(3)?;
    for _ in 0..PINGS {
        let begun = clock.now();
        client.simple_query("").await?;
        times.record(u64::try_from(clock.now().since(begun).as_nanos())?)?;
    }
    Ok(Duration::from_nanos(times.value_at_quantile(0.5)).as_secs_f64() * 1e3)
}

pub(crate) async fn run(allocator: &'static StatsAlloc<System>, rounds: u32) -> Result<Report, Error> {
    let cluster = servers::boot().await?;
    cluster.primary().sql(SETUP).await?;
    cluster.wait_caught_up(servers::PATIENCE).await?;
    let rounds = Rounds { pairs: 1, warm_up: rounds / 10, measured: rounds };
    let trip = round_trip(&cluster).await?;
    println!("loopback, a round trip of {trip:.2} ms");
    let near = [diesel(&cluster, allocator, rounds).await?, seaorm(&cluster, allocator, rounds).await?];
    for node in cluster.nodes() {
        node.link().delay_ways(AWAY, Duration::ZERO).await?;
    }
    let trip = round_trip(&cluster).await?;
    println!("a network, a round trip of {trip:.2} ms");
    let far = [diesel(&cluster, allocator, rounds).await?, seaorm(&cluster, allocator, rounds).await?];
    let mut report = Report::default();
    let rows = ["Diesel", "SeaORM"].into_iter().zip(near.iter().zip(&far)).flat_map(|(orm, (near, far))| {
        [
            (format!("{orm}: a write"), vec![near.write, far.write]),
            (format!("{orm}: and reads it back"), vec![near.read_back, far.read_back]),
        ]
    });
    report.chart(Chart {
        name: String::from("capture"),
        title: String::from("A routed write, in times of the same one through a plain pool (median)"),
        unit: String::from("×"),
        series: vec![String::from("loopback"), format!("{trip:.1} ms away")],
        rows: rows.collect(),
    });
    let worst = |ratios: &[Ratios; 2]| ratios[0].write.max(ratios[1].write);
    report.line(None, &[("capture_loopback_ratio", worst(&near), 3), ("capture_1ms_ratio", worst(&far), 3)]);
    let [diesel, seaorm] = near.map(|ratios| ratios.read_back);
    report.line(None, &[("diesel_read_back_ratio", diesel, 3), ("seaorm_read_back_ratio", seaorm, 3)]);
    Ok(report)
}
