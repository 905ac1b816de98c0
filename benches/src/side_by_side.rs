//! The same statement through a plain pool and through a routed one, in turn, so that both meet the same machine.
//!
//! The pools are opened several times: a connection and the server's process behind it are a few percent faster or slower than
//! the next ones for as long as they live, which is more than what is looked for.

use std::alloc::System;
use std::time::Duration;

use hdrhistogram::Histogram;
use rr_core::time::Clock;
use stats_alloc::{Region, StatsAlloc};

use crate::Error;

/// How often a statement is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds {
    /// How often pools are opened for it.
    pub(crate) pairs: u32,
    /// How often it runs on each pair before it is measured.
    pub(crate) warm_up: u32,
    /// How often it is measured on each pair.
    pub(crate) measured: u32,
}

impl Rounds {
    /// So many that are measured at least, in so many pairs of pools.
    pub(crate) const fn of(measured: u32, pairs: u32) -> Self {
        let measured = measured.div_ceil(pairs);
        Self { pairs, warm_up: measured.div_ceil(20), measured }
    }
}

/// Times of one side, and what it allocated.
struct Side {
    times: Histogram<u64>,
    allocations: u64,
}

impl Side {
    fn new() -> Result<Self, Error> {
        Ok(Self { times: Histogram::new(3)?, allocations: 0 })
    }

    fn add(&mut self, pair: &Self) -> Result<(), Error> {
        self.allocations += pair.allocations;
        Ok(self.times.add(&pair.times)?)
    }

    fn micros(&self, quantile: f64) -> f64 {
        Duration::from_nanos(self.times.value_at_quantile(quantile)).as_secs_f64() * 1e6
    }
}

/// What was measured of one statement.
pub(crate) struct Comparison {
    name: &'static str,
    allocator: &'static StatsAlloc<System>,
    rounds: Rounds,
    clock: Clock,
    sides: [Side; 2],
    /// Of the medians, for each pair.
    ratios: Vec<f64>,
}

impl Comparison {
    pub(crate) fn new(
        name: &'static str,
        allocator: &'static StatsAlloc<System>,
        rounds: Rounds,
    ) -> Result<Self, Error> {
        let (clock, sides) = (Clock::start(), [Side::new()?, Side::new()?]);
        Ok(Self { name, allocator, rounds, clock, sides, ratios: Vec::new() })
    }

    /// Measures it on a pair of pools.
    pub(crate) async fn measure(
        &mut self,
        plain: impl AsyncFn() -> Result<(), Error>,
        routed: impl AsyncFn() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Rounds { warm_up, measured, .. } = self.rounds;
        let mut sides = [Side::new()?, Side::new()?];
        // Whose connection is opened first changes from pair to pair.
        let first = self.ratios.len() % 2;
        for round in 0..warm_up + measured {
            for turn in 0..2 {
                let which = (round as usize + turn + first) % 2;
                let region = Region::new(self.allocator);
                let begun = self.clock.now();
                if which == 0 {
                    plain().await?
                } else {
                    routed().await?
                }
                let took = self.clock.now().since(begun);
                if round >= warm_up {
                    sides[which].times.record(u64::try_from(took.as_nanos())?)?;
                    sides[which].allocations += u64::try_from(region.change().allocations)?;
                }
            }
        }
        self.ratios.push(sides[1].micros(0.5) / sides[0].micros(0.5));
        for (all, pair) in self.sides.iter_mut().zip(&sides) {
            all.add(pair)?;
        }
        Ok(())
    }

    /// Prints what was found, and returns the median of the pairs' ratios.
    pub(crate) fn ratio(mut self) -> f64 {
        self.ratios.sort_by(f64::total_cmp);
        let last = self.ratios.len() - 1;
        let (least, p50, most) = (self.ratios[0], self.ratios[last / 2], self.ratios[last]);
        let [plain, routed] = &self.sides;
        let mean = routed.times.mean() / plain.times.mean();
        let each = |side: &Side| side.allocations / side.times.len().max(1);
        println!(
            "{:<17} plain p50 {:>7.2} µs, routed p50 {:>7.2} µs; ratio p50 {p50:.3} ({least:.3} to {most:.3}), mean {mean:.3}; \
             p99 {:.2} and {:.2} µs; allocations {} and {}",
            self.name,
            plain.micros(0.5),
            routed.micros(0.5),
            plain.micros(0.99),
            routed.micros(0.99),
            each(plain),
            each(routed),
        );
        p50
    }
}

/// What is compared under Diesel, asynchronous or not.
pub(crate) struct Statements {
    pub(crate) one: Comparison,
    pub(crate) join: Comparison,
    pub(crate) write: Comparison,
    pub(crate) transaction: Comparison,
    /// Nobody reads what is written above. Where somebody does, it is asked where that ended.
    pub(crate) asked_write: Comparison,
    pub(crate) asked_transaction: Comparison,
}

impl Statements {
    pub(crate) fn new(allocator: &'static StatsAlloc<System>, rounds: Rounds) -> Result<Self, Error> {
        let new = |name| Comparison::new(name, allocator, rounds);
        Ok(Self {
            one: new("SELECT 1")?,
            join: new("join, 20 rows")?,
            write: new("write")?,
            transaction: new("transaction")?,
            asked_write: new("write, asked")?,
            asked_transaction: new("transaction, asked")?,
        })
    }

    /// Prints what was found, and returns the ratios in the order of the fields.
    pub(crate) fn ratios(self) -> [f64; 6] {
        let Self { one, join, write, transaction, asked_write, asked_transaction } = self;
        [one, join, write, transaction, asked_write, asked_transaction].map(Comparison::ratio)
    }
}

/// Measures one statement on one pair of pools, and prints and returns the ratio of their medians.
pub(crate) async fn compare(
    name: &'static str,
    allocator: &'static StatsAlloc<System>,
    rounds: Rounds,
    plain: impl AsyncFn() -> Result<(), Error>,
    routed: impl AsyncFn() -> Result<(), Error>,
) -> Result<f64, Error> {
    let mut comparison = Comparison::new(name, allocator, rounds)?;
    comparison.measure(plain, routed).await?;
    Ok(comparison.ratio())
}
