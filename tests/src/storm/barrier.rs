//! Servers that let everybody in and answer nobody.

use std::fmt;

use tokio_postgres::Client;

use super::Failure;
use crate::cluster::Cluster;
use crate::wait::until;

const LOCKED: &str = "SELECT count(*)::text FROM pg_locks WHERE mode = 'AccessExclusiveLock'";

/// A lock on the table of storms, on all servers: whoever reads or writes it waits until this is [opened](Self::open).
pub struct Barrier {
    admin: Client,
}

impl Barrier {
    /// Locks it.
    ///
    /// # Errors
    /// When a server fails.
    pub async fn close(cluster: &Cluster) -> Result<Self, Failure> {
        let admin = cluster.primary().direct().await?;
        admin.batch_execute("BEGIN; LOCK TABLE storm IN ACCESS EXCLUSIVE MODE").await?;
        // A standby keeps readers out as soon as it has heard of the lock, which comes with the next commit.
        cluster.primary().admin_sql("SELECT pg_logical_emit_message(true, 'rr', '')").await?;
        for replica in cluster.replicas() {
            let locked = async || Ok(replica.admin_query_text(LOCKED).await? != "0");
            until("the lock to be replayed", locked).await?;
        }
        Ok(Self { admin })
    }

    /// Lets everybody through.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn open(self) -> Result<(), Failure> {
        Ok(self.admin.batch_execute("ROLLBACK").await?)
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}
