//! What it costs that somebody watches: the same decision with nobody, with a reader of metrics, with an observer, with spans.

use std::alloc::System;
use std::hint::black_box;
use std::sync::Arc;

use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use rr_core::observe::{Ended, Facts, RouteObserver};
use rr_core::{Outcome, Request, Router};
use stats_alloc::{Region, StatsAlloc};
use tokio::runtime::Runtime;
use tracing_subscriber::filter::LevelFilter;

use super::{MadeUp, configured, ten, timed};
use crate::Error;

/// An observer that does nothing: what is measured is that it is told.
struct Idle;

impl RouteObserver for Idle {
    fn ended(&self, facts: &Facts, _: Ended) {
        black_box(facts);
    }
}

/// Of sixteen nodes, balanced by default.
pub(super) fn run(runtime: &Runtime, allocator: &StatsAlloc<System>) -> Result<(), Error> {
    println!("watched, 16 nodes, p2c; one statement = decision + end");
    println!("{:<28} {:>8} {:>8} {:>14}", "who watches", "p50 ns", "p99 ns", "allocs/10000");
    let row = |what: &str, router: &Router<MadeUp>| -> Result<(), Error> {
        let histogram = timed(|| statement(router))?;
        runtime.block_on(router.shutdown());
        let region = Region::new(allocator);
        (0..10_000).for_each(|_| statement(router));
        let allocations = region.change().allocations;
        let ns = |quantile| ten(histogram.value_at_quantile(quantile));
        println!("{what:<28} {:>8.1} {:>8.1} {allocations:>14}", ns(0.5), ns(0.99));
        Ok(())
    };
    let plain = || runtime.block_on(async { configured(16, |builder| builder).await });
    row("nobody", &plain()?)?;
    let idle = |one_in| runtime.block_on(configured(16, |b| b.observer_of_one_in(one_in, Arc::new(Idle))));
    row("an observer", &idle(1)?)?;
    row("an observer of 1 in 100", &idle(100)?)?;
    let listening = |level| {
        let subscriber = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::sink);
        tracing_subscriber::util::SubscriberInitExt::set_default(subscriber.finish())
    };
    for (what, level) in [("a subscriber at INFO", LevelFilter::INFO), ("spans at DEBUG", LevelFilter::DEBUG)]
    {
        let _listening = listening(level);
        row(what, &plain()?)?;
    }
    // The last one, since it cannot be taken back.
    let reader = PeriodicReader::builder(InMemoryMetricExporter::default()).build();
    opentelemetry::global::set_meter_provider(SdkMeterProvider::builder().with_reader(reader).build());
    row("a reader of metrics", &plain()?)
}

fn statement(router: &Router<MadeUp>) {
    let request = Request::read(router.requirement(None, None));
    if let Ok(route) = black_box(router.route(&request)) {
        route.runs("SELECT 1");
        route.finish(Outcome::Answered);
    }
}
