//! Real PostgreSQL servers for tests, benchmarks and examples.
//!
//! A [`Cluster`] is a primary and its streaming standbys, booted from the installed server programs in a
//! temporary folder on free ports, in about a second, as root or as an ordinary user. Each of its [`Node`]s can
//! be stopped, killed, frozen, promoted and re-pointed; each link, from clients to a server and from a server to
//! its standby, is a [`Proxy`](crate::proxy::Proxy) that can be cut, slowed down or silenced.
//!
//! Nothing survives the process that booted it: see the `guardian` module. Nobody needs to clean up.
//!
//! ```no_run
//! # async fn example() -> Result<(), rr_tests::cluster::ClusterError> {
//! use rr_tests::cluster::Cluster;
//!
//! let cluster = Cluster::builder().replicas(2).start().await?;
//! cluster.primary().sql("CREATE TABLE note (text text)").await?;
//! cluster.replica(1)?.pause_replay().await?;
//! println!("write to {}, read from {}", cluster.primary().url(), cluster.replica(1)?.url());
//! # Ok(())
//! # }
//! ```
//!
//! The network runs on a thread of its own, so a cluster outlives the runtime it was booted on, and a test that
//! blocks its runtime does not block the network.

mod account;
mod builder;
mod error;
mod guardian;
mod knobs;
mod language;
mod lingering;
mod node;
mod processes;
mod programs;
mod session;
mod template;
mod wal;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};

use account::Account;
use guardian::Guardian;

pub use builder::Builder;
pub use error::{ClusterError, Result};
pub use lingering::Lingering;
pub use node::{Mode, Node};
pub use processes::Part;
pub use programs::Programs;
pub use wal::Boundary;

/// A primary and its standbys. Dropping it ends the servers and removes their folder before it returns.
#[derive(Debug)]
pub struct Cluster {
    ground: Arc<Ground>,
    guardian: Guardian,
    network: Option<Runtime>,
    /// The primary first.
    nodes: Vec<Node>,
    boot_time: Duration,
}

/// What all servers of a cluster have in common.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) folder: PathBuf,
    pub(crate) programs: Programs,
    pub(crate) account: Account,
    /// The data folder that each server starts from.
    pub(crate) template: PathBuf,
    pub(crate) network: Handle,
    /// The servers speak German, by the locales in this folder or by the system's.
    pub(crate) german: Option<Option<PathBuf>>,
}

impl Cluster {
    /// Says what to boot: a primary alone until more is asked for.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The server that was booted as the primary, whatever it is now.
    #[must_use]
    pub fn primary(&self) -> &Node {
        &self.nodes[0]
    }

    /// The standby `replica-<number>`, counted from 1.
    ///
    /// # Errors
    /// When there is none of that number.
    pub fn replica(&self, number: usize) -> Result<&Node> {
        self.node(&format!("replica-{number}"))
    }

    /// All servers that were booted as standbys, in the order of their numbers.
    #[must_use]
    pub fn replicas(&self) -> &[Node] {
        &self.nodes[1..]
    }

    /// All servers, the primary first.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The server of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn node(&self, name: &str) -> Result<&Node> {
        let unknown = || ClusterError::UnknownNode {
            name: String::from(name),
            known: self.nodes.iter().map(|node| String::from(node.name())).collect(),
        };
        self.nodes.iter().find(|node| node.name() == name).ok_or_else(unknown)
    }

    /// Adds a running standby of `upstream`, with the next number. It starts from the cluster's beginning and
    /// replays all WAL there ever was, which the upstream keeps up to a gigabyte.
    ///
    /// # Errors
    /// When it does not stream in time.
    pub async fn add_replica(&mut self, upstream: &Node) -> Result<Node> {
        let node = Node::new(&self.ground, format!("replica-{}", self.nodes.len()), String::new())?;
        self.nodes.push(node.clone());
        let laid_out = node.clone();
        node::blocking(move || laid_out.lay_out()).await?;
        node.prepare_to_follow(upstream).await?;
        node.start().await?;
        node.wait_streaming().await?;
        Ok(node)
    }

    /// The server programs in use.
    #[must_use]
    pub fn programs(&self) -> &Programs {
        &self.ground.programs
    }

    /// Where the servers live; gone after the drop.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.ground.folder
    }

    /// How long the boot took, until all standbys streamed.
    #[must_use]
    pub fn boot_time(&self) -> Duration {
        self.boot_time
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.guardian.finish();
        for node in &self.nodes {
            node.reap();
            // Two servers that have followed each other would keep each other in memory.
            node.set_upstream(None);
        }
        if let Some(network) = self.network.take() {
            network.shutdown_background();
        }
    }
}
