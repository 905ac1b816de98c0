//! Runs many seeds of the simulation on all cores, or one of them with its trace.

#![expect(clippy::print_stdout, reason = "a program for the command line")]

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rr_core::time::{Clock, Moment};
use rr_tests::simulation::{Options, Outcome, Recording, Stats, run};

const USAGE: &str = "usage: rr-sim [--seeds N] [--first SEED] [--stop] [--trace]

  --seeds N      how many seeds to run (default 1000)
  --first SEED   the first of them (default 1)
  --stop         stop at the first violation
  --trace        print everything that happens; for one seed only";

/// Failing seeds that are printed in full; the others are counted.
const SHOWN: usize = 10;

struct Arguments {
    seeds: u64,
    first: u64,
    stop: bool,
    trace: bool,
}

#[derive(Default)]
struct Total {
    stats: Stats,
    failed: Vec<Outcome>,
    violations: usize,
    seeds: u64,
}

fn main() -> ExitCode {
    let Some(arguments) = arguments(std::env::args().skip(1)) else {
        println!("{USAGE}");
        return ExitCode::from(2);
    };
    if arguments.trace {
        return trace(arguments.first);
    }
    let clock = Clock::start();
    let total = run_all(&arguments);
    let took = clock.now().since(Moment::ORIGIN);
    for outcome in &total.failed {
        println!("seed {} fails:", outcome.seed);
        outcome.violations.iter().for_each(|violation| println!("  {violation}"));
        println!(
            "  again, with its trace: cargo run --release -p rr-tests --bin rr-sim -- --first {} --trace",
            outcome.seed
        );
        println!(
            "  when it is understood, keep it: {{ seed = {}, why = \"…\" }} in tests/spec/simulation/seeds.toml",
            outcome.seed
        );
    }
    println!("{}", total.stats);
    let rate = u128::from(total.seeds) * 1_000 / took.as_millis().max(1);
    println!("{took:.1?}, {rate} seeds/s");
    println!("simulation seeds={} violations={}", total.seeds, total.violations);
    if total.violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn arguments(mut given: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut arguments = Arguments { seeds: 1_000, first: 1, stop: false, trace: false };
    while let Some(name) = given.next() {
        match name.as_str() {
            "--seeds" => arguments.seeds = given.next()?.parse().ok()?,
            "--first" => arguments.first = given.next()?.parse().ok()?,
            "--stop" => arguments.stop = true,
            "--trace" => arguments.trace = true,
            _ => return None,
        }
    }
    Some(arguments)
}

fn trace(seed: u64) -> ExitCode {
    let outcome = run(seed, Options { recording: Recording::Text, ..Options::default() });
    outcome.lines.iter().for_each(|line| println!("{line}"));
    println!("{}", outcome.stats);
    println!("simulation seeds=1 violations={}", outcome.violations.len());
    if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Every core takes the next seed until there is none.
fn run_all(arguments: &Arguments) -> Total {
    let next = AtomicU64::new(0);
    let total = Mutex::new(Total::default());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| work(arguments, &next, &total));
        }
    });
    let mut total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    total.failed.sort_by_key(|outcome| outcome.seed);
    total.failed.truncate(SHOWN);
    total
}

fn work(arguments: &Arguments, next: &AtomicU64, total: &Mutex<Total>) {
    let (mut stats, mut seeds) = (Stats::default(), 0);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= arguments.seeds {
            break;
        }
        let outcome = run(arguments.first.wrapping_add(number), Options::default());
        stats += outcome.stats;
        seeds += 1;
        if !outcome.violations.is_empty() {
            if arguments.stop {
                next.store(arguments.seeds, Ordering::Relaxed);
            }
            let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
            total.violations += outcome.violations.len();
            total.failed.push(outcome);
        }
    }
    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
    total.stats += stats;
    total.seeds += seeds;
}
