//! What a routing decision costs: building the requirement, choosing the node, entering and leaving it.
//!
//! The router is the real one; its nodes are made up (a connector that answers probes from memory), because sixteen
//! servers would add nothing but noise. Batches are timed, so that the clock is not what is measured.

use std::alloc::System;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hint::black_box;

use hdrhistogram::Histogram;
use rr_core::config::{NodeConfig, Strategy};
use rr_core::connector::Target;
use rr_core::engine::{Fault, TextRow};
use rr_core::position::{Lsn, PgPosition, Timeline};
use rr_core::router::Builder;
use rr_core::time::Clock;
use rr_core::topology::Role;
use rr_core::{Config, Connector, Request, Router};
use stats_alloc::{Region, StatsAlloc};

use crate::Error;
use crate::report::{Chart, Report, count};

mod watched;

const BATCH: u32 = 256;
const BATCHES: u32 = 20_000;

pub(crate) const STRATEGIES: [(&str, Strategy); 6] = [
    ("p2c", Strategy::P2c),
    ("weighted", Strategy::Weighted),
    ("round-robin", Strategy::RoundRobin),
    ("random", Strategy::Random),
    ("least-lag", Strategy::LeastLag),
    ("least-connections", Strategy::LeastConnections),
];

/// Nodes that exist in memory only.
struct MadeUp;

impl Connector for MadeUp {
    type Pool = ();
    type Control = bool;
    type Error = Infallible;

    fn pool(&self, _: &Target) -> Result<(), Infallible> {
        Ok(())
    }

    async fn control(&self, target: &Target) -> Result<bool, Infallible> {
        Ok(target.node.name != "primary")
    }

    async fn run(&self, replica: &mut bool, _: &str) -> Result<TextRow, Infallible> {
        let file = (!*replica).then_some("000000010000000000000001");
        let timeline = replica.then_some("1");
        let texts = [
            Some(if *replica { "t" } else { "f" }),
            Some("0/1000"),
            file,
            timeline,
            None,
            Some("7"),
            Some("1"),
        ];
        Ok(texts.into_iter().chain([Some("16777216")]).map(|text| text.map(str::to_owned)).collect())
    }

    fn fault(&self, error: &Infallible, _: Role) -> Option<Fault> {
        match *error {}
    }
}

pub(crate) fn run(allocator: &StatsAlloc<System>) -> Result<Report, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut medians = BTreeMap::new();
    println!(
        "one decision = requirement of the process-wide session + route + drop; {BATCHES} batches of {BATCH}"
    );
    println!("{:>5}  {:<18} {:>8} {:>8} {:>12}", "nodes", "strategy", "p50 ns", "p99 ns", "allocations");
    for nodes in [1, 3, 16] {
        for (name, strategy) in STRATEGIES {
            let router = runtime.block_on(start(nodes, strategy))?;
            let histogram = measure(&router)?;
            // Without the monitor's tasks, so that whatever is allocated is allocated here.
            runtime.block_on(router.shutdown());
            let region = Region::new(allocator);
            (0..10_000).for_each(|_| decide(&router));
            let allocations = region.change().allocations;
            let ns = |quantile| ten(histogram.value_at_quantile(quantile));
            println!("{nodes:>5}  {name:<18} {:>8.1} {:>8.1} {allocations:>12}", ns(0.5), ns(0.99));
            medians.insert((nodes, name), (ns(0.5), allocations));
        }
    }
    watched::run(&runtime, allocator)?;
    let (ns, _) = medians[&(16, "p2c")];
    let allocations: usize = medians.values().map(|(_, allocations)| allocations).sum();
    let mut report = Report::default();
    let row = |&(name, _): &(&str, Strategy)| {
        let of = |nodes| medians.get(&(nodes, name)).map_or(0.0, |&(ns, _)| ns);
        (String::from(name), vec![of(3), of(16)])
    };
    report.chart(Chart {
        name: String::from("route"),
        title: String::from("A routing decision, in nanoseconds (median)"),
        unit: String::from("ns"),
        series: vec![String::from("3 replicas"), String::from("16 replicas")],
        rows: STRATEGIES.iter().map(row).collect(),
    });
    let allocations = count(u64::try_from(allocations)?);
    report.line(None, &[("route_16_p2c_ns", ns, 1), ("allocs", allocations, 0)]);
    if allocations > 0.0 { Err("a decision has allocated".into()) } else { Ok(report) }
}

/// `nodes` replicas and a primary, a process that has written, all caught up.
async fn start(nodes: usize, strategy: Strategy) -> Result<Router<MadeUp>, Error> {
    started(nodes, strategy, |builder| builder).await
}

/// The same with the default strategy, and a say in the router.
async fn configured(
    nodes: usize,
    build: impl FnOnce(Builder<MadeUp>) -> Builder<MadeUp>,
) -> Result<Router<MadeUp>, Error> {
    started(nodes, Strategy::default(), build).await
}

async fn started(
    nodes: usize,
    strategy: Strategy,
    build: impl FnOnce(Builder<MadeUp>) -> Builder<MadeUp>,
) -> Result<Router<MadeUp>, Error> {
    let mut config = Config::new("postgres://127.0.0.1:1/app")?;
    let replica = |n| NodeConfig::new(format!("postgres://127.0.0.1:{}/app", 2 + n));
    config.replicas = (0..nodes).map(replica).collect::<Result<_, _>>()?;
    for (n, node) in config.replicas.iter_mut().enumerate() {
        *node = node.clone().with_name(format!("replica-{n}"));
    }
    config.balance = strategy;
    let router = build(Router::builder(MadeUp).config(config)).start().await?;
    router.process_session().wrote(&PgPosition::new(Timeline::FIRST, Lsn::from_u64(0x800)).into());
    Ok(router)
}

/// Nanoseconds × 10 per decision.
fn measure(router: &Router<MadeUp>) -> Result<Histogram<u64>, Error> {
    timed(|| decide(router))
}

fn timed(work: impl Fn()) -> Result<Histogram<u64>, Error> {
    let clock = Clock::start();
    let mut histogram = Histogram::new(3)?;
    (0..1_000).for_each(|_| work());
    for _ in 0..BATCHES {
        let started = clock.now();
        (0..BATCH).for_each(|_| work());
        histogram.record(u64::try_from(clock.now().since(started).as_nanos())? * 10 / u64::from(BATCH))?;
    }
    Ok(histogram)
}

fn decide(router: &Router<MadeUp>) {
    let request = Request::read(router.requirement(None, None));
    black_box(router.route(&request)).map(drop).unwrap_or_default();
}

fn ten(tenths: u64) -> f64 {
    f64::from(u32::try_from(tenths).unwrap_or(u32::MAX)) / 10.0
}
