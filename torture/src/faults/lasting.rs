//! Disturbances that last until they are ended, so that something else can happen meanwhile.

use std::num::NonZeroU64;
use std::time::Duration;

use fastrand::Rng;
use rr_tests::cluster::Node;
use rr_tests::proxy::Proxy;

use super::Kind;
use crate::Error;

/// One of them, at work.
#[derive(Debug)]
pub(super) struct Lasting {
    kind: Kind,
    node: Node,
    /// The network that is disturbed, if it is that.
    link: Option<Proxy>,
}

impl Lasting {
    /// Those that a standby may have while the primary changes.
    pub(super) const OF_STANDBYS: [Kind; 5] =
        [Kind::ReplayPause, Kind::ApplyDelay, Kind::SlowLink, Kind::ReplicationCut, Kind::ReplicationDelay];

    /// Begins one of [`OF_STANDBYS`](Self::OF_STANDBYS).
    pub(super) async fn begin(kind: Kind, node: &Node, rng: &mut Rng) -> Result<Self, Error> {
        let mut link = None;
        match kind {
            Kind::ReplayPause => node.pause_replay().await?,
            Kind::ApplyDelay => node.apply_delay(Duration::from_millis(rng.u64(50..600))).await?,
            Kind::SlowLink => {
                let slow = link.insert(node.link().clone());
                slow.delay(Duration::from_millis(rng.u64(5..60))).await?;
                if rng.bool() {
                    slow.rate(NonZeroU64::new(64 * 1024).ok_or("no rate")?).await?;
                }
            }
            Kind::ReplicationCut => link.insert(upstream(node)?).cut().await?,
            Kind::ReplicationDelay => {
                link.insert(upstream(node)?).delay(Duration::from_millis(rng.u64(20..300))).await?;
            }
            other => return Err(format!("{} does not last", other.name()).into()),
        }
        Ok(Self { kind, node: node.clone(), link })
    }

    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    /// Who is disturbed.
    pub(super) const fn node(&self) -> &Node {
        &self.node
    }

    /// Ends it. The standby may be the primary by now.
    pub(super) async fn end(self) -> Result<(), Error> {
        if let Some(link) = self.link {
            return Ok(link.heal().await?);
        }
        match self.kind {
            Kind::ReplayPause => {
                self.node.admin_sql("SELECT pg_wal_replay_resume() WHERE pg_is_in_recovery()").await?;
            }
            _ => self.node.apply_delay(Duration::ZERO).await?,
        }
        Ok(())
    }
}

fn upstream(standby: &Node) -> Result<Proxy, Error> {
    Ok(standby.upstream_link().ok_or("a standby without a link")?)
}
