//! What routing costs under diesel-async: the same statements through a plain pool and through a routed one.
//!
//! The two take turns, statement by statement, so that both meet the same machine. Reads of both go to the same standby,
//! and writes to the same primary.

use std::alloc::System;
use std::hint::black_box;
use std::time::Duration;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Integer;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::bb8::Pool;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use hdrhistogram::Histogram;
use rr_core::Config;
use rr_core::time::{Clock, Moment};
use rr_diesel::RoutedPool;
use rr_tests::cluster::Node;
use stats_alloc::{Region, StatsAlloc};

use crate::counted::{self, PLAIN, ROUTED, named};
use crate::report::{Chart, Report};
use crate::{Error, servers};

/// How often a statement is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds {
    pub(crate) warm_up: u32,
    pub(crate) measured: u32,
}

impl Rounds {
    /// So many that are measured.
    pub(crate) const fn of(measured: u32) -> Self {
        Self { warm_up: measured.div_ceil(20), measured }
    }
}

diesel::table! {
    author (id) {
        id -> Integer,
        name -> Text,
    }
}
diesel::table! {
    book (id) {
        id -> Integer,
        author_id -> Integer,
        title -> Text,
    }
}
diesel::joinable!(book -> author (author_id));
diesel::allow_tables_to_appear_in_same_query!(author, book);

pub(crate) const SETUP: &str = "CREATE TABLE author (id int PRIMARY KEY, name text NOT NULL); \
    CREATE TABLE book (id int PRIMARY KEY, author_id int NOT NULL, title text NOT NULL); \
    INSERT INTO author SELECT n, 'author ' || n FROM generate_series(1, 50) n; \
    INSERT INTO book SELECT n, 1 + n % 50, 'title ' || n FROM generate_series(1, 1000) n; \
    CREATE INDEX ON book (author_id); ANALYZE;";

/// Times of one side, and what it allocated.
struct Side {
    times: Histogram<u64>,
    allocations: usize,
}

impl Side {
    fn new() -> Result<Self, Error> {
        Ok(Self { times: Histogram::new(3)?, allocations: 0 })
    }

    fn micros(&self, quantile: f64) -> f64 {
        Duration::from_nanos(self.times.value_at_quantile(quantile)).as_secs_f64() * 1e6
    }
}

/// Measures one statement on both sides in turn, and prints and returns the ratio of their medians.
pub(crate) async fn compare(
    name: &str,
    allocator: &'static StatsAlloc<System>,
    Rounds { warm_up, measured }: Rounds,
    plain: impl AsyncFn() -> Result<(), Error>,
    routed: impl AsyncFn() -> Result<(), Error>,
) -> Result<f64, Error> {
    let clock = Clock::start();
    let mut sides = [Side::new()?, Side::new()?];
    for round in 0..warm_up + measured {
        for turn in 0..2 {
            let which = usize::from((round % 2 == 0) == (turn == 0));
            let region = Region::new(allocator);
            let begun: Moment = clock.now();
            if which == 0 {
                plain().await?
            } else {
                routed().await?
            }
            let took = clock.now().since(begun);
            if round >= warm_up {
                sides[which].times.record(u64::try_from(took.as_nanos())?)?;
                sides[which].allocations += region.change().allocations;
            }
        }
    }
    let [plain, routed] = &sides;
    let (p50, mean) = (routed.micros(0.5) / plain.micros(0.5), routed.times.mean() / plain.times.mean());
    let each = |side: &Side| side.allocations / measured.max(1) as usize;
    println!(
        "{name:<17} plain p50 {:>7.2} µs, routed p50 {:>7.2} µs; ratio p50 {p50:.3}, mean {mean:.3}; \
         p99 {:.2} and {:.2} µs; allocations {} and {}",
        plain.micros(0.5),
        routed.micros(0.5),
        plain.micros(0.99),
        routed.micros(0.99),
        each(plain),
        each(routed),
    );
    Ok(p50)
}

/// As many connections as a routed pool has by default.
pub(crate) async fn plain_pool(url: &str) -> Result<Pool<AsyncPgConnection>, Error> {
    plain_pool_of(url, 10).await
}

pub(crate) async fn plain_pool_of(url: &str, connections: u32) -> Result<Pool<AsyncPgConnection>, Error> {
    let manager = AsyncDieselConnectionManager::<AsyncPgConnection>::new(url);
    Ok(Pool::builder().max_size(connections).test_on_check_out(false).build(manager).await?)
}

/// What each statement takes, in times of what it takes through a plain pool.
pub(crate) fn ratios(orm: &str, one: f64, join: f64, write: f64, transaction: f64) -> Chart {
    let rows = [("SELECT 1", one), ("join, 20 rows", join), ("write", write), ("transaction", transaction)];
    Chart {
        name: orm.to_lowercase(),
        title: format!("{orm}: a routed statement, in times of the same one through a plain pool (median)"),
        unit: String::from("×"),
        series: Vec::new(),
        rows: rows.into_iter().map(|(name, ratio)| (String::from(name), vec![ratio])).collect(),
    }
}

/// Measures each statement so often. In the short form the servers write down who ran what, and both must have run the same.
pub(crate) async fn run(
    allocator: &'static StatsAlloc<System>,
    measured: u32,
    quick: bool,
) -> Result<Report, Error> {
    let settings = if quick { counted::written_down } else { |cluster| cluster };
    let cluster = servers::boot_as(settings).await?;
    let (primary, standby) = (cluster.primary(), cluster.replica(1)?);
    primary.sql(SETUP).await?;
    cluster.wait_caught_up(Duration::from_secs(20)).await?;
    let [primary, standby] = [primary, standby].map(Node::direct_url);
    let config = Config::builder().primary(named(&primary, ROUTED)).replica(named(&standby, ROUTED));
    let routed = RoutedPool::start(config.build()?).await?;
    let reads = plain_pool(&named(&standby, PLAIN)).await?;
    let writes = plain_pool(&named(&primary, PLAIN)).await?;
    let rounds = Rounds::of(measured);

    macro_rules! with {
        ($pool:expr, $conn:ident => $body:expr) => {
            async || {
                let mut handle = $pool.get().await?;
                let $conn = &mut handle;
                black_box($body);
                Ok(())
            }
        };
    }
    macro_rules! one {
        ($pool:expr) => {
            with!($pool, conn => diesel::select(1.into_sql::<Integer>()).get_result::<i32>(conn).await?)
        };
    }
    macro_rules! join {
        ($pool:expr) => {
            with!($pool, conn => {
                let books = book::table.inner_join(author::table).filter(author::id.eq(7));
                let found: Vec<(i32, String, String)> =
                    books.select((book::id, book::title, author::name)).load(conn).await?;
                found
            })
        };
    }
    macro_rules! write {
        ($pool:expr) => {
            with!($pool, conn => {
                let one = author::table.find(7);
                diesel::update(one).set(author::name.eq(sql("name"))).execute(conn).await?
            })
        };
    }
    macro_rules! transaction {
        ($pool:expr) => {
            with!($pool, conn => conn.transaction::<_, diesel::result::Error, _>(async |conn| {
                let name: String = author::table.find(8).select(author::name).first(conn).await?;
                diesel::update(author::table.find(8)).set(author::name.eq(name)).execute(conn).await
            }).await?)
        };
    }
    let one = compare("SELECT 1", allocator, rounds, one!(reads), one!(routed)).await?;
    let join = compare("join, 20 rows", allocator, rounds, join!(reads), join!(routed)).await?;
    let write = compare("write", allocator, rounds, write!(writes), write!(routed)).await?;
    let transaction =
        compare("transaction", allocator, rounds, transaction!(writes), transaction!(routed)).await?;
    let read = one.max(join);
    let mut report = Report::default();
    if quick {
        counted::compare(&cluster, &mut report)?;
    }
    report.chart(ratios("Diesel", one, join, write, transaction));
    report.line(
        None,
        &[
            ("diesel_read_ratio", read, 3),
            ("diesel_tx_ratio", transaction, 3),
            ("diesel_write_ratio", write, 3),
        ],
    );
    Ok(report)
}
