//! Promotions that the router makes.

use super::*;
use rr_core::config::FailoverMode;
use rr_core::failover::{Block, Ending, Phase, Report, Stop};
use rr_core::topology::Quarantine;
use rr_tests::plain::promoting;

mod asked;
mod automatic;
mod doubts;
mod leases;
mod rejoining;
mod rivals;
mod switching;
mod trouble;
mod unfit;

pub(super) fn primary(router: &Router<Plain>) -> Option<String> {
    router.topology().primary().ok().map(|node| node.name.to_string())
}

/// A cluster with so many replicas, all caught up, and a router over it that promotes in this mode.
pub(super) async fn promoted(
    replicas: usize,
    mode: FailoverMode,
    change: impl FnOnce(&mut Config),
) -> Result<(Cluster, Router<Plain>)> {
    let cluster = Cluster::builder().replicas(replicas).start().await?;
    prepare(&cluster).await?;
    // So that a replica that follows proves at once on which timeline it is.
    cluster.primary().admin_sql("GRANT pg_read_all_stats TO app").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let mut config = promoting(&cluster, mode);
    change(&mut config);
    let router = start(config).await?;
    all_serving(&router).await?;
    Ok((cluster, router))
}

/// Waits for the end of a promotion, however it ends.
pub(super) async fn ended(router: &Router<Plain>, count: usize) -> Result<Arc<Report>> {
    until(router, "the promotion to end", |r| r.failover().history().len() >= count).await?;
    Ok(router.failover().history().pop().ok_or("a report")?)
}

/// What came of a promotion that was asked for, once no replica receives from a primary that is dead: they notice that a moment after
/// its router has.
pub(super) async fn initiated(router: &Router<Plain>, target: Option<&str>) -> Result<Arc<Report>> {
    let asked = async || {
        let report = router.failover().initiate("it is time", target, false).await?;
        let early = matches!(report.ending, Ending::Stopped(Stop::Blocked(Block::WitnessesDisagree { .. })));
        Ok::<_, rr_core::error::FailoverError>((!early).then_some(report))
    };
    Ok(rr_tests::wait::wait_for(PATIENCE, "a promotion that is not too early", asked).await?)
}

/// The servers that take writes.
pub(super) async fn writable(cluster: &Cluster) -> Result<Vec<String>> {
    let mut writable = Vec::new();
    for node in cluster.nodes().iter().filter(|node| node.is_running()) {
        if node.admin_query_text("SELECT pg_is_in_recovery()").await? == "f" {
            writable.push(node.name().to_owned());
        }
    }
    Ok(writable)
}

/// Writes until it is answered, as an adapter waits for a primary. Only what was never sent is tried again.
pub(super) async fn write_soon(router: &Router<Plain>, text: &str) -> Result<Position> {
    let write = async || write(router, text).await.map(Some);
    Ok(rr_tests::wait::wait_for(PATIENCE, "a write", async || {
        write().await.map_err(|error: Box<dyn Error>| error.to_string())
    })
    .await?)
}
