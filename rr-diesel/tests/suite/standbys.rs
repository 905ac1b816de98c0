//! What only standbys refuse: a read that stands in the way of replay, and tables that they do not have.

use diesel::prelude::*;
use diesel::sql_query;
use diesel_async::RunQueryDsl;
use futures_util::TryStreamExt;
use rr_core::Connector as _;
use rr_diesel::RoutedPool;
use rr_tests::cluster::{Cluster, Node};

use crate::support::{PATIENCE, Result, boot, boot_with, patient, running, until};

#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub(crate) struct Standby {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    pub(crate) standby: bool,
}

diesel::table! {
    scratch (id) {
        id -> Integer,
    }
}

/// Never ends on a standby, where it holds its table and a snapshot, and at once on the primary. One row, whatever there is.
pub(crate) const IN_THE_WAY: &str = "SELECT on_standby() AS standby, \
    CASE WHEN on_standby() THEN pg_sleep(600) END FROM (VALUES (1)) AS one (id) LEFT JOIN note ON note.id < 2";

/// A standby that ends a read when replay has waited for it a moment.
pub(crate) async fn boot_impatient() -> Result<Cluster> {
    let builder = Cluster::builder().replicas(1);
    let builder =
        builder.setting("max_standby_streaming_delay", "10ms").setting("hot_standby_feedback", "off");
    let cluster = boot_with(builder).await?;
    cluster.primary().sql("INSERT INTO note VALUES (1, 'kept')").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    Ok(cluster)
}

/// What a standby cannot replay beside the read: old rows that go from a page that it looks at, and an exclusive lock.
pub(crate) const CAUSES: [&str; 2] = ["VACUUM note", "TRUNCATE note"];

/// What the server says of it.
const CONFLICT: &str = "canceling statement due to conflict with recovery";

/// Waits for the read and lets the primary do that.
pub(crate) async fn conflict(cluster: &Cluster, cause: &str) -> Result {
    let replica = cluster.replica(1)?;
    let is_running = async || Ok(running(replica, "%pg_sleep(600)%").await? > 0);
    until("the read to run", is_running).await?;
    let before = said(replica, CONFLICT);
    until("the conflict", async || {
        // Old rows, without which there is nothing to clean up. Whoever looks at the primary may keep them for a moment.
        cluster.primary().sql("INSERT INTO note VALUES (2, 'dead'); DELETE FROM note WHERE id = 2").await?;
        cluster.primary().sql(cause).await?;
        Ok(!is_running().await?)
    })
    .await?;
    assert!(said(replica, CONFLICT) > before, "{cause}: {}", replica.log_tail());
    Ok(())
}

/// How often a server has said this.
pub(crate) fn said(node: &Node, text: &str) -> usize {
    node.log_tail().matches(text).count()
}

#[tokio::test]
async fn a_read_in_the_way_of_replay_is_answered_by_the_primary() -> Result {
    let cluster = boot_impatient().await?;
    let pool = RoutedPool::start(patient(&cluster).build()?).await?;
    for cause in CAUSES {
        let reading = async { sql_query(IN_THE_WAY).get_result::<Standby>(&mut pool.handle()).await };
        let (read, ended) = tokio::join!(reading, conflict(&cluster, cause));
        ended?;
        assert_eq!(read?, Standby { standby: false }, "{cause}");
        let reading = async {
            let mut conn = pool.handle();
            let rows = sql_query(IN_THE_WAY).load_stream::<Standby>(&mut conn).await?;
            rows.try_collect::<Vec<_>>().await
        };
        let (rows, ended) = tokio::join!(reading, conflict(&cluster, cause));
        ended?;
        assert_eq!(rows?, [Standby { standby: false }], "{cause}");
    }
    let back = async || {
        let there: Standby =
            sql_query("SELECT on_standby() AS standby").get_result(&mut pool.handle()).await?;
        Ok(there.standby)
    };
    until("the standby to serve again", back).await?;
    assert_eq!(pool.router().connector().misroutes(), Some(0), "it is no write");
    Ok(())
}

/// What a standby says of a table whose rows it does not get.
pub(crate) const UNLOGGED: &str = "cannot access temporary or unlogged relations during recovery";

pub(crate) async fn boot_unlogged() -> Result<Cluster> {
    let cluster = boot(1).await?;
    cluster.primary().sql("CREATE UNLOGGED TABLE scratch (id int); INSERT INTO scratch VALUES (7)").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    Ok(cluster)
}

#[tokio::test]
async fn a_table_that_standbys_lack_is_read_on_the_primary_and_that_is_learned() -> Result {
    let cluster = boot_unlogged().await?;
    // A learned write is one for those after it, which wait for the replica.
    let pool = RoutedPool::start(patient(&cluster).build()?).await?;
    let replica = cluster.replica(1)?;
    let asked = |times: u64| {
        assert_eq!(pool.router().connector().misroutes(), Some(times));
        assert_eq!(
            u64::try_from(said(replica, UNLOGGED)).ok(),
            Some(times),
            "the replica is asked once and never again"
        );
    };
    for _ in 0..3 {
        let ids: Vec<i32> = scratch::table.select(scratch::id).load(&mut pool.handle()).await?;
        assert_eq!(ids, [7]);
        asked(1);
    }
    let text = "SELECT on_standby() AS standby FROM scratch";
    for _ in 0..3 {
        let there: Standby = sql_query(text).get_result(&mut pool.handle()).await?;
        assert!(!there.standby);
        asked(2);
    }
    for _ in 0..3 {
        let mut conn = pool.handle();
        let rows = sql_query(format!("{text} LIMIT 1")).load_stream::<Standby>(&mut conn).await?;
        assert_eq!(rows.try_collect::<Vec<_>>().await?, [Standby { standby: false }]);
        asked(3);
    }
    Ok(())
}
