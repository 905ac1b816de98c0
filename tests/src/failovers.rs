//! What every failover has to show, whichever ORM went through it.
//!
//! Both go through the same scenes: promotions that [the router makes](own), and those that [others make](outside).

use rr_core::config::FailoverMode;
use rr_core::world::Notice;
use rr_core::{Config, Connector, Router, Session};
use tokio::sync::oneshot;

use crate::cluster::{Builder, Cluster, Node};
use crate::load::Load;
use crate::plain;
use crate::wait::{PATIENCE, until, wait_for};

pub mod outside;
pub mod own;

type Failure = Box<dyn std::error::Error>;

/// An ORM over the router.
pub trait Application: Clone + Send + Sync + 'static {
    /// The driver below it.
    type Connector: Connector;

    /// Starts it.
    fn start(config: Config) -> impl Future<Output = Result<Self, Failure>>;

    /// Its router.
    fn router(&self) -> &Router<Self::Connector>;

    /// What it does from now on is this session's.
    #[must_use]
    fn of(&self, session: &Session) -> Self;

    /// Writes a row of `note` with this text.
    fn write(&self, text: &str) -> impl Future<Output = Result<(), Said>> + Send;

    /// Reads a text, called `text`.
    fn read(&self, sql: &str) -> impl Future<Output = Result<String, Said>> + Send;

    /// Begins a transaction, writes a row in it, and ends it once told how.
    fn transaction(
        &self,
        text: &str,
        end: oneshot::Receiver<End>,
    ) -> impl Future<Output = Result<(), Said>> + Send;

    /// Clients of it that write and read.
    fn load(&self) -> Load;
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is committed.
    Commit,
    /// It is rolled back.
    Rollback,
    /// It is dropped.
    Drop,
}

/// What an error of an ORM says, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Said {
    /// A write of the session is lost.
    #[error("{0}")]
    Lost(String),
    /// Two servers take writes.
    #[error("{0}")]
    SplitBrain(String),
    /// Anything else.
    #[error("{0}")]
    Else(String),
}

/// Boots servers with the table `note`, whose `app` sees at once on which timeline a replica is.
async fn boot(builder: Builder) -> Result<Cluster, Failure> {
    let cluster = builder.start().await?;
    let table =
        "CREATE TABLE note (id bigserial PRIMARY KEY, text text NOT NULL, stars int NOT NULL DEFAULT 0)";
    cluster.primary().sql(table).await?;
    cluster.primary().admin_sql("GRANT pg_read_all_stats TO app").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    Ok(cluster)
}

/// An application whose router promotes in this mode.
async fn promoting<A: Application>(builder: Builder, mode: FailoverMode) -> Result<(Cluster, A), Failure> {
    let cluster = boot(builder).await?;
    let mut config = plain::promoting(&cluster, mode);
    config.write_wait = PATIENCE;
    let db = A::start(config).await?;
    Ok((cluster, db))
}

/// The server that the router writes to.
fn leader<'c, C: Connector>(cluster: &'c Cluster, router: &Router<C>) -> Result<&'c Node, Failure> {
    let topology = router.topology();
    Ok(cluster.node(&topology.primary().map_err(|none| none.to_string())?.name)?)
}

/// Waits until a router tells of the first write that its new primary has answered, by a notice and, where the promotion was the
/// router's own doing, in the report; and checks that both say the same, and that the write came after the acceptance.
///
/// # Errors
/// When one of this is not so.
pub async fn first_write_is_told<C: Connector>(router: &Router<C>, own: bool) -> Result<(), Failure> {
    let told = async || {
        let told: Vec<Notice> = router.recent_notices(0).into_iter().map(|told| told.notice).collect();
        let first = told.iter().position(|notice| matches!(notice, Notice::FirstWrite { .. }));
        Ok::<_, Failure>(first.map(|place| (told, place)))
    };
    let (told, place) = wait_for(PATIENCE, "the first write to be told", told).await?;
    let (before, Some((first, after))) = (&told[..place], told[place..].split_first()) else {
        return Err("the first write".into());
    };
    let Notice::FirstWrite { epoch: of, node, outage, .. } = first else {
        return Err("a first write".into());
    };
    let accepted = |notice: &Notice| match notice {
        Notice::Primary { epoch, to: Some(to), .. } => epoch == of && to == node,
        _ => false,
    };
    if !before.iter().any(accepted) || after.iter().any(|notice| notice.kind() == first.kind()) {
        return Err(format!("not the first write of `{node}` alone: {told:?}").into());
    }
    if !own {
        return Ok(());
    }
    until("the report to have the first write", async || {
        let report = router.failover().history().pop().ok_or("there is no report")?;
        let durations = report.durations;
        let (Some(accepted), Some(answered)) = (durations.outage, durations.first_write) else {
            return Ok(false);
        };
        if answered < accepted || *outage != Some(answered) || report.to.as_ref() != Some(node) {
            return Err(format!("{report}, but the notice says: {first}").into());
        }
        Ok::<_, Failure>(report.to_string().contains("the first one answered after"))
    })
    .await
}

/// The connections of an application's pools that a server has: neither the monitor's nor the one that asks.
///
/// # Errors
/// When the server does not answer.
pub async fn pooled(node: &Node) -> Result<i64, Failure> {
    let count = "SELECT count(*)::text FROM pg_stat_activity WHERE backend_type = 'client backend' \
                 AND usename = 'app' AND query NOT LIKE '%pg_is_in_recovery%'";
    Ok(node.admin_query_text(count).await?.parse()?)
}
