//! What every failover has to show, whichever ORM went through it.

use rr_core::world::Notice;
use rr_core::{Connector, Router};

use crate::cluster::Node;
use crate::wait::{PATIENCE, until, wait_for};

type Failure = Box<dyn std::error::Error>;

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
