//! Nodes that somebody else knows.

use super::*;
use rr_core::config::{DatabaseUrl, DiscoveryKind, DnsRecord};
use rr_core::discovery::{Discovering, Discovery, Finding, Found, FoundNode, Place, Refusal};
use rr_core::topology::{HealthState, Quarantine};
use rr_core::world::Notice;
use std::sync::Mutex;
use tokio::task::JoinHandle;

mod dns;
mod plugged;
mod provided;
mod records;
mod replication;

/// Only the primary is listed, and everything happens fast.
fn primary_alone(cluster: &Cluster) -> Config {
    let mut config = config(cluster);
    config.replicas.clear();
    // Readers open all their connections to a new node at once.
    config.pool.replica.checkout_timeout = PATIENCE;
    config.discovery.interval = Duration::from_millis(100);
    config.discovery.min_ttl = Duration::from_millis(100);
    config.discovery.grace = Duration::ZERO;
    config.discovery.drain = Duration::from_secs(5);
    config
}

/// Reads until it is told to stop; whatever fails, fails the test.
struct Readers {
    done: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<std::result::Result<(), String>>>,
}

impl Readers {
    fn start(router: &Router<Plain>) -> Self {
        let (done, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let tasks = (0..8).map(|_| {
            let (router, done, count) = (router.clone(), Arc::clone(&done), Arc::clone(&count));
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let route = router.route(&read()).map_err(|error| error.to_string())?;
                    run(route, IN_RECOVERY).await.map_err(|error| error.to_string())?;
                    count.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        });
        Self { tasks: tasks.collect(), done, count }
    }

    async fn finish(self) -> Result {
        self.done.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await??;
        }
        assert!(self.count.load(Ordering::Relaxed) > 100);
        Ok(())
    }
}

fn names(router: &Router<Plain>) -> Vec<String> {
    router.topology().nodes().iter().map(|node| node.name.to_string()).collect()
}

fn is_there(router: &Router<Plain>, node: &str) -> bool {
    names(router).iter().any(|name| name == node)
}

fn serves(router: &Router<Plain>, node: &str) -> bool {
    is_there(router, node) && healthy(router, node)
}

async fn until_serving(router: &Router<Plain>, node: &str) -> Result {
    until(router, "the found node to get reads", |r| {
        serves(r, node) && r.routed(node, RouteReason::Replica) > 10
    })
    .await
}

async fn until_gone(router: &Router<Plain>, node: &str) -> Result {
    until(router, "the node to be gone", |r| !is_there(r, node)).await
}

/// What discovery told, in order.
fn findings(router: &Router<Plain>) -> Vec<Finding> {
    let told = router.recent_notices(0).into_iter();
    told.filter_map(|told| match told.notice {
        Notice::Discovery { finding, .. } => Some(finding),
        _ => None,
    })
    .collect()
}

fn failures(router: &Router<Plain>) -> Vec<String> {
    let failed = |finding| match finding {
        Finding::Failed { error } => Some(error.to_string()),
        _ => None,
    };
    findings(router).into_iter().filter_map(failed).collect()
}
