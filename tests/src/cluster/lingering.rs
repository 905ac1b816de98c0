//! Promotions that take as long as a test wants.

use tempfile::TempDir;

use super::error::{ClusterError, Result};
use super::node::{Node, PATIENCE};
use crate::wait::wait_until;

const TIMELINE: &str = "SELECT greatest(timeline_id, min_recovery_end_timeline)::text \
                        FROM pg_control_checkpoint(), pg_control_recovery()";

/// A standby that stays in recovery when it is promoted, on its new timeline, until it is let go: at the end of recovery it
/// runs its `recovery_end_command`.
#[derive(Debug)]
#[must_use = "it lasts until it is told to end"]
pub struct Lingering {
    node: Node,
    folder: TempDir,
    timeline: String,
}

impl Node {
    /// Has this standby linger at the end of recovery, whoever promotes it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn linger(&self) -> Result<Lingering> {
        let folder = tempfile::tempdir().map_err(io("a folder"))?;
        let path = folder.path().display();
        let wait = format!("while test -d {path} && ! test -e {path}/go; do sleep 0.01; done");
        self.set("recovery_end_command", &wait).await?;
        let timeline = self.admin_query_text(TIMELINE).await?;
        Ok(Lingering { node: self.clone(), folder, timeline })
    }

    /// Begins to make this standby a primary, and waits until it shows the new timeline. It takes no writes before
    /// [`Lingering::end`].
    ///
    /// # Errors
    /// When it is no standby or does not begin one in time.
    pub async fn begin_promotion(&self) -> Result<Lingering> {
        let lingering = self.linger().await?;
        self.admin_sql("SELECT pg_promote(false)").await?;
        lingering.begun().await?;
        Ok(lingering)
    }
}

impl Lingering {
    /// Waits until it shows a new timeline.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn begun(&self) -> Result<()> {
        let begun =
            async || Ok::<_, ClusterError>(self.node.admin_query_text(TIMELINE).await? != self.timeline);
        Ok(wait_until(PATIENCE, "the new timeline", begun).await?)
    }

    /// Lets it end, and waits until the server is writable.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn end(self) -> Result<()> {
        std::fs::write(self.folder.path().join("go"), "").map_err(io("a file"))?;
        self.node.wait_writable().await
    }
}

fn io(what: &str) -> impl FnOnce(std::io::Error) -> ClusterError {
    let what = what.to_owned();
    |source| ClusterError::Io { what, source }
}
