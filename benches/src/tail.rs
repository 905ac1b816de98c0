//! What one slow replica does to the slowest reads, with each balancing strategy.
//!
//! Reads arrive at a fixed rate and wait for nobody: a slow answer does not delay the next question, as it would with
//! clients that work one statement after the other, and so hide how many are hit. From the middle of the run on, the
//! link to one of three replicas is slower. Nobody is told; the first reads that are sent there count as well.

use std::time::Duration;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use hdrhistogram::Histogram;
use rr_core::Config;
use rr_core::config::Strategy;
use rr_core::time::{Clock, Moment};
use rr_diesel::RoutedPool;
use rr_tests::cluster::Cluster;
use tokio::task::JoinSet;

use crate::report::{Chart, Report, count};
use crate::route::STRATEGIES;
use crate::{Error, servers};

const REPLICAS: usize = 3;

/// A read arrives so often.
const EVERY: Duration = Duration::from_millis(2);

/// How much longer a round trip to the slow replica takes.
const SLOWER: Duration = Duration::from_millis(20);

/// Time to open connections and to get to know the nodes before anything is counted.
const WARM_UP: Duration = Duration::from_secs(1);

diesel::table! {
    /// One row: the port of the server that answers.
    answered (port) {
        port -> Integer,
    }
}

const SETUP: &str = "CREATE VIEW answered AS SELECT current_setting('port')::int AS port";

/// One half of a run.
struct Half {
    times: Histogram<u64>,
    by_slow: u64,
    /// Whether the slow one was asked at all, counted or not.
    asks_slow: bool,
}

impl Half {
    fn new() -> Result<Self, Error> {
        Ok(Self { times: Histogram::new(3)?, by_slow: 0, asks_slow: false })
    }

    fn millis(&self, quantile: f64) -> f64 {
        Duration::from_nanos(self.times.value_at_quantile(quantile)).as_secs_f64() * 1e3
    }

    fn share_of_slow(&self) -> f64 {
        100.0 * count(self.by_slow) / count(self.times.len().max(1))
    }
}

fn config(cluster: &Cluster, strategy: Strategy) -> Result<Config, Error> {
    let mut config = Config::builder().primary(cluster.primary().url());
    for node in cluster.replicas() {
        config = config.replica(node.url());
    }
    Ok(config.with(|config| config.balance = strategy).build()?)
}

/// Reads that arrive for this long; those that arrive before `from` are not counted.
async fn load(pool: &RoutedPool, from: Duration, measured: Duration, slow: u16) -> Result<Half, Error> {
    let clock = Clock::start();
    let (from, until) = (Moment::ORIGIN + from, Moment::ORIGIN + from + measured);
    // What a busy machine has missed arrives at once, as it would from outside.
    let mut arrivals = tokio::time::interval(EVERY);
    let mut reading = JoinSet::new();
    let mut half = Half::new()?;
    while clock.now() < until {
        arrivals.tick().await;
        let pool = pool.clone();
        reading.spawn(async move {
            let begun = clock.now();
            let port: i32 = answered::table.select(answered::port).first(&mut pool.get().await?).await?;
            Ok::<_, Error>((begun, clock.now().since(begun), port))
        });
        while let Some(done) = reading.try_join_next() {
            half.count(done??, from, slow)?;
        }
    }
    while let Some(done) = reading.join_next().await {
        half.count(done??, from, slow)?;
    }
    Ok(half)
}

impl Half {
    fn count(
        &mut self,
        (begun, took, port): (Moment, Duration, i32),
        from: Moment,
        slow: u16,
    ) -> Result<(), Error> {
        let by_slow = port == i32::from(slow);
        self.asks_slow |= by_slow;
        if begun >= from {
            self.times.record(u64::try_from(took.as_nanos())?)?;
            self.by_slow += u64::from(by_slow);
        }
        Ok(())
    }
}

/// The half before, and the half after the change.
async fn halves(cluster: &Cluster, strategy: Strategy, measured: Duration) -> Result<[Half; 2], Error> {
    let slow = cluster.replica(1)?;
    let pool = RoutedPool::start(config(cluster, strategy)?).await?;
    let healthy = load(&pool, WARM_UP, measured, slow.port()).await?;
    slow.link().delay(SLOWER / 2).await?;
    let slowed = load(&pool, Duration::ZERO, measured, slow.port()).await;
    slow.link().heal().await?;
    Ok([healthy, slowed?])
}

/// Each half takes this long.
pub(crate) async fn run(measured: Duration) -> Result<Report, Error> {
    let cluster = servers::anywhere(REPLICAS).await?;
    cluster.primary().sql(SETUP).await?;
    cluster.wait_caught_up(servers::PATIENCE).await?;
    println!(
        "{REPLICAS} replicas, a read every {} ms; after {:.1} s the round trip to one replica takes {} ms longer, for {:.1} s",
        EVERY.as_millis(),
        measured.as_secs_f64(),
        SLOWER.as_millis(),
        measured.as_secs_f64(),
    );
    println!(
        "{:<18} {:>20} {:>20} {:>10} {:>16}",
        "strategy", "healthy p50/p99 ms", "slow p50/p99 ms", "p99 ratio", "reads of slow"
    );
    let mut rows = Vec::new();
    let mut default = f64::NAN;
    for (name, strategy) in STRATEGIES {
        let [healthy, slow] = halves(&cluster, strategy, measured).await?;
        let ratio = slow.millis(0.99) / healthy.millis(0.99);
        let times = |half: &Half| format!("{:.2} / {:.2}", half.millis(0.5), half.millis(0.99));
        println!(
            "{name:<18} {:>20} {:>20} {ratio:>10.2} {:>6.1}% → {:>5.1}%",
            times(&healthy),
            times(&slow),
            healthy.share_of_slow(),
            slow.share_of_slow(),
        );
        rows.push((String::from(name), vec![healthy.millis(0.99), slow.millis(0.99)]));
        if strategy == Strategy::default() {
            default = ratio;
            // One slow answer keeps it from being asked for longer than a short form lasts.
            let asked = if measured < WARM_UP { healthy.asks_slow } else { healthy.by_slow > 0 };
            if !asked {
                return Err("a healthy replica was never asked".into());
            }
        }
    }
    let mut report = Report::default();
    report.chart(Chart {
        name: String::from("tail"),
        title: format!(
            "99 of 100 reads take less; one of {REPLICAS} replicas slower by {} ms",
            SLOWER.as_millis()
        ),
        unit: String::from("ms"),
        series: vec![String::from("all healthy"), String::from("one slow")],
        rows,
    });
    report.line(None, &[("tail_p2c_p99_ratio", default, 2)]);
    Ok(report)
}
