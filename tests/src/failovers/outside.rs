//! Promotions that somebody else makes, and what goes wrong with those.

use std::time::Duration;

use rr_core::topology::Epoch;
use rr_core::{Config, Connector, Router};
use tokio::sync::oneshot;

use super::{Application, End, Failure, Said, boot, leader, pooled};
use crate::cluster::{Cluster, Mode, Node};
use crate::plain;
use crate::wait::{PATIENCE, until};

/// Nobody looks at the servers of their own accord.
fn unwatched(cluster: &Cluster) -> Config {
    let mut config = plain::config(cluster);
    config.monitor.interval = Duration::from_secs(60);
    config.monitor.jitter = Duration::ZERO;
    config.max_lag = None;
    config.write_wait = PATIENCE;
    config
}

async fn followed<C: Connector>(router: &Router<C>) -> Result<(), Failure> {
    until("the promotion to be noticed", async || Ok(router.topology().epoch() == Epoch::new(2))).await
}

/// A write that finds nobody at the old primary's address reaches the new one, although nobody would look for a minute.
///
/// # Errors
/// When it does not.
pub async fn a_refused_connection_makes_everybody_look<A: Application>() -> Result<(), Failure> {
    let cluster = boot(Cluster::builder().replicas(1)).await?;
    // No connection is idle: whoever sent a write by one that is dead could not say what became of it.
    let db = A::start(unwatched(&cluster)).await?;
    cluster.primary().crash().await?;
    cluster.replica(1)?.promote().await?;
    db.write("after").await?;
    has(cluster.replica(1)?, "after", "1").await
}

/// A connection that an administrator ends makes everybody look: while a statement runs, whose answer that is (57P01), and
/// between two of a transaction.
///
/// # Errors
/// When it does not.
pub async fn an_ended_connection_makes_everybody_look<A: Application>() -> Result<(), Failure> {
    for runs in [true, false] {
        let cluster = boot(Cluster::builder().replicas(1)).await?;
        let (old, new) = (cluster.primary(), cluster.replica(1)?);
        let db = A::start(unwatched(&cluster)).await?;
        let holder = super_in_app(old).await?;
        if runs {
            holder.batch_execute("BEGIN; LOCK TABLE note IN SHARE MODE").await?;
        }
        let (end, told) = oneshot::channel();
        let writing = tokio::spawn({
            let db = db.clone();
            async move { if runs { db.write("within").await } else { db.transaction("within", told).await } }
        });
        until("it to be there", async || Ok(open(old).await? == 1)).await?;
        new.promote().await?;
        if db.router().topology().epoch() != Epoch::new(1) {
            return Err("somebody has looked before".into());
        }
        // The monitor's own connections live on.
        old.admin_query_text(&format!("SELECT count(pg_terminate_backend(pid))::text {OPEN}")).await?;
        until("it to be gone", async || Ok(open(old).await? == 0)).await?;
        let _listens = end.send(End::Commit);
        if writing.await?.is_ok() {
            return Err("it was done".into());
        }
        followed(db.router()).await?;
        db.write("after").await?;
        has(new, "after", "1").await?;
        has(new, "within", "0").await?;
    }
    Ok(())
}

/// A connection to an old primary that lives on, in use when that was replaced, is closed when it is given back.
///
/// # Errors
/// When it is not, or nothing was in use.
pub async fn a_connection_in_use_is_closed_when_it_is_given_back<A: Application>() -> Result<(), Failure> {
    for how in [End::Commit, End::Rollback, End::Drop] {
        let cluster = boot(Cluster::builder().replicas(1)).await?;
        let (old, new) = (cluster.primary(), cluster.replica(1)?);
        let db = A::start(plain::config(&cluster)).await?;
        let (end, told) = oneshot::channel();
        let transaction = tokio::spawn({
            let db = db.clone();
            async move { db.transaction("within", told).await }
        });
        until("the transaction to be open", async || Ok(open(old).await? == 1)).await?;
        new.promote().await?;
        followed(db.router()).await?;
        db.write("after").await?;
        // The idle ones are closed, and this one is not.
        until("it to be the last", async || Ok((open(old).await?, pooled(old).await?) == (1, 1))).await?;
        let _listens = end.send(how);
        let ended = transaction.await?;
        if how == End::Commit && ended.is_ok() {
            return Err("it was committed by a server that is the primary no more".into());
        }
        until("it to be closed", async || Ok(pooled(old).await? == 0)).await?;
        has(old, "within", "0").await?;
        has(new, "after", "1").await?;
    }
    Ok(())
}

/// While two servers take writes, none is done, and the error names both.
///
/// # Errors
/// When this is not so.
pub async fn two_primaries_get_no_write<A: Application>() -> Result<(), Failure> {
    let cluster = boot(Cluster::builder().replicas(1)).await?;
    let db = A::start(plain::config(&cluster)).await?;
    db.write("before").await?;
    let other = cluster.replica(1)?;
    other.stop(Mode::Fast).await?;
    // Without it, it comes up as a primary on the same timeline: the way operators make a split brain.
    std::fs::remove_file(cluster.folder().join(other.name()).join("standby.signal"))?;
    other.start().await?;
    until("the split brain to be told", async || match db.write("either").await {
        Ok(()) => Ok(false),
        Err(Said::SplitBrain(words)) if words.contains("`primary`") && words.contains("`replica-1`") => {
            Ok(true)
        }
        Err(said) => Err(format!("{said:?}").into()),
    })
    .await?;
    has(other, "either", "0").await?;
    other.crash().await?;
    until("writes to be possible again", async || Ok(db.write("after").await.is_ok())).await?;
    if leader(&cluster, db.router())?.name() != "primary" {
        return Err("the primary is another one".into());
    }
    has(cluster.primary(), "after", "1").await
}

/// The application's transactions that wait: for it, or for somebody's lock.
const OPEN: &str = "FROM pg_stat_activity WHERE usename = 'app' \
    AND (state = 'idle in transaction' OR wait_event_type = 'Lock')";

async fn open(node: &Node) -> Result<i64, Failure> {
    Ok(node.admin_query_text(&format!("SELECT count(*)::text {OPEN}")).await?.parse()?)
}

async fn has(node: &Node, text: &str, count: &str) -> Result<(), Failure> {
    let found = node.query_text(&format!("SELECT count(*)::text FROM note WHERE text = '{text}'")).await?;
    if found != count {
        return Err(format!("{} has {text:?} {found} times rather than {count}", node.name()).into());
    }
    Ok(())
}

/// The superuser, where the table is.
async fn super_in_app(node: &Node) -> Result<tokio_postgres::Client, Failure> {
    let url = node.direct_url().replacen("//app@", "//postgres@", 1);
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
