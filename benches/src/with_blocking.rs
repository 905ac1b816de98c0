//! What routing costs under Diesel's own connections: as [`with_diesel`](crate::with_diesel), against r2d2's pool.

use std::alloc::System;
use std::hint::black_box;
use std::time::Duration;

use diesel::PgConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};
use diesel::sql_types::Integer;
use rr_core::Config;
use rr_diesel::blocking::RoutedPool;
use stats_alloc::StatsAlloc;

use crate::report::Report;
use crate::with_diesel::{Rounds, SETUP, author, book, compare, ratios};
use crate::{Error, servers};

fn plain_pool(url: &str) -> Result<Pool<ConnectionManager<PgConnection>>, Error> {
    Ok(Pool::builder().test_on_check_out(false).max_size(1).build(ConnectionManager::new(url))?)
}

pub(crate) async fn run(allocator: &'static StatsAlloc<System>) -> Result<Report, Error> {
    let cluster = servers::boot().await?;
    let (primary, standby) = (cluster.primary(), cluster.replica(1)?);
    primary.sql(SETUP).await?;
    cluster.wait_caught_up(Duration::from_secs(20)).await?;
    let config =
        Config::builder().primary(primary.direct_url().as_str()).replica(standby.direct_url().as_str());
    let routed = RoutedPool::<PgConnection>::start(config.build()?)?;
    let routed = || Ok::<_, Error>(routed.get()?);
    let (reads, writes) = (plain_pool(&standby.direct_url())?, plain_pool(&primary.direct_url())?);
    let reads = || Ok::<_, Error>(reads.get()?);
    let writes = || Ok::<_, Error>(writes.get()?);

    macro_rules! with {
        ($get:expr, $conn:ident => $body:expr) => {
            async || {
                let mut handle = $get()?;
                let $conn = &mut handle;
                black_box($body);
                Ok(())
            }
        };
    }
    macro_rules! one {
        ($get:expr) => {
            with!($get, conn => diesel::select(1.into_sql::<Integer>()).get_result::<i32>(conn)?)
        };
    }
    macro_rules! join {
        ($get:expr) => {
            with!($get, conn => {
                let books = book::table.inner_join(author::table).filter(author::id.eq(7));
                books.select((book::id, book::title, author::name)).load::<(i32, String, String)>(conn)?
            })
        };
    }
    macro_rules! write {
        ($get:expr) => {
            with!($get, conn => {
                let one = author::table.find(7);
                diesel::update(one).set(author::name.eq(sql("name"))).execute(conn)?
            })
        };
    }
    macro_rules! transaction {
        ($get:expr) => {
            with!($get, conn => conn.transaction::<_, diesel::result::Error, _>(|conn| {
                let name: String = author::table.find(8).select(author::name).first(conn)?;
                diesel::update(author::table.find(8)).set(author::name.eq(name)).execute(conn)
            })?)
        };
    }
    let rounds = Rounds::of(20_000);
    let one = compare("SELECT 1", allocator, rounds, one!(reads), one!(routed)).await?;
    let join = compare("join, 20 rows", allocator, rounds, join!(reads), join!(routed)).await?;
    let write = compare("write", allocator, rounds, write!(writes), write!(routed)).await?;
    let transaction =
        compare("transaction", allocator, rounds, transaction!(writes), transaction!(routed)).await?;
    let read = one.max(join);
    let mut report = Report::default();
    report.chart(ratios("Blocking", one, join, write, transaction));
    report.line(
        None,
        &[
            ("blocking_read_ratio", read, 3),
            ("blocking_tx_ratio", transaction, 3),
            ("blocking_write_ratio", write, 3),
        ],
    );
    Ok(report)
}
