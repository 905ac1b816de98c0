//! rr, and what else an application could split its reads with: the same load on the same servers.
//!
//! The load is the one of `causal`: one statement in ten writes, clients at full speed, and each read is
//! checked against what its client has written and seen. All use connections that are not pinged before use; where the name
//! says nothing else, of Diesel. Servers, clients and proxies share the processors and keep them busy, so throughput is what
//! a statement costs altogether. Turns alternate, so that all meet the same machine.
//!
//! `sqlx-pool-router` brings sqlx 0.8 beside SeaORM's 0.9: whoever wants it here builds with the feature of its name.

#[cfg(feature = "sqlx-pool-router")]
mod pool_router;

use std::time::Duration;

use rr_core::Config;
use rr_tests::cluster::Cluster;
use rr_tests::wait::wait_for;

use crate::causal::orms::{Diesel, Notes, Pools, SeaOrm};
use crate::causal::{self, CLIENTS, Tally, WRITES, Way};
use crate::proxies::{Program, Proxy};
use crate::report::{Chart, Report, count};
use crate::servers::PATIENCE;
use crate::with_diesel::plain_pool;
use crate::{Error, servers};

const REPLICAS: usize = 2;

/// Turns of each.
const TURNS: u32 = 3;

/// pgpool-II's remedy: after a session's first write all its reads go to the primary.
const ALWAYS: &str = "disable_load_balance_on_write = 'always'";

/// Somebody who takes part.
struct Contender {
    name: &'static str,
    by: By,
    tally: Tally,
}

enum By {
    Rr(Diesel),
    RrSeaOrm(Box<SeaOrm>),
    Pools(Pools),
    #[cfg(feature = "sqlx-pool-router")]
    PoolRouter(pool_router::PoolRouter),
}

impl Contender {
    fn new(name: &'static str, by: By) -> Result<Self, Error> {
        Ok(Self { name, by, tally: Tally::new()? })
    }

    async fn turn(&mut self, cluster: &Cluster, measured: Duration) -> Result<(), Error> {
        // The way says who decides; here everybody does it as they do.
        let tally = match &self.by {
            By::Rr(diesel) => causal::load(cluster, diesel, Way::Causal, measured).await?,
            By::RrSeaOrm(seaorm) => causal::load(cluster, seaorm.as_ref(), Way::Causal, measured).await?,
            By::Pools(pools) => causal::load(cluster, pools, Way::Causal, measured).await?,
            #[cfg(feature = "sqlx-pool-router")]
            By::PoolRouter(pools) => causal::load(cluster, pools, Way::Causal, measured).await?,
        };
        self.tally.add(&tally)
    }

    fn statements(&self) -> f64 {
        count(self.tally.reads + self.tally.writes)
    }

    const fn stale(&self) -> u64 {
        self.tally.unseen + self.tally.back
    }
}

async fn through(url: &str) -> Result<By, Error> {
    let pool = plain_pool(url).await?;
    Ok(By::Pools(Pools { writes: pool.clone(), reads: vec![pool] }))
}

fn config(cluster: &Cluster) -> Result<Config, Error> {
    let mut config = Config::builder().primary(cluster.primary().direct_url());
    for node in cluster.replicas() {
        config = config.replica(node.direct_url());
    }
    Ok(config.build()?)
}

async fn two_pools(cluster: &Cluster) -> Result<By, Error> {
    let writes = plain_pool(&cluster.primary().direct_url()).await?;
    let mut reads = Vec::new();
    for node in cluster.replicas() {
        reads.push(plain_pool(&node.direct_url()).await?);
    }
    Ok(By::Pools(Pools { writes, reads }))
}

/// Waits until it knows which server is which.
async fn splits(pools: &By, proxy: &Proxy) -> Result<(), Error> {
    let By::Pools(pools) = pools else { return Ok(()) };
    let split = async || {
        pools.write(0, 0).await?;
        Ok::<_, Error>(pools.read(1, false).await?.standby.then_some(()))
    };
    let waited = wait_for(PATIENCE, "pgpool-II to send a read to a replica", split).await;
    waited.map_err(|error| format!("{error}; it said:\n{}", proxy.log()).into())
}

fn absent(name: &str) {
    println!(
        "{name}: skipped, it is not installed; `scripts/setup.sh proxies` fetches it from Debian's packages"
    );
}

/// Each turn takes this long.
pub(crate) async fn run(measured: Duration, quick: bool) -> Result<Report, Error> {
    let cluster = servers::anywhere(REPLICAS).await?;
    causal::fill(&cluster).await?;
    let turns = if quick { 1 } else { TURNS };
    println!(
        "{CLIENTS} clients at full speed, one write in {WRITES} statements, {REPLICAS} asynchronous replicas; {turns} × {:.1} s",
        measured.as_secs_f64()
    );
    let mut report = Report::default();
    report.versions.push(String::from(cluster.programs().version()));
    let mut proxies = Vec::new();
    let primary = cluster.primary();
    let mut contenders = vec![
        Contender::new("a pool on the primary", through(&primary.direct_url()).await?)?,
        Contender::new("two pools", two_pools(&cluster).await?)?,
        Contender::new("rr", By::Rr(Diesel::start(config(&cluster)?).await?))?,
        Contender::new("rr, SeaORM", By::RrSeaOrm(Box::new(SeaOrm::start(config(&cluster)?).await?)))?,
    ];
    #[cfg(feature = "sqlx-pool-router")]
    contenders.push(Contender::new(
        "sqlx-pool-router, 1 replica",
        By::PoolRouter(pool_router::PoolRouter::connect(&cluster).await?),
    )?);
    #[cfg(not(feature = "sqlx-pool-router"))]
    println!("sqlx-pool-router: skipped, build with `--features sqlx-pool-router`");
    if let Some(program) = Program::find("pgbouncer") {
        report.versions.push(program.version().await?);
        let proxy = program.bouncer(primary).await?;
        contenders.push(Contender::new("PgBouncer on the primary", through(&proxy.url_of(primary)).await?)?);
        proxies.push(proxy);
    } else {
        absent("PgBouncer");
    }
    if let Some(program) = Program::find("pgpool") {
        report.versions.push(program.version().await?);
        for (name, settings) in [("pgpool-II", ""), ("pgpool-II, careful", ALWAYS)] {
            let proxy = program.pgpool(cluster.nodes(), settings).await?;
            let pools = through(&proxy.url_of(primary)).await?;
            if settings.is_empty() {
                splits(&pools, &proxy).await?;
            }
            contenders.push(Contender::new(name, pools)?);
            proxies.push(proxy);
        }
    } else {
        absent("pgpool-II");
    }
    for _ in 0..turns {
        for contender in &mut contenders {
            contender.turn(&cluster, measured).await?;
        }
    }
    let seconds = measured.as_secs_f64() * f64::from(turns);
    table(&contenders, seconds, &mut report);
    let found = figures(&contenders, &mut report);
    // The clients first.
    drop(contenders);
    for proxy in proxies {
        proxy.end().await?;
    }
    found.map(|()| report)
}

fn table(contenders: &[Contender], seconds: f64, report: &mut Report) {
    println!(
        "{:<28} {:>12} {:>8} {:>8} {:>8} {:>10} {:>10}",
        "", "statements/s", "p50 ms", "p99 ms", "replicas", "own unseen", "gone back"
    );
    let mut charts = [Vec::new(), Vec::new()];
    for contender in contenders {
        let Contender { name, tally, .. } = contender;
        let millis =
            |quantile| Duration::from_nanos(tally.times.value_at_quantile(quantile)).as_secs_f64() * 1e3;
        println!(
            "{name:<28} {:>12.0} {:>8.2} {:>8.2} {:>7.0}% {:>10} {:>10}",
            contender.statements() / seconds,
            millis(0.5),
            millis(0.99),
            100.0 * tally.share(),
            tally.unseen,
            tally.back,
        );
        charts[0].push((String::from(*name), vec![contender.statements() / seconds]));
        let stale = 1e3 * count(contender.stale()) / count(tally.reads.max(1));
        charts[1].push((String::from(*name), vec![stale]));
    }
    let [throughput, stale] = charts;
    let chart = |name: &str, title: &str, unit: &str, rows| Chart {
        name: String::from(name),
        title: String::from(title),
        unit: String::from(unit),
        series: Vec::new(),
        rows,
    };
    report.chart(chart("compare-throughput", "Statements a second, nine reads to a write", "/s", throughput));
    report.chart(chart("compare-stale", "Of 1000 reads, these were too old for their client", "‰", stale));
}

fn figures(contenders: &[Contender], report: &mut Report) -> Result<(), Error> {
    let named = |name: &str| contenders.iter().find(|contender| contender.name == name);
    let rr = named("rr").ok_or("rr did not take part")?;
    let seaorm = named("rr, SeaORM").ok_or("rr under SeaORM did not take part")?;
    let times = |other: &Contender| rr.statements() / other.statements().max(1.0);
    if let Some(plain) = named("a pool on the primary") {
        report.line(None, &[("compare_rr_vs_plain_throughput", times(plain), 2)]);
    }
    report.line(None, &[("rr_stale", count(rr.stale() + seaorm.stale()), 0)]);
    let stale = [
        ("two_pools", "two pools"),
        ("sqlx_pool_router", "sqlx-pool-router, 1 replica"),
        ("pgpool", "pgpool-II"),
        ("careful_pgpool", "pgpool-II, careful"),
    ];
    for (figure, name) in stale {
        if let Some(other) = named(name) {
            report.line(
                None,
                &[
                    (&format!("compare_rr_vs_{figure}_throughput"), times(other), 2),
                    (&format!("{figure}_stale"), count(other.stale()), 0),
                    (&format!("{figure}_replica_share"), other.tally.share(), 3),
                ],
            );
        }
    }
    if [rr, seaorm].iter().any(|rr| rr.tally.on_standby == 0) {
        return Err("rr's reads all went to the primary".into());
    }
    if rr.stale() + seaorm.stale() > 0 {
        return Err("a read showed less than its session had written or seen".into());
    }
    Ok(())
}
