//! `cargo run --release -p rr-bench -- <name>`: the measurements that the documentation quotes.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark's output is what it prints")]

mod causal;
mod classify;
mod failover;
mod route;
mod servers;
#[cfg(feature = "blocking")]
mod with_blocking;
mod with_diesel;
mod with_seaorm;

use std::alloc::System;
use std::env;
use std::process::ExitCode;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts every allocation, so that "none" is a measurement.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

type Error = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str = "usage: rr-bench <benchmark>

  blocking   what routing costs under Diesel's own connections (build with `--features blocking`)
  causal [SECONDS]  how many reads replicas serve, and how many of them are too old
  classify   nanoseconds to classify a statement's text
  diesel     what routing costs under diesel-async, on real servers
  failover [ROUNDS]  how long nobody can write when the primary changes, and what is lost
  route      nanoseconds for a routing decision
  seaorm     what routing costs under SeaORM, on real servers";

fn main() -> ExitCode {
    let measured = match env::args().nth(1).as_deref() {
        #[cfg(feature = "blocking")]
        Some("blocking") => runtime().and_then(|runtime| runtime.block_on(with_blocking::run(ALLOCATOR))),
        Some("causal") => runtime().and_then(|runtime| runtime.block_on(causal::run(seconds(5)))),
        Some("classify") => {
            classify::run(ALLOCATOR);
            Ok(())
        }
        Some("diesel") => runtime().and_then(|runtime| runtime.block_on(with_diesel::run(ALLOCATOR))),
        Some("failover") => runtime().and_then(|runtime| runtime.block_on(failover::run(rounds(20)))),
        Some("route") => route::run(ALLOCATOR),
        Some("seaorm") => runtime().and_then(|runtime| runtime.block_on(with_seaorm::run(ALLOCATOR))),
        _ => Err(USAGE.into()),
    };
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// How long each measurement takes, where that may be said.
fn seconds(default: u64) -> Duration {
    let given = env::args().nth(2).and_then(|text| text.parse().ok());
    Duration::from_secs(given.unwrap_or(default))
}

/// How often something is measured, where that may be said.
fn rounds(default: u32) -> u32 {
    env::args().nth(2).and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// One thread: nothing else moves while something is measured.
fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
