//! Thousands of failovers a second, without a server: seeded events against [`World`](rr_core::world::World), and a
//! judge that knows the truth.
//!
//! A run draws a cluster, a configuration and bad luck from its seed. Simulated PostgreSQL servers write, replicate,
//! die, come back as zombies, are promoted, rewound, rebuilt and cut off; a monitor probes them through a network that
//! delays, loses and reorders, and sometimes sleeps; sessions write and read by the topology that the world has
//! published last. After every step an oracle compares what the world says with what is so. The servers keep the truth
//! as a tree of logs and never as positions, so a mistake in positions cannot hide in both.
//!
//! The same seed gives the same run, to the last line of its trace. A seed that once failed is kept in
//! `tests/spec/simulation/seeds.toml` and is run by every test run.
//!
//! ```
//! use rr_tests::simulation::{Options, run};
//!
//! let outcome = run(1, Options::default());
//! assert!(outcome.violations.is_empty(), "{:?}", outcome.violations);
//! ```

mod agenda;
mod clients;
mod cluster;
mod faults;
mod lies;
mod lots;
mod monitor;
mod oracle;
mod plan;
mod promotions;
mod run;
mod seeds;
mod server;
mod stats;
mod trace;
mod wal;

pub use lies::Lie;
pub use seeds::{KeptSeed, kept_seeds};
pub use stats::{Happened, Limits, Stats};
pub use trace::Recording;

/// How to run a seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// What to write down.
    pub recording: Recording,
    /// What is done wrongly, in a run that must fail.
    pub lie: Option<Lie>,
}

/// What a run came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// What was wrong; a good run has none.
    pub violations: Vec<String>,
    /// What happened.
    pub stats: Stats,
    /// The hash of the trace, when it was recorded.
    pub hash: u64,
    /// The trace, when its text was recorded.
    pub lines: Vec<String>,
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, options: Options) -> Outcome {
    run::Simulation::new(seed, options).run(seed)
}
