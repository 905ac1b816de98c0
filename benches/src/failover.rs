//! How long nobody can write when a primary dies, and what becomes of what was written before.
//!
//! Clients of both ORMs write and read at full speed while the primary's processes are killed, a replica is promoted from
//! outside, or the primary is changed as planned. Each round has a cluster of its own: a primary and two standbys. Rows are
//! counted on the new primary afterwards; nothing is taken from our own counters but how long each phase took.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use rr_core::Config;
use rr_core::config::{FailoverMode, MonitorConfig};
use rr_core::failover::{Phase, Report};
use rr_core::time::Moment;
use rr_tests::cluster::{Builder, Cluster};
use rr_tests::plain::promoting;
use rr_tests::wait::wait_for;

use self::load::{Done, Load};
use crate::Error;
use crate::report::{Chart, Report as Figures, count};

mod load;

/// How long clients work before anything happens, and how long afterwards.
const BEFORE: Duration = Duration::from_millis(500);
const AFTER: Duration = Duration::from_millis(500);

const PATIENCE: Duration = Duration::from_secs(30);

/// How long the standbys' log is on its way where commits do not wait for it. The network goes with the primary, so that
/// what was under way is lost.
const DISTANCE: Duration = Duration::from_millis(2);

/// In so many rounds something is lost that was under way.
const MANY: u32 = 5;

const SETUP: &str = "CREATE TABLE entry (id bigint PRIMARY KEY); INSERT INTO entry VALUES (0);";

/// Times in milliseconds.
struct Times(Histogram<u64>);

impl Times {
    fn new() -> Result<Self, Error> {
        Ok(Self(Histogram::new(3)?))
    }

    fn add(&mut self, took: Duration) -> Result<(), Error> {
        Ok(self.0.record(u64::try_from(took.as_micros())?)?)
    }

    fn count(&self) -> u64 {
        self.0.len()
    }

    fn at(&self, quantile: f64) -> f64 {
        Duration::from_micros(self.0.value_at_quantile(quantile)).as_secs_f64() * 1e3
    }

    fn print(&self, name: &str) {
        println!("  {name:<28} p50 {:>8.1} ms, max {:>8.1} ms", self.at(0.5), self.at(1.0));
    }
}

/// What came of all rounds of a kind.
struct Tally {
    outage: Times,
    /// The same by the routers' own account.
    reported: Times,
    reroute: Times,
    phases: Vec<(Phase, Times)>,
    reads: u64,
    failed_reads: u64,
    failed_writes: u64,
    written: usize,
    /// By Diesel, which learns where each write ended, and by SeaORM, which learns it by the next sample of the primary.
    fates: [Fates; 2],
}

/// What became of answered writes.
#[derive(Clone, Copy, Default)]
struct Fates {
    lost: usize,
    /// Lost writes whose session was told.
    told: usize,
    /// Sessions that were told that their write may be lost, though it is there.
    warned: usize,
}

impl Tally {
    fn new() -> Result<Self, Error> {
        let phases = Phase::ALL.into_iter().map(|phase| Ok::<_, Error>((phase, Times::new()?)));
        Ok(Self {
            outage: Times::new()?,
            reported: Times::new()?,
            reroute: Times::new()?,
            phases: phases.collect::<Result<_, _>>()?,
            reads: 0,
            failed_reads: 0,
            failed_writes: 0,
            written: 0,
            fates: [Fates::default(); 2],
        })
    }

    /// From when there was no primary to the first write that began after that and was answered; `ready` is when another
    /// one could have taken it.
    fn time(&mut self, done: &Done, gone: Moment, ready: Option<Moment>) -> Result<(), Error> {
        let first = done.first_write.ok_or("nothing was written after the failover")?;
        self.outage.add(first.since(gone))?;
        ready.map_or(Ok(()), |ready| self.reroute.add(first.since(ready)))
    }

    fn phases(&mut self, report: &Report) -> Result<(), Error> {
        for (phase, times) in &mut self.phases {
            times.add(report.durations.of(*phase))?;
        }
        report.durations.first_write.map_or(Ok(()), |after| self.reported.add(after))
    }

    fn count(&mut self, done: &Done, kept: &HashSet<i64>) {
        self.reads += done.reads;
        self.failed_reads += done.failed_reads;
        self.failed_writes += done.failed_writes;
        self.written += done.written.len();
        for written in &done.written {
            let (lost, told) = (!kept.contains(&written.id), written.is_told(&done.routers));
            let fates = &mut self.fates[usize::from(!written.by_diesel)];
            fates.lost += usize::from(lost);
            fates.told += usize::from(lost && told);
            fates.warned += usize::from(!lost && told);
        }
    }

    fn print(&self, name: &str, rounds: u32) {
        println!("{name}, {rounds} times:");
        for (phase, times) in &self.phases {
            if times.at(1.0) > 0.0 {
                times.print(phase.as_str());
            }
        }
        if self.outage.count() > 0 {
            self.reroute.print("re-route");
            self.outage.print("until a write is answered");
        }
        if self.reported.count() > 0 {
            self.reported.print("- by the router's report");
        }
        println!(
            "  reads {}, failed {}; writes {}, not answered {}",
            self.reads, self.failed_reads, self.written, self.failed_writes
        );
        for (name, Fates { lost, told, warned }) in ["Diesel", "SeaORM"].into_iter().zip(self.fates) {
            println!(
                "  answered writes, {name}: lost {lost}, of these reported {told}; said to be in doubt {warned}"
            );
        }
    }

    fn outage_line(&self, of: &str, figures: &mut Figures) {
        let of_all = |count: fn(&Fates) -> usize| whole(self.fates.iter().map(count).sum());
        figures.line(
            Some(of),
            &[
                ("failover_write_outage_ms_p50", self.outage.at(0.5), 0),
                ("max", self.outage.at(1.0), 0),
                ("failed_reads", count(self.failed_reads), 0),
                ("lost_acknowledged_writes", whole(self.lost()), 0),
                ("reported", of_all(|fates| fates.told), 0),
                ("in_doubt", of_all(|fates| fates.warned), 0),
            ],
        );
    }

    fn lost(&self) -> usize {
        self.fates.iter().map(|fates| fates.lost).sum()
    }

    /// The promises that are no matter of speed.
    fn check(&self) -> Result<(), Error> {
        if self.failed_reads > 0 {
            return Err("a read failed".into());
        }
        if self.fates.iter().any(|fates| fates.told < fates.lost) {
            return Err("a lost write was not reported to its session".into());
        }
        Ok(())
    }
}

/// A cluster under load, and the router that may promote.
async fn under_load(builder: Builder, mode: FailoverMode) -> Result<(Cluster, Load), Error> {
    let cluster = builder.replicas(2).start().await?;
    cluster.primary().sql(SETUP).await?;
    cluster.primary().admin_sql("GRANT pg_read_all_stats TO app").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let mut config = promoting(&cluster, mode);
    // As every application has it.
    config.monitor = MonitorConfig::default();
    let load = Load::start(config, config_of_the_other(&cluster)).await?;
    Ok((cluster, load))
}

/// Only one of the two routers promotes; the other one follows.
fn config_of_the_other(cluster: &Cluster) -> Config {
    let mut config = promoting(cluster, FailoverMode::Follow);
    config.monitor = MonitorConfig::default();
    config
}

async fn kept(cluster: &Cluster, leader: &str) -> Result<HashSet<i64>, Error> {
    let ids = cluster.node(leader)?.query_text("SELECT string_agg(id::text, ',') FROM entry").await?;
    Ok(ids.split(',').map(str::parse).collect::<Result<_, _>>()?)
}

async fn report(load: &Load) -> Result<Arc<Report>, Error> {
    let ended = async || Ok::<_, Error>(load.router().failover().history().pop());
    let report = wait_for(PATIENCE, "the promotion to end", ended).await?;
    if report.succeeded() { Ok(report) } else { Err(report.to_string().into()) }
}

/// When the new primary was one, for the router: its report counts the outage from the first failed look on.
fn accepted(report: &Report) -> Option<Moment> {
    Some(report.began - report.durations.of(Phase::Detection) + report.durations.outage?)
}

/// Kills the primary, and lets the router replace it.
async fn kill(rounds: u32, synchronous: bool) -> Result<Tally, Error> {
    let mut tally = Tally::new()?;
    for _ in 0..rounds {
        let builder = match synchronous {
            true => Cluster::builder().synchronous(["replica-1", "replica-2"]),
            false => Cluster::builder(),
        };
        let (cluster, load) = under_load(builder, FailoverMode::Automatic).await?;
        let links = cluster.replicas().iter().map(|replica| replica.upstream_link().ok_or("a link"));
        let links: Vec<_> = if synchronous { Vec::new() } else { links.collect::<Result<_, _>>()? };
        for link in &links {
            link.delay(DISTANCE).await?;
        }
        tokio::time::sleep(BEFORE).await;
        let gone = load.now();
        for link in &links {
            link.cut().await?;
        }
        cluster.primary().crash().await?;
        load.gone(load.now());
        let report = report(&load).await?;
        tokio::time::sleep(AFTER).await;
        let done = load.end().await?;
        let report = done.reported(&report);
        let leader = report.to.as_deref().ok_or("a leader")?;
        tally.time(&done, gone, accepted(&report))?;
        tally.phases(&report)?;
        tally.count(&done, &kept(&cluster, leader).await?);
    }
    Ok(tally)
}

/// Kills the primary, and promotes a replica from outside.
async fn outside(rounds: u32) -> Result<Tally, Error> {
    let mut tally = Tally::new()?;
    for _ in 0..rounds {
        let (cluster, load) = under_load(Cluster::builder(), FailoverMode::Follow).await?;
        tokio::time::sleep(BEFORE).await;
        let gone = load.now();
        cluster.primary().crash().await?;
        load.gone(load.now());
        // The order: when a server is a primary, nobody but itself knows to the millisecond.
        let ordered = load.now();
        cluster.replica(1)?.promote().await?;
        wait_for(PATIENCE, "a write", async || Ok::<_, Error>(load.first_write())).await?;
        tokio::time::sleep(AFTER).await;
        let done = load.end().await?;
        tally.time(&done, gone, Some(ordered))?;
        tally.count(&done, &kept(&cluster, "replica-1").await?);
    }
    Ok(tally)
}

/// Changes the primary as planned. Gives the longest write of each round as well.
async fn switchover(rounds: u32) -> Result<(Tally, Times), Error> {
    let (mut tally, mut pauses) = (Tally::new()?, Times::new()?);
    for _ in 0..rounds {
        let (cluster, load) = under_load(Cluster::builder(), FailoverMode::Manual).await?;
        tokio::time::sleep(BEFORE).await;
        load.gone(load.now());
        let report = load.router().failover().initiate("a benchmark", Some("replica-1"), false).await?;
        if !report.succeeded() {
            return Err(report.to_string().into());
        }
        tokio::time::sleep(AFTER).await;
        let done = load.end().await?;
        tally.phases(&done.reported(&report))?;
        pauses.add(done.longest_write)?;
        tally.count(&done, &kept(&cluster, "replica-1").await?);
    }
    Ok((tally, pauses))
}

/// Measures each kind so many times.
pub(crate) async fn run(rounds: u32) -> Result<Figures, Error> {
    let asynchronous = kill(rounds, false).await?;
    asynchronous.print("primary killed, asynchronous standbys 2 ms away", rounds);
    let synchronous = kill(rounds, true).await?;
    synchronous.print("primary killed, remote_apply", rounds);
    let outside = outside(rounds).await?;
    outside.print("primary killed, promoted from outside", rounds);
    let (planned, pauses) = switchover(rounds).await?;
    planned.print("planned switchover", rounds);
    pauses.print("the longest write");
    let mut figures = Figures::default();
    figures.line(None, &[("outside_reroute_ms_p50", outside.reroute.at(0.5), 0)]);
    figures.line(
        None,
        &[
            ("switchover_pause_ms", pauses.at(0.5), 0),
            ("max", pauses.at(1.0), 0),
            ("failed_writes", count(planned.failed_writes), 0),
            ("lost_writes", whole(planned.lost()), 0),
        ],
    );
    synchronous.outage_line("remote_apply", &mut figures);
    asynchronous.outage_line("asynchronous", &mut figures);
    figures.chart(Chart {
        name: String::from("failover"),
        title: String::from("Nobody can write, in milliseconds (median)"),
        unit: String::from("ms"),
        series: Vec::new(),
        rows: vec![
            (String::from("killed, remote_apply"), vec![synchronous.outage.at(0.5)]),
            (String::from("killed, asynchronous"), vec![asynchronous.outage.at(0.5)]),
            (String::from("promoted from outside"), vec![outside.outage.at(0.5)]),
            (String::from("planned switchover"), vec![pauses.at(0.5)]),
        ],
    });
    [&asynchronous, &synchronous, &outside, &planned].into_iter().try_for_each(Tally::check)?;
    if rounds >= MANY && asynchronous.lost() == 0 {
        return Err("nothing was lost where commits wait for nobody: what was reported says nothing".into());
    }
    match synchronous.lost() + planned.lost() {
        0 if planned.failed_writes == 0 => Ok(figures),
        _ => Err("a write was lost, or failed, that must not be".into()),
    }
}

fn whole(number: usize) -> f64 {
    count(u64::try_from(number).unwrap_or(u64::MAX))
}
