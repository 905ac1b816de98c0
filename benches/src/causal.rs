//! How many reads replicas serve when nobody may read a state older than what they wrote or saw.
//!
//! Clients work at full speed on a primary and an asynchronous standby: in ten statements one write, which raises the
//! version of the client's own row, and nine reads of anybody's row, half of them of the own one. Each answer says
//! whether a standby gave it; nothing is taken from our own counters. The same load is run in the ways in which
//! applications help themselves otherwise.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use hdrhistogram::Histogram;
use rr_core::config::ConfigBuilder;
use rr_core::time::{Clock, Moment};
use rr_core::{Config, Consistency, Session};
use rr_tests::cluster::Cluster;
use tokio::task::{JoinSet, LocalSet};

use self::orms::{Diesel, Notes, SeaOrm};
use crate::report::{Chart, Report, count};
use crate::{Error, servers};

pub(crate) mod orms;

pub(crate) const CLIENTS: usize = 8;

/// Statements of one request of a client.
const STATEMENTS: usize = 10;

/// One statement in so many writes.
pub(crate) const WRITES: usize = 10;

/// How long the classic remedy keeps the reads of a client that has written on the primary.
const WINDOW: Duration = Duration::from_secs(5);

/// How long each way is run before it is measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// So often each ORM takes its turn with the default settings: a machine is slow for seconds at times.
const SLICES: usize = 3;

/// Settings of `causal_wait` that are compared, in milliseconds. The default is among them.
const WAITS: [u64; 5] = [0, 1, 2, 5, 10];

const SETUP: &str = "CREATE TABLE note (id int PRIMARY KEY, version bigint NOT NULL); \
    CREATE VIEW seen AS SELECT id, version, pg_is_in_recovery() AS standby FROM note;";

/// Who decides that a read goes to the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Positions do.
    Causal,
    /// Everything does.
    Primary,
    /// After a write all reads of that client do, for a while.
    Window,
    /// After a write the reads of the same request do.
    SameRequest,
}

/// What a read said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) version: i64,
    pub(crate) standby: bool,
}

/// What came of one way.
pub(crate) struct Tally {
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) on_standby: u64,
    /// Reads that lacked the client's own write, or showed less than it had seen before.
    pub(crate) unseen: u64,
    pub(crate) back: u64,
    /// Reads of the primary without a write that was still under way when they began, and which a standby had shown: the
    /// standby may have it first, and no router can know.
    pub(crate) ahead: u64,
    pub(crate) times: Histogram<u64>,
}

impl Tally {
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self {
            reads: 0,
            writes: 0,
            on_standby: 0,
            unseen: 0,
            back: 0,
            ahead: 0,
            times: Histogram::new(3)?,
        })
    }

    pub(crate) fn add(&mut self, other: &Self) -> Result<(), Error> {
        self.writes += other.writes;
        self.reads += other.reads;
        self.on_standby += other.on_standby;
        self.unseen += other.unseen;
        self.back += other.back;
        self.ahead += other.ahead;
        Ok(self.times.add(&other.times)?)
    }

    #[expect(clippy::cast_precision_loss, reason = "there are not that many reads")]
    pub(crate) fn share(&self) -> f64 {
        self.on_standby as f64 / self.reads.max(1) as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "nothing takes that many nanoseconds")]
    fn times_of(&self, other: &Self, quantile: f64) -> f64 {
        self.times.value_at_quantile(quantile) as f64 / other.times.value_at_quantile(quantile) as f64
    }

    /// One line; times are multiples of those of another tally.
    fn print(&self, name: &str, base: &Self) {
        println!(
            "{name:<30} {:>6.3} {:>10} {:>8.2} {:>8.2} {:>10} {:>10} {:>6}",
            self.share(),
            self.reads,
            self.times_of(base, 0.5),
            self.times_of(base, 0.99),
            self.unseen,
            self.back,
            self.ahead,
        );
    }
}

/// A client of the application.
struct Client<N> {
    notes: N,
    way: Way,
    clock: Clock,
    /// Its own row.
    row: usize,
    /// What it knows of each row.
    versions: [i64; CLIENTS],
    /// What each row's writer has been answered.
    returned: Rc<[Cell<i64>; CLIENTS]>,
    last_write: Option<Moment>,
    tally: Tally,
}

impl<N: Notes> Client<N> {
    async fn work(&mut self, until: Moment) -> Result<(), Error> {
        // On a busy machine a short form may be over before a client's first request.
        loop {
            let mut wrote = false;
            for _ in 0..STATEMENTS {
                if fastrand::usize(..WRITES) == 0 {
                    self.write().await?;
                    wrote = true;
                } else {
                    self.read(wrote).await?;
                }
            }
            if self.clock.now() >= until {
                return Ok(());
            }
        }
    }

    async fn write(&mut self) -> Result<(), Error> {
        let version = self.versions[self.row] + 1;
        self.notes.write(number(self.row)?, version).await?;
        self.versions[self.row] = version;
        self.returned[self.row].set(version);
        self.last_write = Some(self.clock.now());
        self.tally.writes += 1;
        Ok(())
    }

    async fn read(&mut self, wrote: bool) -> Result<(), Error> {
        let row = if fastrand::bool() { self.row } else { fastrand::usize(..CLIENTS) };
        let (begun, returned) = (self.clock.now(), self.returned[row].get());
        let on_primary = match self.way {
            Way::Causal => false,
            Way::Primary => true,
            Way::Window => self.last_write.is_some_and(|at| begun.since(at) < WINDOW),
            Way::SameRequest => wrote,
        };
        let seen = self.notes.read(number(row)?, on_primary).await?;
        let tally = &mut self.tally;
        tally.times.record(u64::try_from(self.clock.now().since(begun).as_nanos())?)?;
        tally.reads += 1;
        tally.on_standby += u64::from(seen.standby);
        let known = self.versions[row];
        if seen.version < known {
            let is_ahead = !seen.standby && seen.version + 1 == known && returned < known;
            let short = match (row == self.row, is_ahead) {
                (true, _) => &mut tally.unseen,
                (_, true) => &mut tally.ahead,
                (_, false) => &mut tally.back,
            };
            *short += 1;
        } else {
            self.versions[row] = seen.version;
        }
        Ok(())
    }
}

fn number(row: usize) -> Result<i32, Error> {
    Ok(i32::try_from(row)?)
}

/// The load of all clients, in one way.
pub(crate) async fn load<N: Notes>(
    cluster: &Cluster,
    notes: &N,
    way: Way,
    measured: Duration,
) -> Result<Tally, Error> {
    cluster.primary().sql("UPDATE note SET version = 0").await?;
    cluster.wait_caught_up(Duration::from_secs(20)).await?;
    let clock = Clock::start();
    let returned = Rc::new([const { Cell::new(0) }; CLIENTS]);
    let clients = LocalSet::new();
    let total = clients.run_until(async {
        let mut working = JoinSet::new();
        for row in 0..CLIENTS {
            let mut client = Client {
                notes: notes.clone(),
                way,
                clock,
                row,
                versions: [0; CLIENTS],
                returned: Rc::clone(&returned),
                last_write: None,
                tally: Tally::new()?,
            };
            let work = async move {
                client.work(Moment::ORIGIN + WARM_UP).await?;
                client.tally = Tally::new()?;
                client.work(Moment::ORIGIN + WARM_UP + measured).await?;
                Ok::<_, Error>(client.tally)
            };
            // Without a session the other ways would have the reads of the process demand too much.
            match way {
                Way::Causal => working.spawn_local(Session::new().scope(work)),
                _ => working.spawn_local(Consistency::Eventual.scope(work)),
            };
        }
        let mut total = Tally::new()?;
        while let Some(done) = working.join_next().await {
            total.add(&done??)?;
        }
        Ok(total)
    });
    total.await
}

fn config(cluster: &Cluster) -> Result<ConfigBuilder, Error> {
    let (primary, standby) = (cluster.primary(), cluster.replica(1)?);
    Ok(Config::builder().primary(primary.direct_url()).replica(standby.direct_url()))
}

/// Makes a row for each client.
pub(crate) async fn fill(cluster: &Cluster) -> Result<(), Error> {
    cluster.primary().sql(SETUP).await?;
    let fill = format!("INSERT INTO note SELECT n, 0 FROM generate_series(0, {}) n", CLIENTS - 1);
    cluster.primary().sql(&fill).await?;
    Ok(cluster.wait_caught_up(servers::PATIENCE).await?)
}

/// Measures each way for this long.
pub(crate) async fn run(measured: Duration) -> Result<Report, Error> {
    let cluster = servers::boot().await?;
    fill(&cluster).await?;
    println!(
        "{CLIENTS} clients at full speed, one write in {WRITES} statements, one asynchronous standby; \
         times are multiples of those of the first line"
    );
    println!(
        "{:<30} {:>6} {:>10} {:>8} {:>8} {:>10} {:>10} {:>6}",
        "reads by", "share", "reads", "p50", "p99", "own unseen", "gone back", "ahead"
    );
    let diesel = Diesel::start(config(&cluster)?.build()?).await?;
    let seaorm = SeaOrm::start(config(&cluster)?.build()?).await?;
    let base = load(&cluster, &diesel, Way::Primary, measured).await?;
    base.print("everything on the primary", &base);
    let window = load(&cluster, &diesel, Way::Window, measured).await?;
    window.print("window of 5 s after a write", &base);
    let same_request = load(&cluster, &diesel, Way::SameRequest, measured).await?;
    same_request.print("primary after write", &base);
    let mut causal = [Tally::new()?, Tally::new()?];
    for _ in 0..SLICES {
        causal[0].add(&load(&cluster, &diesel, Way::Causal, measured).await?)?;
        causal[1].add(&load(&cluster, &seaorm, Way::Causal, measured).await?)?;
    }
    causal[0].print("positions, Diesel", &base);
    causal[1].print("positions, SeaORM", &base);
    let share = causal[0].share().min(causal[1].share());
    for wait in WAITS {
        let config = || -> Result<Config, Error> {
            Ok(config(&cluster)?.causal_wait(Duration::from_millis(wait)).build()?)
        };
        let diesel = load(&cluster, &Diesel::start(config()?).await?, Way::Causal, measured).await?;
        diesel.print(&format!("causal_wait = {wait} ms, Diesel"), &base);
        let seaorm = load(&cluster, &SeaOrm::start(config()?).await?, Way::Causal, measured).await?;
        seaorm.print(&format!("causal_wait = {wait} ms, SeaORM"), &base);
        causal[0].add(&diesel)?;
        causal[1].add(&seaorm)?;
    }
    let violations: u64 = causal.iter().map(|tally| tally.unseen + tally.back).sum();
    let mut report = Report::default();
    report.chart(Chart {
        name: String::from("causal"),
        title: String::from("Reads that a replica serves, of all (90 of 100 statements read)"),
        unit: String::from("%"),
        series: Vec::new(),
        rows: vec![
            (String::from("rr: positions"), vec![100.0 * share]),
            (String::from("primary for 5 s after a write"), vec![100.0 * window.share()]),
            (String::from("primary after a write in the request"), vec![100.0 * same_request.share()]),
        ],
    });
    report.line(
        None,
        &[
            ("causal_replica_share", share, 3),
            ("window_replica_share", window.share(), 3),
            ("violations", count(violations), 0),
        ],
    );
    if violations > 0 {
        Err("a read showed less than its session had written or seen".into())
    } else {
        Ok(report)
    }
}
