//! Benchmarks that anyone can run: `cargo run --release -p rr-bench -- route`.
#![expect(clippy::print_stdout, reason = "a program that prints its findings")]
#![expect(clippy::disallowed_methods, reason = "measuring time is what it is for")]

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

mod route;

/// Counts allocations.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Error> {
    let name = std::env::args().nth(1).unwrap_or_default();
    match name.as_str() {
        "route" => route::run(),
        _ => Err("which benchmark? `route`".into()),
    }
}
