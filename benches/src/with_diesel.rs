//! What routing costs under diesel-async: the same statements through a plain pool and through a routed one.
//!
//! Reads of both go to the same standby, and writes to the same primary.

use std::alloc::System;
use std::hint::black_box;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Integer;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::bb8::Pool;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use rr_core::Config;
use rr_core::config::AskPositions;
use rr_diesel::RoutedPool;
use rr_tests::cluster::Node;
use stats_alloc::StatsAlloc;

use crate::counted::{self, PLAIN, ROUTED, named};
use crate::report::{Chart, Report};
use crate::side_by_side::{Rounds, Statements};
use crate::{Error, servers};

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

/// How often pools are opened.
pub(crate) const PAIRS: u32 = 15;

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
    cluster.wait_caught_up(servers::PATIENCE).await?;
    let [primary, standby] = [primary, standby].map(Node::direct_url);
    let config = Config::builder().primary(named(&primary, ROUTED)).replica(named(&standby, ROUTED));
    let config = config.build()?;
    let mut asking = config.clone();
    asking.ask_positions = AskPositions::Always;
    let rounds = Rounds::of(measured, if quick { 2 } else { PAIRS });

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
    let mut found = Statements::new(allocator, rounds)?;
    for _ in 0..rounds.pairs {
        let routed = RoutedPool::start(config.clone()).await?;
        let asking = RoutedPool::start(asking.clone()).await?;
        let reads = plain_pool(&named(&standby, PLAIN)).await?;
        let writes = plain_pool(&named(&primary, PLAIN)).await?;
        found.one.measure(one!(reads), one!(routed)).await?;
        found.join.measure(join!(reads), join!(routed)).await?;
        found.write.measure(write!(writes), write!(routed)).await?;
        found.transaction.measure(transaction!(writes), transaction!(routed)).await?;
        found.asked_write.measure(write!(writes), write!(asking)).await?;
        found.asked_transaction.measure(transaction!(writes), transaction!(asking)).await?;
    }
    let [one, join, write, transaction, asked_write, asked_transaction] = found.ratios();
    let read = one.max(join);
    let mut report = Report::default();
    report.chart(ratios("Diesel", one, join, write, transaction));
    report.line(
        None,
        &[("diesel_asked_tx_ratio", asked_transaction, 3), ("diesel_asked_write_ratio", asked_write, 3)],
    );
    if quick {
        counted::compare(&cluster, &mut report)?;
    }
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
