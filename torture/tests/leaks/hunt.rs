//! The hunt: windows of statements, and what the process and the servers hold after each of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rr_core::{Connector, RouteReason, Router};
use rr_tests::cluster::Cluster;
use rr_tests::storm::census::connections;
use rr_tests::storm::pools;
use rr_tests::wait::until;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::{CONNECTIONS, Result, live};

/// Statements of both ORMs together, unless somebody wants more.
pub(crate) const STATEMENTS: u64 = 50_000;

/// After a first one, which fills caches and histories.
const WINDOWS: u64 = 5;

/// Tasks that work at a time.
const TASKS: usize = 12;

/// Bytes that may stay of a statement, on average: of caches that are still being filled.
const NOISE: u64 = 2;

/// Series that may come late: each word of a label has one as soon as it was counted.
const WORDS: usize = 50;

/// An ORM at work.
pub(crate) trait Mix: Send + Sync + 'static + Clone {
    type Connector: Connector;

    fn router(&self) -> &Router<Self::Connector>;

    /// One of the things that applications do, by its number.
    fn turn(&self, number: u64) -> impl Future<Output = Result<(), String>> + Send;

    /// Keeps a connection busy for a moment, on the primary or on a replica.
    fn busy(&self, on_primary: bool) -> impl Future<Output = Result<(), String>> + Send;
}

/// What is held while nothing runs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    /// Tasks of the runtime.
    tasks: usize,
    /// File descriptors of the process.
    files: usize,
    /// Series that the metrics have.
    series: usize,
    /// Connections that each server has.
    connections: Vec<i64>,
}

#[expect(clippy::print_stdout, reason = "how it goes, for whoever runs a million")]
pub(crate) async fn hunt<M: Mix>(orm: &str, mix: &M, cluster: &Cluster, statements: u64) -> Result {
    let window = statements / (WINDOWS + 1);
    let number = Arc::new(AtomicU64::new(0));
    work(mix, &number, window).await?;
    rest(mix).await?;
    let held = Held::look(mix, cluster).await?;
    let expected = i64::from(CONNECTIONS) + 1;
    assert!(held.connections.iter().all(|count| *count == expected), "{orm}: {held:?}");
    let (bytes, first) = (live(), routed(mix.router(), cluster));
    for _ in 0..WINDOWS {
        work(mix, &number, window).await?;
        rest(mix).await?;
        // What has just ended may be there for another moment.
        let mut now = held.clone();
        let no_more = async || {
            now = Held::look(mix, cluster).await?;
            Ok(now.is_no_more_than(&held))
        };
        let settled = until("the process to hold no more than before", no_more).await;
        settled.map_err(|error| format!("{orm}: {error}: {held:?}, and then {now:?}"))?;
        let grown = live().saturating_sub(bytes);
        println!("{orm}: {} statements, {grown} bytes more", routed(mix.router(), cluster) - first);
    }
    let (grown, done) = (live().saturating_sub(bytes), routed(mix.router(), cluster) - first);
    assert!(done >= window * WINDOWS, "{orm}: {done} statements");
    assert!(u64::try_from(grown)? <= NOISE * done, "{orm}: {grown} bytes are left of {done} statements");
    Ok(())
}

/// Lets tasks do this many things.
async fn work<M: Mix>(mix: &M, number: &Arc<AtomicU64>, count: u64) -> Result {
    let end = number.load(Ordering::Relaxed) + count;
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (mix, number) = (mix.clone(), Arc::clone(number));
        tasks.spawn(async move {
            loop {
                let own = number.fetch_add(1, Ordering::Relaxed);
                if own >= end {
                    return Ok::<_, String>(());
                }
                mix.turn(own).await.map_err(|error| format!("number {own}: {error}"))?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// Waits until nothing runs, with as many connections open as there may be.
async fn rest<M: Mix>(mix: &M) -> Result {
    let full = async || {
        let mut tasks = JoinSet::new();
        for number in 0..6 * CONNECTIONS {
            let mix = mix.clone();
            tasks.spawn(async move { mix.busy(number % 3 == 0).await });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        let pools = pools(mix.router());
        Ok(pools.len() == 3 && pools.iter().all(|pool| pool.active == 0 && pool.idle == CONNECTIONS))
    };
    until("all connections to be open and idle", full).await
}

fn routed<C: Connector>(router: &Router<C>, cluster: &Cluster) -> u64 {
    let of = |reason| cluster.nodes().iter().map(move |node| router.routed(node.name(), reason));
    RouteReason::ALL.into_iter().flat_map(of).sum()
}

impl Held {
    fn is_no_more_than(&self, before: &Self) -> bool {
        self.tasks <= before.tasks
            && self.files <= before.files
            && self.series <= before.series + WORDS
            && self.connections == before.connections
    }

    async fn look<M: Mix>(mix: &M, cluster: &Cluster) -> Result<Self> {
        let mut counts = Vec::new();
        for node in cluster.nodes() {
            counts.push(connections(node).await?);
        }
        let text = mix.router().metrics_text();
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        let tasks = Handle::current().metrics().num_alive_tasks();
        let files = std::fs::read_dir("/dev/fd")?.count();
        Ok(Self { tasks, files, series, connections: counts })
    }
}
