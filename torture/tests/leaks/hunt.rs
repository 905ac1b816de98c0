//! The hunt: windows of statements, and what the process and the servers hold after each of them.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rr_core::{Connector, Request, Requirement, RouteReason, Router};
use rr_tests::cluster::Cluster;
use rr_tests::storm::census::connections;
use rr_tests::storm::pools;
use rr_tests::wait::{PATIENCE, until, wait_until};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::{CONNECTIONS, Result, live};

/// Statements of all together, unless somebody wants more.
pub(crate) const STATEMENTS: u64 = 50_000;

/// After a first one, which fills caches and histories.
const WINDOWS: u64 = 6;

/// The last of them, in which all is as full as it gets.
const LAST: u64 = WINDOWS / 3;

/// Tasks that work at a time.
const TASKS: usize = 12;

/// Bytes that may stay of a statement, on average: of caches that are still being filled.
const NOISE: i64 = 2;

/// Bytes that may stay however few statements there are, and however many there are in the last windows: histories double
/// their room now and then until they are full, which is a matter of time.
const STEADY: i64 = 64 << 10;

/// Series that may come late: each word of a label has one as soon as it was counted.
const WORDS: usize = 50;

/// An ORM at work.
pub(crate) trait Mix: Send + Sync + 'static + Clone {
    type Connector: Connector;

    fn router(&self) -> &Router<Self::Connector>;

    /// One of the things that applications do, by its number.
    fn turn(&self, number: u64) -> impl Future<Output = Result<(), String>> + Send;

    /// One of those that they seldom do: they stop half-way, or are stopped.
    fn stumble(&self, number: u64) -> impl Future<Output = Result<(), String>> + Send;

    /// Keeps a connection busy for a moment, on the primary or on a replica.
    fn busy(&self, on_primary: bool) -> impl Future<Output = Result<(), String>> + Send;
}

/// What is held while nothing runs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    /// Tasks of the runtime. Blocking connections have another one, whose tasks are seen by the bytes that they hold.
    tasks: usize,
    /// File descriptors of the process.
    files: usize,
    /// Series that the metrics have.
    series: usize,
    /// Connections that each server has.
    connections: Vec<i64>,
}

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// [`Mix::turn`].
    Turns,
    /// [`Mix::stumble`].
    Stumbles,
}

/// Which of four, of which the last has its turn less often because connections are opened anew; and after how many polls
/// it is given up, so that it is at every await.
pub(crate) fn stumbling(number: u64) -> (u64, usize) {
    let polls = [1, 2, 3, 4][usize::try_from(number / 3 % 4).unwrap_or_default()];
    (if number % 40 == 3 { 3 } else { number % 3 }, polls)
}

#[expect(clippy::print_stdout, reason = "how it goes, for whoever runs a million")]
pub(crate) async fn hunt<M: Mix>(
    orm: &str,
    mix: &M,
    cluster: &Cluster,
    kind: Kind,
    statements: u64,
) -> Result {
    let window = statements / (WINDOWS + 1);
    let number = Arc::new(AtomicU64::new(0));
    work(mix, kind, &number, window).await?;
    rest(mix).await?;
    let held = Held::look(mix, cluster).await?;
    let expected = i64::from(CONNECTIONS) + 1;
    assert!(held.connections.iter().all(|count| *count == expected), "{orm}: {held:?}");
    let first = routed(mix.router(), cluster);
    // After each window. It may be less than before: what grows later is not to hide behind that.
    let mut bytes = vec![i64::try_from(live())?];
    for _ in 0..WINDOWS {
        work(mix, kind, &number, window).await?;
        rest(mix).await?;
        // What has just ended may be there for another moment.
        let mut now = held.clone();
        let no_more = async || {
            now = Held::look(mix, cluster).await?;
            Ok(now.is_no_more_than(&held))
        };
        let settled = until("the process to hold no more than before", no_more).await;
        settled.map_err(|error| format!("{orm}: {error}: {held:?}, and then {now:?}"))?;
        bytes.push(i64::try_from(live())?);
        let grown = bytes[bytes.len() - 1] - bytes[0];
        println!("{orm}, {kind:?}: {} routed, {grown:+} bytes", routed(mix.router(), cluster) - first);
    }
    let done = routed(mix.router(), cluster) - first;
    let since =
        |window: u64| Ok::<_, Box<dyn Error>>(bytes[bytes.len() - 1] - bytes[usize::try_from(window)?]);
    // Some of those that are given up have not come so far.
    assert!(done >= window * WINDOWS / 2, "{orm}, {kind:?}: {done} statements");
    let grown = since(0)?;
    let most = match kind {
        Kind::Turns => STEADY.max(NOISE * i64::try_from(done)?),
        // What had to be filled was filled by the turns before.
        Kind::Stumbles => STEADY,
    };
    assert!(grown <= most, "{orm}, {kind:?}: {grown} bytes are left of {done} statements");
    let grown = since(WINDOWS - LAST)?;
    assert!(grown <= STEADY, "{orm}, {kind:?}: {grown} bytes are left of {} statements", window * LAST);
    Ok(())
}

/// Lets tasks do this many things.
async fn work<M: Mix>(mix: &M, kind: Kind, number: &Arc<AtomicU64>, count: u64) -> Result {
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
                let done = match kind {
                    Kind::Turns => mix.turn(own).await,
                    Kind::Stumbles => mix.stumble(own).await,
                };
                done.map_err(|error| format!("number {own}: {error}"))?;
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
    // Who waits in vain is to see for what.
    let state = || {
        let read = mix.router().explain_route(&Request::read(Requirement::NONE));
        format!("{:?}; {read}", pools(mix.router()))
    };
    let full = async || {
        let mut tasks = JoinSet::new();
        for number in 0..6 * CONNECTIONS {
            let mix = mix.clone();
            tasks.spawn(async move { mix.busy(number % 3 == 0).await });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        // A statement's end is not yet its connection's: sqlx asks the server once more on the way back.
        let back = async || match pools(mix.router()).iter().all(|pool| pool.active == 0) {
            true => Ok(true),
            false => Err(state()),
        };
        wait_until(PATIENCE / 2, "all connections to be back", back).await?;
        let pools = pools(mix.router());
        let full = pools.len() == 3 && pools.iter().all(|pool| pool.idle == CONNECTIONS);
        if full { Ok(true) } else { Err::<_, Box<dyn Error>>(state().into()) }
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
