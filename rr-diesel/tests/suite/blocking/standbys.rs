//! What only standbys refuse.

use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;
use diesel::sql_query;
use rr_core::Connector as _;

use super::{RoutedConnection, RoutedPool, place};
use crate::standbys::{
    CAUSES, IN_THE_WAY, Standby, UNLOGGED, boot_impatient, boot_unlogged, conflict, said, scratch,
};
use crate::support::{Result, patient, until};

fn whole(conn: &mut RoutedConnection, sql: &str) -> QueryResult<Vec<Standby>> {
    sql_query(sql).load(conn)
}

fn by_rows(conn: &mut RoutedConnection, sql: &str) -> QueryResult<Vec<Standby>> {
    sql_query(sql).load_iter::<Standby, PgRowByRowLoadingMode>(conn)?.collect()
}

type Read = fn(&mut RoutedConnection, &str) -> QueryResult<Vec<Standby>>;

#[tokio::test(flavor = "multi_thread")]
async fn a_read_in_the_way_of_replay_is_answered_by_the_primary() -> Result {
    let cluster = boot_impatient().await?;
    let pool = RoutedPool::start(patient(&cluster).build()?)?;
    for cause in CAUSES {
        for read in [whole as Read, by_rows] {
            let mut conn = pool.handle();
            let reading = tokio::task::spawn_blocking(move || read(&mut conn, IN_THE_WAY));
            conflict(&cluster, cause).await?;
            assert_eq!(reading.await??, [Standby { standby: false }], "{cause}");
        }
    }
    until("the standby to serve again", async || Ok(place(&mut pool.handle())?.standby)).await?;
    assert_eq!(pool.router().connector().misroutes(), Some(0), "it is no write");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_standbys_lack_is_read_on_the_primary_and_that_is_learned() -> Result {
    let cluster = boot_unlogged().await?;
    // A learned write is one for those after it, which wait for the replica.
    let pool = RoutedPool::start(patient(&cluster).build()?)?;
    let replica = cluster.replica(1)?;
    let asked = |times: u64| {
        assert_eq!(pool.router().connector().misroutes(), Some(times));
        assert_eq!(u64::try_from(said(replica, UNLOGGED)).ok(), Some(times), "asked once and never again");
    };
    for _ in 0..3 {
        assert_eq!(scratch::table.select(scratch::id).load::<i32>(&mut pool.handle())?, [7]);
        asked(1);
    }
    let text = "SELECT on_standby() AS standby FROM scratch";
    for (times, read, sql) in [(2, whole as Read, text.to_owned()), (3, by_rows, format!("{text} LIMIT 1"))] {
        for _ in 0..3 {
            assert_eq!(read(&mut pool.handle(), &sql)?, [Standby { standby: false }]);
            asked(times);
        }
    }
    Ok(())
}
