//! How many connections servers have of an application, while it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::Failure;
use crate::cluster::{Cluster, Node};

/// The application's connections: those of the pools, and the monitor's.
const COUNT: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename = 'app'";

/// Between two looks.
const REST: Duration = Duration::from_millis(5);

/// Looks again and again, until it is asked for the most.
#[derive(Debug)]
pub struct Census {
    stop: Arc<AtomicBool>,
    counting: Vec<JoinHandle<Result<i64, tokio_postgres::Error>>>,
}

impl Census {
    /// Begins to look at all servers.
    ///
    /// # Errors
    /// When one does not answer.
    pub async fn begin(cluster: &Cluster) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut counting = Vec::new();
        for node in cluster.nodes() {
            let (admin, stop) = (node.admin().await?, Arc::clone(&stop));
            counting.push(tokio::spawn(async move {
                let mut most = 0;
                while !stop.load(Ordering::Relaxed) {
                    most = most.max(admin.query_one(COUNT, &[]).await?.get(0));
                    tokio::time::sleep(REST).await;
                }
                Ok(most)
            }));
        }
        Ok(Self { stop, counting })
    }

    /// The most that each server had at a time.
    ///
    /// # Errors
    /// When one did not answer.
    pub async fn most(self) -> Result<Vec<i64>, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let mut most = Vec::new();
        for counted in self.counting {
            most.push(counted.await??);
        }
        Ok(most)
    }
}

/// The application's connections that a server has at present.
///
/// # Errors
/// When it does not answer.
pub async fn connections(node: &Node) -> Result<i64, Failure> {
    Ok(node.admin().await?.query_one(COUNT, &[]).await?.get(0))
}
