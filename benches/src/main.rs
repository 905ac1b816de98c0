//! `cargo run --release -p rr-bench -- <name>`: the measurements that the documentation quotes.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark's output is what it prints")]

mod all;
mod arguments;
mod capture;
mod causal;
mod chart;
mod classify;
mod compare;
mod counted;
mod failover;
mod proxies;
mod report;
mod route;
mod scaling;
mod servers;
mod side_by_side;
mod summary;
mod tail;
mod targets;
#[cfg(feature = "blocking")]
mod with_blocking;
mod with_diesel;
mod with_seaorm;

use std::alloc::System;
use std::env;
use std::process::ExitCode;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use self::arguments::Arguments;
use self::report::Report;

/// Counts every allocation, so that "none" is a measurement.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

type Error = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str = "usage: rr-bench <benchmark> [NUMBER] [--quick] [--report FILE] [--into FOLDER]

  all        every one of these; writes benches/RESULTS.md, its charts and README.md's table, or into the folder of --into
  blocking   what routing costs under Diesel's own connections (build with `--features blocking`)
  capture [ROUNDS]  what it costs that a write says where it has ended, on loopback and over a network
  causal [SECONDS]  how many reads replicas serve, and how many of them are too old
  classify   nanoseconds to classify a statement's text
  compare [SECONDS]  rr, and what else splits reads from writes: throughput, and reads that are too old
  diesel [ROUNDS]  what routing costs under diesel-async, on real servers
  failover [ROUNDS]  how long nobody can write when the primary changes, and what is lost
  route      nanoseconds for a routing decision
  scaling [SECONDS]  how reads grow with replicas whose capacity is limited
  seaorm [ROUNDS]  what routing costs under SeaORM, on real servers
  tail [SECONDS]  what one slow replica does to the slowest reads, with each balancing strategy

  --quick    just long enough to see that it works (capture, causal, compare, diesel, failover, scaling, seaorm, tail)
  --report   writes the figures as JSON";

/// Those that have a short form.
const QUICK: [&str; 8] = ["capture", "causal", "compare", "diesel", "failover", "scaling", "seaorm", "tail"];

fn main() -> ExitCode {
    let done = Arguments::parse(env::args().skip(1)).and_then(|arguments| {
        let report = measure(&arguments)?;
        arguments.report.map_or(Ok(()), |file| report.save(&file))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<Report, Error> {
    let quick = arguments.quick;
    match arguments.benchmark.as_str() {
        "all" => all::run(arguments.into.as_deref(), quick),
        #[cfg(feature = "blocking")]
        "blocking" => runtime()?.block_on(with_blocking::run(ALLOCATOR)),
        "capture" => runtime()?.block_on(capture::run(ALLOCATOR, arguments.rounds(3_000, 100))),
        "causal" => runtime()?.block_on(causal::run(arguments.seconds(5, 200))),
        "classify" => classify::run(ALLOCATOR),
        "compare" => runtime()?.block_on(compare::run(arguments.seconds(2, 300), quick)),
        "diesel" => runtime()?.block_on(with_diesel::run(ALLOCATOR, arguments.rounds(20_000, 8), quick)),
        "failover" => runtime()?.block_on(failover::run(arguments.rounds(20, 1))),
        "route" => route::run(ALLOCATOR),
        "scaling" => runtime()?.block_on(scaling::run(arguments.seconds(4, 300), quick)),
        "seaorm" => runtime()?.block_on(with_seaorm::run(ALLOCATOR, arguments.rounds(20_000, 100), quick)),
        "tail" => runtime()?.block_on(tail::run(arguments.seconds(6, 300))),
        _ => Err(USAGE.into()),
    }
}

/// One thread: nothing else moves while something is measured.
fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
