//! A promotion that takes as long as a test wants.

use tempfile::TempDir;

use super::error::{ClusterError, Result};
use super::node::{Node, PATIENCE};
use crate::wait::wait_until;

/// A standby that has begun a new timeline, and stays in recovery until it is let go: at the end of that it runs its
/// `recovery_end_command`.
#[derive(Debug)]
#[must_use = "it lasts until it is told to end"]
pub struct Promotion {
    node: Node,
    folder: TempDir,
}

impl Node {
    /// Begins to make this standby a primary, and waits until it shows the new timeline. It takes no writes before
    /// [`Promotion::end`].
    ///
    /// # Errors
    /// When it is no standby or does not begin one in time.
    pub async fn begin_promotion(&self) -> Result<Promotion> {
        let folder =
            tempfile::tempdir().map_err(|source| ClusterError::Io { what: "a folder".to_owned(), source })?;
        let path = folder.path().display();
        let wait = format!("while test -d {path} && ! test -e {path}/go; do sleep 0.01; done");
        self.set("recovery_end_command", &wait).await?;
        let timeline = "SELECT greatest(timeline_id, min_recovery_end_timeline)::text \
                        FROM pg_control_checkpoint(), pg_control_recovery()";
        let shown = async || self.admin_query_text(timeline).await;
        let before = shown().await?;
        self.admin_sql("SELECT pg_promote(false)").await?;
        let changed = async || Ok::<_, ClusterError>(shown().await? != before);
        wait_until(PATIENCE, "the new timeline", changed).await?;
        Ok(Promotion { node: self.clone(), folder })
    }
}

impl Promotion {
    /// Lets it end, and waits until the server is writable.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn end(self) -> Result<()> {
        let go = self.folder.path().join("go");
        std::fs::write(go, "").map_err(|source| ClusterError::Io { what: "a file".to_owned(), source })?;
        self.node.wait_writable().await
    }
}
