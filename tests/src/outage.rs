//! Ways in which a server goes away.

use crate::cluster::{Cluster, Mode, Node};

type Failure = Box<dyn std::error::Error>;

/// How a server goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outage {
    /// Its sessions are ended, and it goes on.
    Sessions,
    /// `kill -9` of its postmaster: idle sessions end, and busy ones when they have answered.
    Killed,
    /// All of its processes at once.
    Crash,
    /// An orderly shutdown.
    Stop,
}

impl Outage {
    /// Each way.
    pub const ALL: [Self; 4] = [Self::Sessions, Self::Killed, Self::Crash, Self::Stop];

    /// Lets it happen to a server.
    ///
    /// # Errors
    /// When it can not be done.
    pub async fn begin(self, node: &Node) -> Result<(), Failure> {
        match self {
            Self::Sessions => drop(node.kill_client_connections().await?),
            Self::Killed => node.kill9().await?,
            Self::Crash => node.crash().await?,
            Self::Stop => node.stop(Mode::Fast).await?,
        }
        Ok(())
    }

    /// Starts the replicas that are not there.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn end(cluster: &Cluster) -> Result<(), Failure> {
        for replica in cluster.replicas().iter().filter(|replica| !replica.is_running()) {
            replica.start().await?;
        }
        Ok(())
    }
}
