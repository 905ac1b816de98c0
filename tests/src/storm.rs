//! A storm: many more tasks than there are connections, each of which works without pause, and what became of their
//! statements.
//!
//! Both ORMs go through the same storms ([`overload`], [`losses`]); each says how it reads and writes ([`Client`]), and what
//! its errors mean.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rr_core::config::{ConfigBuilder, ReadPreference};
use rr_core::connector::PoolState;
use rr_core::router::ClusterState;
use rr_core::world::Notice;
use rr_core::{Connector, Request, Requirement, Router};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::task::JoinSet;

use self::order::{Line, Served};
use crate::cluster::Cluster;
use crate::wait::{PATIENCE, until};

pub mod barrier;
pub mod census;
pub mod losses;
pub mod order;
pub mod overload;

type Failure = Box<dyn std::error::Error>;

/// Tasks of a storm.
pub const TASKS: usize = 1000;

/// Connections of each pool at most.
pub const CONNECTIONS: u32 = 10;

/// What storms write to and read from. Who reads it needs the table, and is told who serves it.
pub const GROUND: &str = "\
    CREATE TABLE storm (id bigserial PRIMARY KEY, n int NOT NULL); INSERT INTO storm (n) VALUES (0); \
    CREATE VIEW shelter AS SELECT pg_is_in_recovery() AS standby, current_setting('port')::int AS port \
    FROM storm LIMIT 1";

/// Gives one row: whether a standby serves it, and the server's port.
pub const READ: &str = "SELECT standby, port FROM shelter";

/// Writes one row.
pub const WRITE: &str = "INSERT INTO storm (n) VALUES (1)";

/// How long a task rests after an error, as clients should.
const REST: Duration = Duration::from_millis(20);

/// A handle of an ORM.
pub trait Client: Clone + Send + Sync + 'static {
    /// The driver below it.
    type Connector: Connector;

    /// Its router.
    fn router(&self) -> &Router<Self::Connector>;

    /// Runs [`READ`].
    fn read(&self) -> impl Future<Output = Ended> + Send;

    /// Runs [`WRITE`].
    fn write(&self) -> impl Future<Output = Ended> + Send;
}

/// How a statement ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A read, answered by a standby or by the primary.
    Read {
        /// By a standby.
        standby: bool,
        /// The server's own.
        port: i32,
    },
    /// A write, done.
    Written,
    /// No connection of a pool became free in time, and the error says so.
    NoConnection,
    /// The budget for reads on the primary was spent, and the error says so.
    NoBudget,
    /// Something else.
    Failed(String),
}

impl Ended {
    /// Where it had waited for its connection, if it was answered.
    const fn line(&self) -> Option<Line> {
        match self {
            Self::Read { standby: true, port } => Some(Line::Standby(*port)),
            Self::Read { standby: false, .. } | Self::Written => Some(Line::Primary),
            Self::NoConnection | Self::NoBudget | Self::Failed(_) => None,
        }
    }
}

/// What a task does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It reads.
    Read,
    /// It writes.
    Write,
    /// It has done its share.
    End,
}

/// Tasks at work.
#[derive(Debug)]
pub struct Storm {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    /// Statements that were answered, of each task.
    shares: Vec<AtomicU64>,
    /// By the part of the storm in which a statement began.
    counts: Mutex<Vec<Counts>>,
    /// Comes and goes so far.
    events: AtomicU64,
    served: Mutex<Vec<Served>>,
}

impl Shared {
    fn counts(&self) -> MutexGuard<'_, Vec<Counts>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn served(&self) -> MutexGuard<'_, Vec<Served>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of what happens now.
    fn event(&self) -> u64 {
        self.events.fetch_add(1, Ordering::SeqCst)
    }
}

/// How statements ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Reads on standbys.
    pub standby: u64,
    /// Reads on the primary.
    pub primary: u64,
    /// Writes that were done.
    pub written: u64,
    /// Statements that got no connection.
    pub no_connection: u64,
    /// Reads that found the primary's budget spent.
    pub no_budget: u64,
    /// Other errors: how many, and the words of some.
    pub failed: u64,
    /// The words of the first of them.
    pub words: Vec<String>,
}

impl Counts {
    /// Statements that were answered.
    #[must_use]
    pub const fn answered(&self) -> u64 {
        self.standby + self.primary + self.written
    }

    /// Statements that ended.
    #[must_use]
    pub const fn ended(&self) -> u64 {
        self.answered() + self.no_connection + self.no_budget + self.failed
    }

    fn add(&mut self, ended: Ended) {
        let count = match ended {
            Ended::Read { standby: true, .. } => &mut self.standby,
            Ended::Read { standby: false, .. } => &mut self.primary,
            Ended::Written => &mut self.written,
            Ended::NoConnection => &mut self.no_connection,
            Ended::NoBudget => &mut self.no_budget,
            Ended::Failed(why) => {
                if self.words.len() < 8 && !self.words.contains(&why) {
                    self.words.push(why);
                }
                &mut self.failed
            }
        };
        *count += 1;
    }
}

/// These settings, with pools of [`CONNECTIONS`] and a monitor that is not taken in by a busy machine: what a storm shows of
/// nodes is to be its own doing.
pub fn settings(config: ConfigBuilder) -> ConfigBuilder {
    config.with(|config| {
        for pool in [&mut config.pool.primary, &mut config.pool.replica] {
            pool.max = CONNECTIONS;
            pool.connect_timeout = PATIENCE;
        }
        config.monitor.timeout = Duration::from_secs(10);
        config.monitor.connect_timeout = Duration::from_secs(10);
    })
}

/// So long may a task wait for a connection to one node.
pub fn waiting(config: ConfigBuilder, limit: Duration) -> ConfigBuilder {
    settings(config).with(|config| {
        config.retries.within = Duration::from_secs(1);
        config.pool.primary.checkout_timeout = limit;
        config.pool.replica.checkout_timeout = limit;
    })
}

impl Storm {
    /// Lets so many tasks work; `next` says what a task does in each of its turns.
    pub fn start<D: Client>(
        db: &D,
        tasks: usize,
        next: impl Fn(usize, u64) -> Turn + Send + Sync + 'static,
    ) -> Self {
        let shares = (0..tasks).map(|_| AtomicU64::new(0)).collect();
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            shares,
            counts: Mutex::new(vec![Counts::default()]),
            events: AtomicU64::new(0),
            served: Mutex::default(),
        });
        let next = Arc::new(next);
        let mut running = JoinSet::new();
        for task in 0..tasks {
            let (db, shared, next) = (db.clone(), Arc::clone(&shared), Arc::clone(&next));
            running.spawn(async move {
                for turn in 0.. {
                    if shared.stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let part = shared.counts().len() - 1;
                    let came = shared.event();
                    let ended = match next(task, turn) {
                        Turn::Read => db.read().await,
                        Turn::Write => db.write().await,
                        Turn::End => return,
                    };
                    let line = ended.line();
                    shared.counts()[part].add(ended);
                    if let Some(line) = line {
                        shared.shares[task].fetch_add(1, Ordering::Relaxed);
                        shared.served().push(Served { task, line, came, left: shared.event() });
                    } else {
                        tokio::time::sleep(REST).await;
                    }
                }
            });
        }
        Self { shared, tasks: running }
    }

    /// How the statements ended that began in this part of the storm.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.counts().last().cloned().unwrap_or_default()
    }

    /// Begins the next part. What is under way belongs to the one before.
    pub fn next_part(&self) {
        self.shared.counts().push(Counts::default());
    }

    /// Reads that the primary has served so far, whenever they began.
    #[must_use]
    pub fn on_the_primary(&self) -> u64 {
        self.shared.counts().iter().map(|part| part.primary).sum()
    }

    /// Answered statements of the task that has the fewest, and of all together.
    #[must_use]
    pub fn shares(&self) -> (u64, u64) {
        let shares = self.shared.shares.iter().map(|share| share.load(Ordering::Relaxed));
        let (least, sum) = shares.fold((u64::MAX, 0), |(least, sum), own| (least.min(own), sum + own));
        (least, sum)
    }

    /// Waits until the counts are like that, as long as they change.
    ///
    /// # Errors
    /// When they do not any more.
    pub async fn until(&self, what: &str, enough: impl Fn(&Counts) -> bool) -> Result<(), Failure> {
        loop {
            let before = self.counts();
            let waited = until(what, async || Ok(enough(&self.counts()))).await;
            match waited {
                Err(error) if self.counts() == before => return Err(format!("{error}: {before:?}").into()),
                Err(_) => {}
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Lets every task finish what it is doing, and no more; how each part of the storm went.
    ///
    /// # Errors
    /// When one does not in time, or panicked.
    pub async fn end(self) -> Result<Vec<Counts>, Failure> {
        Ok(self.end_with_order().await?.0)
    }

    /// As [`end`](Self::end), with what was answered.
    ///
    /// # Errors
    /// As it.
    pub async fn end_with_order(mut self) -> Result<(Vec<Counts>, Vec<Served>), Failure> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let all = async {
            while let Some(task) = self.tasks.join_next().await {
                task?;
            }
            Ok::<_, Failure>(())
        };
        tokio::time::timeout(PATIENCE, all).await??;
        Ok((self.shared.counts().clone(), self.shared.served().clone()))
    }
}

/// The pools of all nodes that may be routed to, the primary's first.
pub fn pools<C: Connector>(router: &Router<C>) -> Vec<PoolState> {
    let mut states = Vec::new();
    if let Ok(primary) = router.route(&Request::write()) {
        states.extend(router.connector().pool_state(primary.pool()));
    }
    let mut seen = Vec::new();
    let read = Request::read(Requirement::NONE).prefer(ReadPreference::Replica);
    while let Ok(replica) = router.route(&read.clone().avoiding(&seen)) {
        states.extend(router.connector().pool_state(replica.pool()));
        seen.push(replica.node());
    }
    states
}

/// What was told since the subscription that must not come of overload: that a node is ill, or that the primary is another
/// one.
pub fn alarms(notices: &mut Receiver<Notice>) -> Vec<String> {
    let mut alarms = Vec::new();
    loop {
        match notices.try_recv() {
            Ok(
                notice @ (Notice::Health { .. }
                | Notice::Ejected { .. }
                | Notice::Primary { .. }
                | Notice::SplitBrain { .. }
                | Notice::Quarantined { .. }),
            ) => alarms.push(notice.to_string()),
            Ok(_) => {}
            Err(TryRecvError::Lagged(missed)) => alarms.push(format!("{missed} notices were missed")),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return alarms,
        }
    }
}

/// Waits until nothing is left of a storm, and asks whether all is well: as many statements at once as there are
/// connections are answered, and every node is healthy.
///
/// # Errors
/// When it is not.
pub async fn recovered<D: Client>(db: &D, cluster: &Cluster) -> Result<(), Failure> {
    let router = db.router();
    let idle = async || Ok(cluster.nodes().iter().all(|node| router.in_flight(node.name()) == Some(0)));
    until("nothing to be in flight", idle).await?;
    let free = async || {
        let pools = pools(router);
        let unused = |state: &PoolState| state.active == 0 && state.waiting.is_none_or(|count| count == 0);
        Ok(pools.len() == cluster.nodes().len() && pools.iter().all(unused))
    };
    until("connections to be given back", free).await?;
    let turn = |task, turn| match (task % 2, turn) {
        (0, 0) => Turn::Read,
        (_, 0) => Turn::Write,
        _ => Turn::End,
    };
    let after = Storm::start(db, 2 * CONNECTIONS as usize, turn);
    after.until("the next statements to end", |counts| counts.ended() == u64::from(2 * CONNECTIONS)).await?;
    let counts = after.end().await?;
    assert_eq!(counts[0].answered(), u64::from(2 * CONNECTIONS), "{counts:?}");
    let health = router.health();
    assert_eq!(health.status, ClusterState::Healthy, "{health:?}");
    Ok(())
}
