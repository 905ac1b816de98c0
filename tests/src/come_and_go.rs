//! Replicas that are found, vanish and come back under the load of an application, whichever ORM that has.

use rr_core::{Connector, RouteReason, Router};

use crate::cluster::{Cluster, Mode};
use crate::load::Load;
use crate::wait::until;

type Failure = Box<dyn std::error::Error>;

/// Has each of two replicas go, in both ways in which one can, and come back, and ends the load.
///
/// # Errors
/// When a statement failed meanwhile or is missing on the primary, or a replica was not noticed.
pub async fn no_statement_fails<C: Connector>(
    cluster: &Cluster,
    router: &Router<C>,
    load: Load,
) -> Result<(), Failure> {
    let serves = |name| router.routed(name, RouteReason::Replica) > 10;
    let both = async || Ok::<_, Failure>(serves("replica-1") && serves("replica-2"));
    for (round, replica) in cluster.replicas().iter().cycle().take(4).enumerate() {
        until("both to serve", both).await?;
        // It goes on answering and follows no more, or it is gone altogether.
        let (link, stops) = (replica.upstream_link().ok_or("a link")?, round >= 2);
        if stops {
            replica.stop(Mode::Fast).await?
        } else {
            link.cut().await?
        }
        let gone = async || Ok::<_, Failure>(router.in_flight(replica.name()).is_none());
        until("the vanished replica to be gone", gone).await?;
        load.writes(20).await?;
        if stops { replica.start().await? } else { link.heal().await? }
    }
    until("both to serve in the end", both).await?;
    let done = load.end().await?;
    let missing = done.missing_on(cluster.primary()).await?;
    if done.reads <= 100 || (done.failed_reads, done.failed_writes) != (0, 0) || !missing.is_empty() {
        return Err(format!("{done:?}, missing: {missing:?}").into());
    }
    Ok(())
}
