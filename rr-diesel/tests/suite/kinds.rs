//! Who serves which kind of statement: the servers' own logs tell.

use diesel::deserialize::{self, QueryableByName};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::row::NamedRow;
use diesel::sql_query;
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::TryStreamExt;
use rr_diesel::{RoutedPgConnection, RoutedPool};
use rr_tests::cluster::Cluster;

use crate::support::{PATIENCE, Result, boot_with, config, note};

mod builder;
mod table;

pub(crate) use builder::{each_built_query, on_standby};
use table::TABLE;
pub(crate) use table::{By, SETUP};

/// A row of whatever columns.
#[derive(Debug)]
pub(crate) struct Anything;

impl QueryableByName<Pg> for Anything {
    fn build<'a>(_: &impl NamedRow<'a, Pg>) -> deserialize::Result<Self> {
        Ok(Self)
    }
}

/// How a statement is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Execute,
    Load,
    /// One row after the other.
    Rows,
    Batch,
    Transaction,
    ReadOnly,
    Serializable,
}

impl How {
    pub(crate) const ALL: [Self; 7] = [
        Self::Execute,
        Self::Load,
        Self::Rows,
        Self::Batch,
        Self::Transaction,
        Self::ReadOnly,
        Self::Serializable,
    ];

    /// Who serves a statement that is run like this; nobody where it would only be refused.
    fn by(self, by: By) -> Option<By> {
        match (self, by) {
            (Self::Execute | Self::Load | Self::Rows, by) => Some(by),
            (Self::Batch, By::Kept) => Some(By::Kept),
            // The handle stays where it is for what a session keeps, also when the transaction is over.
            (Self::Transaction, By::Kept) => Some(By::Kept),
            (Self::Batch | Self::Transaction, _) => Some(By::Primary),
            (Self::ReadOnly | Self::Serializable, By::Both | By::Primary | By::Kept) => None,
            (Self::ReadOnly, By::Replica) => Some(By::Replica),
            (Self::Serializable, By::Replica) => Some(By::Primary),
        }
    }
}

/// A cluster of one primary and one standby, which log all that they run.
pub(crate) async fn talkative() -> Result<Cluster> {
    // What is written without a transaction of its own, as by `nextval`, is sent to the standby only with the next flush.
    let builder =
        Cluster::builder().replicas(1).setting("log_statement", "all").setting("wal_writer_delay", "5ms");
    let cluster = boot_with(builder).await?;
    cluster.primary().sql(SETUP).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    Ok(cluster)
}

/// Reads wait for the replica, so that they are never on the primary only because it is behind.
pub(crate) fn patient(cluster: &Cluster) -> Result<rr_core::Config> {
    Ok(config(cluster).with(|config| config.causal_wait = PATIENCE).build()?)
}

/// Runs each statement in each way; each time with a mark, and then a read with another.
pub(crate) fn marked(what: &str, how: How, sql: &str) -> (String, String) {
    (format!("{sql} /* {what}, {how:?} */"), format!("SELECT 1 /* after {what}, {how:?} */"))
}

/// Reads in the servers' logs who ran what, and compares that with the table.
pub(crate) fn compare(cluster: &Cluster) -> Result {
    let (primary, replica) = (cluster.primary().log(), cluster.replica(1)?.log());
    let who = |mark: &str| match (primary.contains(mark), replica.contains(mark)) {
        (true, false) => "primary",
        (false, true) => "replica",
        (true, true) => "both",
        (false, false) => "nobody",
    };
    let mut wrong = Vec::new();
    for &(what, by, _) in known_to(cluster) {
        for how in How::ALL {
            let Some(by) = how.by(by) else { continue };
            let expected = match by {
                By::Replica => ("replica", "replica"),
                By::Primary => ("primary", "replica"),
                By::Kept => ("primary", "primary"),
                By::Both => ("both", "replica"),
            };
            let got = (who(&format!("/* {what}, {how:?} */")), who(&format!("/* after {what}, {how:?} */")));
            if got != expected {
                wrong.push(format!("{what}, {how:?}: {got:?} instead of {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "(the statement, the read after it)\n{}", wrong.join("\n"));
    Ok(())
}

/// The table, as far as these servers know its statements: before PostgreSQL 15 there was no `MERGE`.
pub(crate) fn known_to(cluster: &Cluster) -> impl Iterator<Item = &'static (&'static str, By, &'static str)> {
    let lacks_merge = (1..15).contains(&cluster.programs().major());
    TABLE.iter().filter(move |(what, ..)| !(lacks_merge && *what == "merge"))
}

pub(crate) fn is_tried(how: How, by: By) -> bool {
    how.by(by).is_some()
}

async fn run(conn: &mut RoutedPgConnection, how: How, sql: &str) -> QueryResult<()> {
    let inside = async |conn: &mut RoutedPgConnection| {
        sql_query(sql).execute(conn).await?;
        QueryResult::Ok(())
    };
    match how {
        How::Execute => sql_query(sql).execute(conn).await.map(drop),
        How::Load => sql_query(sql).load::<Anything>(conn).await.map(drop),
        How::Rows => sql_query(sql).load_stream::<Anything>(conn).await?.try_for_each(async |_| Ok(())).await,
        How::Batch => conn.batch_execute(sql).await,
        How::Transaction => conn.transaction(inside).await,
        How::ReadOnly => conn.build_transaction().read_only().run(inside).await,
        How::Serializable => conn.build_transaction().read_only().serializable().run(inside).await,
    }
}

#[tokio::test]
async fn each_statement_is_served_by_whom_it_belongs_to() -> Result {
    let cluster = talkative().await?;
    let pool = RoutedPool::start(patient(&cluster)?).await?;
    for how in How::ALL {
        for &(what, by, sql) in known_to(&cluster).filter(|(_, by, _)| is_tried(how, *by)) {
            let (sql, after) = marked(what, how, sql);
            let conn = &mut pool.get().await?;
            run(conn, how, &sql).await.map_err(|error| format!("{what}, {how:?}, {by:?}: {error}"))?;
            sql_query(after).execute(conn).await?;
        }
    }
    compare(&cluster)
}

#[tokio::test]
async fn each_query_of_the_builder_is_served_by_whom_it_belongs_to() -> Result {
    let cluster = talkative().await?;
    let pool = RoutedPool::start(patient(&cluster)?).await?;
    // Twice: the second time the type of the query is known.
    for _ in 0..2 {
        let conn = &mut pool.get().await?;
        macro_rules! check {
            ($standby:expr, $query:expr) => {
                let rows: Vec<bool> = $query.load(conn).await?;
                assert_eq!(rows, [$standby], "{}", stringify!($query));
                let rows: Vec<bool> = $query.load_stream::<bool>(conn).await?.try_collect().await?;
                assert_eq!(rows, [$standby], "streamed: {}", stringify!($query));
            };
        }
        macro_rules! counts {
            ($count:expr, $query:expr) => {
                assert_eq!($query.execute(conn).await?, $count, "{}", stringify!($query));
            };
        }
        each_built_query!(check, counts);
    }
    Ok(())
}
