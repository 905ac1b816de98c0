//! What only a standby refuses: a read in the way of replay, and tables that it does not have.

use futures_util::TryStreamExt;
use rr_core::Connector as _;
use rr_core::config::Unscoped;
use rr_tests::cluster::{Cluster, Node};
use sea_orm::{ConnectionTrait, StreamTrait};

use crate::support::{
    PATIENCE, Result, ask, boot, boot_with, config, in_flight, raw, standby_pid, standby_serves, started,
    until,
};

/// Holds a snapshot and a lock on `note` for as long as nobody cancels it, on a standby only.
const HELD: &str = "SELECT pg_sleep(CASE WHEN on_standby() THEN 600 ELSE 0 END), \
                    (SELECT count(*) FROM note) AS notes, on_standby() AS standby";

/// A backend that sleeps has its snapshot and its locks: one that is merely active may not yet have them.
async fn sleeps(node: &Node) -> Result<bool> {
    let sql = "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    Ok(node.admin_query_text(sql).await? == "1")
}

#[tokio::test]
async fn a_read_in_the_way_of_replay_is_answered_elsewhere() -> Result {
    // With feedback the primary would keep what the read may still see.
    let builder = Cluster::builder()
        .replicas(1)
        .node_setting("replica-1", "hot_standby_feedback", "off")
        .node_setting("replica-1", "max_standby_streaming_delay", "10ms");
    let cluster = boot_with(builder).await?;
    let db = &started(config(&cluster).with(|config| config.pool.replica.max = 1)).await?;
    let replica = cluster.replica(1)?;
    let cancelled = || replica.log().matches("canceling statement due to conflict with recovery").count();
    let mut conflicts = 0;
    for way in [&["TRUNCATE note"][..], &["DELETE FROM note", "VACUUM note"]] {
        for streamed in [false, true] {
            cluster.primary().sql("INSERT INTO note (text) VALUES ('a'), ('b'), ('c')").await?;
            cluster.wait_caught_up(PATIENCE).await?;
            let pid = standby_pid(db).await?;
            let reading = async {
                let mut rows = match streamed {
                    false => db.query_all_raw(raw(HELD)).await?,
                    true => db.stream_raw(raw(HELD)).await?.try_collect().await?,
                };
                let row = rows.pop().ok_or("a row")?;
                assert_eq!(rows.len(), 0);
                Ok::<(i64, bool), Box<dyn std::error::Error>>((
                    row.try_get("", "notes")?,
                    row.try_get("", "standby")?,
                ))
            };
            let disturbing = async {
                until("the read to hold its snapshot", async || sleeps(replica).await).await?;
                for statement in way {
                    cluster.primary().sql(statement).await?;
                }
                Ok(())
            };
            let (answer, ()) = tokio::try_join!(reading, disturbing)?;
            assert_eq!(answer, (0, false), "{way:?}, streamed: {streamed}: the primary answers");
            conflicts += 1;
            assert_eq!(cancelled(), conflicts, "{way:?}, streamed: {streamed}: the standby had cancelled it");
            assert_eq!(in_flight(db), [Some(0); 2]);
            assert_eq!(standby_pid(db).await?, pid, "the connection is as good as before");
        }
    }
    assert_eq!(db.router().connector().misroutes(), Some(0), "it is a read all the same");
    Ok(())
}

#[tokio::test]
async fn a_table_that_standbys_lack_is_read_on_the_primary_and_that_is_learned() -> Result {
    let cluster = boot(1).await?;
    cluster.primary().sql("CREATE UNLOGGED TABLE scratch AS SELECT generate_series(1, 3) AS n").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let db = &started(config(&cluster)).await?;
    let replica = cluster.replica(1)?;
    let refused = || replica.log().matches("cannot access temporary or unlogged relations").count();
    for round in 1..=3 {
        standby_serves(db).await?;
        assert_eq!(ask::<i64>(db, "SELECT count(*) FROM scratch").await?, 3, "round {round}");
        assert_eq!(refused(), 1, "round {round}: the standby is asked once and never again");
        assert_eq!(db.router().connector().misroutes(), Some(1), "round {round}");
    }
    for round in 1..=3 {
        standby_serves(db).await?;
        let rows = db.stream_raw(raw("SELECT n FROM scratch")).await?.try_collect::<Vec<_>>().await?;
        assert_eq!(rows.len(), 3, "round {round}");
        assert_eq!((refused(), db.router().connector().misroutes()), (2, Some(2)), "round {round}");
    }
    assert_eq!(in_flight(db), [Some(0); 2]);
    Ok(())
}

/// Replicas have none of what fills it for as long as they have not replayed that, and say that it is not filled.
#[tokio::test]
async fn a_view_that_is_not_filled_there_yet_is_read_on_the_primary() -> Result {
    let cluster = boot(1).await?;
    let setup = "CREATE MATERIALIZED VIEW late AS SELECT 7 AS id WITH NO DATA; \
                 CREATE VIEW early AS SELECT id FROM late";
    cluster.primary().sql(setup).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let db = &started(config(&cluster).with(|config| config.unscoped = Unscoped::Eventual)).await?;
    assert_eq!(ask::<i32>(db, "SELECT 5").await?, 5);
    cluster.replica(1)?.pause_replay().await?;
    cluster.primary().sql("REFRESH MATERIALIZED VIEW late").await?;
    assert_eq!(ask::<i32>(db, "SELECT id FROM early").await?, 7);
    let refused = cluster.replica(1)?.log().matches("\"late\" has not been populated").count();
    assert_eq!(refused, 1, "the replica was asked");
    Ok(())
}
