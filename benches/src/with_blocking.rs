//! What routing costs under Diesel's own connections: as [`with_diesel`](crate::with_diesel), against r2d2's pool.

use std::alloc::System;
use std::hint::black_box;

use diesel::PgConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};
use diesel::sql_types::Integer;
use rr_core::Config;
use rr_core::config::AskPositions;
use rr_diesel::blocking::RoutedPool;
use stats_alloc::StatsAlloc;

use crate::report::Report;
use crate::side_by_side::{Rounds, Statements};
use crate::with_diesel::{PAIRS, SETUP, author, book, ratios};
use crate::{Error, servers};

fn plain_pool(url: &str) -> Result<Pool<ConnectionManager<PgConnection>>, Error> {
    Ok(Pool::builder().test_on_check_out(false).max_size(1).build(ConnectionManager::new(url))?)
}

pub(crate) async fn run(allocator: &'static StatsAlloc<System>) -> Result<Report, Error> {
    let cluster = servers::boot().await?;
    let (primary, standby) = (cluster.primary(), cluster.replica(1)?);
    primary.sql(SETUP).await?;
    cluster.wait_caught_up(servers::PATIENCE).await?;
    let config =
        Config::builder().primary(primary.direct_url().as_str()).replica(standby.direct_url().as_str());
    let config = config.build()?;
    let mut asking = config.clone();
    asking.ask_positions = AskPositions::Always;
    let rounds = Rounds::of(20_000, PAIRS);

    macro_rules! with {
        ($pool:expr, $conn:ident => $body:expr) => {
            async || {
                let mut handle = $pool.get()?;
                let $conn = &mut handle;
                black_box($body);
                Ok(())
            }
        };
    }
    macro_rules! one {
        ($pool:expr) => {
            with!($pool, conn => diesel::select(1.into_sql::<Integer>()).get_result::<i32>(conn)?)
        };
    }
    macro_rules! join {
        ($pool:expr) => {
            with!($pool, conn => {
                let books = book::table.inner_join(author::table).filter(author::id.eq(7));
                books.select((book::id, book::title, author::name)).load::<(i32, String, String)>(conn)?
            })
        };
    }
    macro_rules! write {
        ($pool:expr) => {
            with!($pool, conn => {
                let one = author::table.find(7);
                diesel::update(one).set(author::name.eq(sql("name"))).execute(conn)?
            })
        };
    }
    macro_rules! transaction {
        ($pool:expr) => {
            with!($pool, conn => conn.transaction::<_, diesel::result::Error, _>(|conn| {
                let name: String = author::table.find(8).select(author::name).first(conn)?;
                diesel::update(author::table.find(8)).set(author::name.eq(name)).execute(conn)
            })?)
        };
    }
    let mut found = Statements::new(allocator, rounds)?;
    for _ in 0..rounds.pairs {
        let routed = RoutedPool::<PgConnection>::start(config.clone())?;
        let asking = RoutedPool::<PgConnection>::start(asking.clone())?;
        let reads = plain_pool(&standby.direct_url())?;
        let writes = plain_pool(&primary.direct_url())?;
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
    report.chart(ratios("Blocking", one, join, write, transaction));
    report.line(
        None,
        &[("blocking_asked_tx_ratio", asked_transaction, 3), ("blocking_asked_write_ratio", asked_write, 3)],
    );
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
