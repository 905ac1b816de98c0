//! Promotions that the router makes.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::try_join_all;
use rr_core::Session;
use rr_core::config::FailoverMode;
use rr_core::topology::Quarantine;
use tokio::task::JoinSet;

use super::{Application, Failure, Said, first_write_is_told, leader, pooled, promoting};
use crate::cluster::{Cluster, Node};
use crate::load::Load;
use crate::wait::{PATIENCE, until};

/// An old primary that comes back as it was, and takes writes, gets none and is not read from.
///
/// # Errors
/// When it is, a read failed, or the new primary does not have every answered write once.
pub async fn an_old_primary_comes_back<A: Application>() -> Result<(), Failure> {
    let all = Cluster::builder().replicas(2).synchronous(["replica-1", "replica-2"]);
    let (cluster, db) = promoting::<A>(all, FailoverMode::Automatic).await?;
    let (old, load) = (cluster.primary(), db.load());
    load.writes(50).await?;
    old.crash().await?;
    load.writes(50).await?;
    // Nobody gets to it before it was asked what it has.
    old.link().cut().await?;
    old.start().await?;
    // Whoever only tries to write takes a number.
    let next = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text";
    let before = old.admin_query_text(next).await?;
    old.link().heal().await?;
    let stale = async || {
        let topology = db.router().topology();
        Ok(topology.nodes().iter().any(|node| node.quarantine == Some(Quarantine::StalePrimary)))
    };
    until("the old primary to be quarantined", stale).await?;
    load.writes(50).await?;
    let done = load.end().await?;
    let leader = leader(&cluster, db.router())?;
    let missing = done.missing_on(leader).await?;
    if done.reads == 0 || done.failed_reads > 0 || !missing.is_empty() || leader.name() == old.name() {
        return Err(format!("{done:?}, missing on {}: {missing:?}", leader.name()).into());
    }
    if old.admin_query_text(next).await? != before {
        return Err("the old primary was written to".into());
    }
    until("nobody to be connected to the old primary", async || Ok(pooled(old).await? == 0)).await?;
    // It would have taken it.
    old.sql("SET synchronous_commit = local; INSERT INTO note (text) VALUES ('of another world')").await?;
    first_write_is_told(db.router(), true).await
}

/// A function that does not return before [`GATE`] is open, and says which server process ran it since when.
const PASS: &str = "\
    CREATE FUNCTION pass() RETURNS text STABLE LANGUAGE plpgsql AS \
    'BEGIN PERFORM pg_advisory_lock_shared(7); PERFORM pg_advisory_unlock_shared(7); \
     RETURN pg_backend_pid() || '' '' || extract(epoch FROM statement_timestamp()); END'";
const GATE: &str = "SELECT pg_advisory_lock(7)";
const AGAIN: &str = "SELECT pg_advisory_unlock(7); SELECT pg_advisory_lock(7)";

/// The reads that wait on a server, as these will say of themselves.
async fn waiting(node: &Node) -> Result<HashSet<String>, Failure> {
    let list = "SELECT coalesce(string_agg(pid || ' ' || extract(epoch FROM query_start), ','), '') \
                FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%pass()%'";
    let list = node.admin_query_text(list).await?;
    Ok(list.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect())
}

/// Reads that run on the replicas while one of these is promoted, and the other one pointed to it, end where they began.
///
/// # Errors
/// When one did not.
pub async fn reads_under_way_are_not_disturbed<A: Application>() -> Result<(), Failure> {
    const READS: usize = 8;
    let (cluster, db) = promoting::<A>(Cluster::builder().replicas(2), FailoverMode::Automatic).await?;
    cluster.primary().sql(PASS).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let gates = try_join_all(cluster.replicas().iter().map(Node::direct)).await?;
    for gate in &gates {
        gate.batch_execute(GATE).await?;
    }
    let mut reads = JoinSet::new();
    let under_way = async || try_join_all(cluster.replicas().iter().map(waiting)).await;
    let all = async || {
        // Whoever did not get through to a replica in time was answered by the primary.
        while let Some(read) = reads.try_join_next() {
            read??;
        }
        while reads.len() < READS {
            let db = db.clone();
            reads.spawn(async move { db.read("SELECT pass() AS text").await });
        }
        let waiting = under_way().await?;
        let count: usize = waiting.iter().map(HashSet::len).sum();
        let everywhere = waiting.iter().all(|on_one| !on_one.is_empty());
        if count == READS && !everywhere {
            // All went to the same one, and would stay: they end, and others begin.
            for gate in &gates {
                gate.batch_execute(AGAIN).await?;
            }
        }
        Ok(count == READS && everywhere)
    };
    until("reads to be under way on both replicas", all).await?;
    let before = under_way().await?;
    cluster.primary().crash().await?;
    db.write("after").await?;
    until("the promotion to end", async || Ok(!db.router().failover().history().is_empty())).await?;
    let leader = leader(&cluster, db.router())?;
    let sibling = cluster.replicas().iter().find(|node| node.name() != leader.name()).ok_or("a sibling")?;
    sibling.repointed(leader).await?;
    if under_way().await? != before {
        return Err(format!("{before:?}, but now {:?}", under_way().await?).into());
    }
    drop(gates);
    let mut answers = HashSet::new();
    while let Some(read) = reads.join_next().await {
        answers.insert(read??);
    }
    let began: HashSet<String> = before.into_iter().flatten().collect();
    if answers != began {
        return Err(format!("{began:?} began, {answers:?} ended").into());
    }
    Ok(())
}

/// What a primary answered and no replica has is lost with it: each session that wrote such a thing hears so.
/// Whoever has read since then, and knows of nothing that is lost, does not.
///
/// # Errors
/// When this is not so, or nothing was lost.
pub async fn whoever_lost_a_write_is_told<A: Application>() -> Result<(), Failure> {
    let (cluster, db) = promoting::<A>(Cluster::builder().replicas(2), FailoverMode::Automatic).await?;
    for replica in cluster.replicas() {
        let link = replica.upstream_link().ok_or("a link")?;
        link.delay(Duration::from_millis(2)).await?;
    }
    let answered = Answered::default();
    let load = Load::start(
        &(db.clone(), Arc::clone(&answered)),
        |((db, answered), text): ((A, Answered), String)| async move {
            let session = Session::new();
            db.of(&session).write(&text).await.map_err(|error| error.to_string())?;
            answered.lock().unwrap_or_else(PoisonError::into_inner).push((text, session));
            Ok(())
        },
        |(db, _): (A, _)| async move {
            db.read("SELECT count(*)::text AS text FROM note")
                .await
                .map(drop)
                .map_err(|error| error.to_string())
        },
    );
    load.writes(50).await?;
    // All that these wrote is kept, though nobody has looked where that ended: the primary was asked often enough since.
    let early = taken(&answered);
    let asked = db.router().now() + Duration::from_millis(300);
    until("the primary to be asked", async || {
        Ok(db.router().topology().primary().is_ok_and(|primary| primary.sampled_at >= Some(asked)))
    })
    .await?;
    cluster.wait_caught_up(PATIENCE).await?;
    for replica in cluster.replicas() {
        replica.upstream_link().ok_or("a link")?.cut().await?;
    }
    load.writes(20).await?;
    cluster.primary().crash().await?;
    load.writes(50).await?;
    let done = load.end().await?;
    let lost = done.missing_on(leader(&cluster, db.router())?).await?;
    let late = taken(&answered);
    if done.failed_reads > 0 || lost.len() < 20 || early.len() + late.len() != done.written.len() {
        return Err(format!("{} lost; {done:?}", lost.len()).into());
    }
    let heard = async |session: &Session| db.of(session).read("SELECT 'seen' AS text").await;
    for (text, session) in &early {
        if let Err(said) = heard(session).await {
            return Err(format!("{text} is kept, but {said}").into());
        }
    }
    let mut untold: HashSet<String> = lost.into_iter().collect();
    for (text, session) in &late {
        match heard(session).await {
            // It may be kept: who wrote last knows least.
            Err(Said::Lost(_)) => drop(untold.remove(text)),
            Ok(_) => {}
            Err(said) => return Err(format!("{text}: {said}").into()),
        }
    }
    if !untold.is_empty() {
        return Err(format!("lost without a word: {untold:?}").into());
    }
    Ok(())
}

/// Reads until the session knows where its writes ended: with SeaORM that comes with the next look at the primary.
async fn placed<A: Application>(db: &A, session: &Session) -> Result<(), Failure> {
    until("the session's writes to be placed", async || {
        db.read("SELECT 'seen' AS text").await?;
        Ok(session.unplaced_since().is_none())
    })
    .await
}

/// Writes that were answered, and whose they were.
type Answered = Arc<Mutex<Vec<(String, Session)>>>;

fn taken(answered: &Answered) -> Vec<(String, Session)> {
    std::mem::take(&mut *answered.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A read that asks for a write which no replica has applied waits, when the primary is dead, as long as writes do, and is
/// answered by the next primary.
///
/// # Errors
/// When it is not.
pub async fn a_read_waits_for_the_next_primary<A: Application>() -> Result<(), Failure> {
    let (cluster, db) = promoting::<A>(Cluster::builder().replicas(1), FailoverMode::Manual).await?;
    for replica in cluster.replicas() {
        replica.pause_replay().await?;
    }
    let session = Session::new();
    let db = db.of(&session);
    db.write("asked for").await?;
    placed(&db, &session).await?;
    // They have it, and have not applied it.
    let end = cluster.primary().admin_query_text("SELECT pg_current_wal_flush_lsn()").await?;
    for replica in cluster.replicas() {
        let has = format!("SELECT (pg_last_wal_receive_lsn() >= '{end}')::text");
        until("the write to arrive", async || Ok(replica.admin_query_text(&has).await? == "true")).await?;
    }
    cluster.primary().crash().await?;
    let reading = tokio::spawn({
        let db = db.clone();
        async move { db.read("SELECT count(*)::text AS text FROM note WHERE text = 'asked for'").await }
    });
    let down = async || Ok(db.router().topology().primary().is_ok_and(|primary| primary.failures > 3));
    until("the primary to be down", down).await?;
    if reading.is_finished() {
        return Err(format!("it did not wait: {:?}", reading.await?).into());
    }
    let report = db.router().failover().initiate("it is dead", None, false).await?;
    let read = reading.await??;
    if !report.succeeded() || read != "1" {
        return Err(format!("{report}; read: {read}").into());
    }
    Ok(())
}
