//! How reads grow with replicas whose capacity is limited.
//!
//! A machine that runs all the servers cannot show it by working at full speed: its processors would be shared by one
//! server or by four. So every server does one read at a time, and sleeps in it for a fixed time: the others wait in the
//! server, for an advisory lock. A node then answers so many reads a second at most, whatever the machine and however many
//! connections there are, and the processors are idle most of the time. What is measured is whether the routing fills all
//! nodes: a node that is left idle while others have queues costs throughput at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use diesel::prelude::*;
use diesel_async::AsyncPgConnection;
use diesel_async::RunQueryDsl;
use diesel_async::pooled_connection::bb8;
use rr_core::Config;
use rr_core::time::{Clock, Moment};
use rr_diesel::RoutedPool;
use rr_tests::cluster::{Cluster, Node};
use tokio::task::JoinSet;

use crate::report::{Chart, Report, count};
use crate::with_diesel::plain_pool_of;
use crate::{Error, servers};

/// How long a server takes for a read.
const HOLD: Duration = Duration::from_millis(5);

/// The same for any number of nodes: enough to keep four of them busy. Each may have a connection to each node.
const CLIENTS: u32 = 48;

const REPLICAS: [usize; 4] = [0, 1, 2, 4];
const MOST: usize = 4;

/// Time to open connections before anything is counted.
const WARM_UP: Duration = Duration::from_millis(500);

/// Each number of replicas takes so many turns: a machine is slow for seconds at times.
const TURNS: u32 = 3;

diesel::table! {
    /// One row: the port of the server that answers, after its turn has come.
    held (port) {
        port -> Integer,
    }
}

fn setup() -> String {
    let seconds = HOLD.as_secs_f64();
    format!(
        "CREATE FUNCTION serve() RETURNS int STABLE LANGUAGE plpgsql AS \
         'BEGIN PERFORM pg_advisory_xact_lock(1), pg_sleep({seconds}); RETURN 1; END'; \
         CREATE VIEW held AS SELECT current_setting('port')::int AS port FROM serve()"
    )
}

/// Reads by the port of the server that answered.
type Answers = BTreeMap<i32, u64>;

trait Pool: Clone + Send + 'static {
    fn read(&self) -> impl Future<Output = Result<i32, Error>> + Send;
}

impl Pool for RoutedPool {
    async fn read(&self) -> Result<i32, Error> {
        Ok(held::table.select(held::port).first(&mut self.get().await?).await?)
    }
}

impl Pool for bb8::Pool<AsyncPgConnection> {
    async fn read(&self) -> Result<i32, Error> {
        Ok(held::table.select(held::port).first(&mut *self.get().await?).await?)
    }
}

/// Who answered, and how often in the measured time.
async fn load(pool: &impl Pool, measured: Duration) -> Result<Answers, Error> {
    let clock = Clock::start();
    let (from, until) = (Moment::ORIGIN + WARM_UP, Moment::ORIGIN + WARM_UP + measured);
    let mut working = JoinSet::new();
    for _ in 0..CLIENTS {
        let pool = pool.clone();
        working.spawn(async move {
            let mut answers = Answers::new();
            while clock.now() < until {
                let port = pool.read().await?;
                let now = clock.now();
                *answers.entry(port).or_default() += u64::from(now >= from && now < until);
            }
            Ok::<_, Error>(answers)
        });
    }
    let mut total = Answers::new();
    while let Some(done) = working.join_next().await {
        add(&mut total, &done??);
    }
    Ok(total)
}

fn add(total: &mut Answers, more: &Answers) {
    for (port, reads) in more {
        *total.entry(*port).or_default() += reads;
    }
}

fn config(cluster: &Cluster, replicas: usize) -> Result<Config, Error> {
    let mut config = Config::builder().primary(cluster.primary().direct_url());
    for node in &cluster.replicas()[..replicas] {
        config = config.replica(node.direct_url());
    }
    let limit = |config: &mut Config| {
        for pool in [&mut config.pool.primary, &mut config.pool.replica] {
            pool.max = CLIENTS;
        }
    };
    Ok(config.with(limit).build()?)
}

/// The nodes that should answer.
fn asked(cluster: &Cluster, replicas: usize) -> &[Node] {
    if replicas == 0 { &cluster.nodes()[..1] } else { &cluster.replicas()[..replicas] }
}

pub(crate) async fn run(measured: Duration, quick: bool) -> Result<Report, Error> {
    let cluster = servers::anywhere(MOST).await?;
    cluster.primary().sql(&setup()).await?;
    cluster.wait_caught_up(servers::PATIENCE).await?;
    let turns = if quick { 1 } else { TURNS };
    let each = 1.0 / HOLD.as_secs_f64();
    println!(
        "every server does one read at a time and takes {} ms for it, the others wait there: {each:.0} reads a second at \
         most; {CLIENTS} clients, as many connections to each node; {turns} × {:.1} s",
        HOLD.as_millis(),
        measured.as_secs_f64(),
    );
    let mut routed = [const { Answers::new() }; REPLICAS.len()];
    let mut plain = Answers::new();
    for _ in 0..turns {
        let pool = plain_pool_of(&cluster.replica(1)?.direct_url(), CLIENTS).await?;
        add(&mut plain, &load(&pool, measured).await?);
        for (answers, replicas) in routed.iter_mut().zip(REPLICAS) {
            let pool = RoutedPool::start(config(&cluster, replicas)?).await?;
            add(answers, &load(&pool, measured).await?);
        }
    }
    let seconds = measured.as_secs_f64() * f64::from(turns);
    let rate = |answers: &Answers| count(answers.values().sum()) / seconds;
    let one = rate(&routed[1]);
    println!("{:<26} {:>8} {:>12} {:>12}  reads of each node", "", "reads/s", "times of 1", "of capacity");
    let row = |name: &str, answers: &Answers| {
        let nodes = answers.values().filter(|reads| **reads > 0).map(|_| 1.0).sum::<f64>();
        let rate = rate(answers);
        println!(
            "{name:<26} {rate:>8.0} {:>12.2} {:>11.0}%  {:?}",
            rate / one,
            100.0 * rate / (each * nodes),
            answers.values().collect::<Vec<_>>()
        );
    };
    row("a plain pool on 1 replica", &plain);
    let mut report = Report::default();
    let mut rows = Vec::new();
    for (answers, replicas) in routed.iter().zip(REPLICAS) {
        let name = match replicas {
            0 => String::from("0 replicas (the primary)"),
            1 => String::from("1 replica"),
            more => format!("{more} replicas"),
        };
        row(&name, answers);
        // Nobody is warm at the start, and a short form ends soon: whom it counts is less than whom it asks.
        let expected: BTreeSet<_> =
            asked(&cluster, replicas).iter().map(|node| i32::from(node.port())).collect();
        let elsewhere = answers.iter().any(|(port, reads)| *reads > 0 && !expected.contains(port));
        if elsewhere || !expected.iter().all(|port| answers.contains_key(port)) {
            return Err(format!("with {replicas} replicas the reads went elsewhere: {answers:?}").into());
        }
        rows.push((name, vec![rate(answers)]));
    }
    report.chart(Chart {
        name: String::from("scaling"),
        title: format!("Reads a second; a node can answer {each:.0}"),
        unit: String::from("reads/s"),
        series: Vec::new(),
        rows,
    });
    let times = |n: usize| rate(&routed[n]) / one;
    report.line(None, &[("scaling_2", times(2), 2), ("scaling_4", times(3), 2)]);
    Ok(report)
}
