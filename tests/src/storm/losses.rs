//! Storms in which replicas are lost: what their reads do to the primary.

use std::time::Duration;

use rr_core::config::{CausalElse, ConfigBuilder, Unscoped};
use rr_core::time::{Clock, Moment};
use rr_core::{Config, RouteReason};

use super::{Client, Counts, Failure, Storm, TASKS, Turn, recovered};
use crate::cluster::Cluster;
use crate::wait::{PATIENCE, until};

/// Tasks that write; all others read.
const WRITERS: usize = 4;

/// Reads on the primary: a second, and at once.
const BUDGET: (u32, u32) = (50, 100);

const fn next(task: usize, _: u64) -> Turn {
    if task < WRITERS { Turn::Write } else { Turn::Read }
}

/// With a budget for reads on the primary.
pub fn with_budget(config: ConfigBuilder) -> ConfigBuilder {
    super::settings(config).with(|config| {
        // What others have written does not concern these reads.
        config.unscoped = Unscoped::Eventual;
        config.primary_reads.per_second = Some(BUDGET.0);
        config.primary_reads.burst = BUDGET.1;
        config.retries.within = Duration::from_millis(500);
        soon_noticed(config);
    })
}

/// With replicas that serve what is old rather than nothing.
pub fn stale_ok(config: ConfigBuilder) -> ConfigBuilder {
    super::settings(config).with(|config| {
        config.causal_else = CausalElse::Stale;
        config.max_lag = None;
        config.pool.replica.checkout_timeout = PATIENCE;
        soon_noticed(config);
    })
}

/// What goes away is missed soon, and what comes back is trusted soon.
const fn soon_noticed(config: &mut Config) {
    let limit = Duration::from_secs(2);
    config.monitor.connect_timeout = limit;
    config.pool.primary.connect_timeout = limit;
    config.pool.replica.connect_timeout = limit;
    config.health.probation = Duration::from_millis(200);
    config.health.slow_start = Duration::ZERO;
}

/// When all replicas die, the primary gets as many of their reads as its budget allows and no more, the others are told
/// why, and no write fails.
///
/// # Errors
/// When servers or tasks fail. Everything else is asserted.
pub async fn the_primary_survives_its_replicas<D: Client>(
    db: &D,
    cluster: &Cluster,
) -> Result<Vec<Counts>, Failure> {
    let clock = Clock::start();
    let storm = Storm::start(db, TASKS, next);
    storm.until("standbys to serve", |counts| counts.standby >= 2000).await?;
    for replica in cluster.replicas() {
        replica.kill9().await?;
    }
    let down = async || Ok(db.router().health().replicas.iter().all(|replica| replica.state == "unhealthy"));
    until("the loss to be noticed", down).await?;
    storm.next_part();
    let enough = |counts: &Counts| counts.no_budget >= 5000 && counts.primary > 0 && counts.written >= 500;
    storm.until("reads to be refused, and writes done", enough).await?;
    let served = storm.on_the_primary();
    let seconds = clock.now().since(Moment::ORIGIN).as_secs() + 1;
    let allowed = u64::from(BUDGET.0) * seconds + u64::from(BUDGET.1);
    assert!(served <= allowed, "the primary served {served} reads of {allowed}");
    for replica in cluster.replicas() {
        replica.start().await?;
    }
    storm.until("standbys to serve again", |counts| counts.standby >= 2000).await?;
    let parts = storm.end().await?;
    let (before, after) = (&parts[0], &parts[1]);
    // Reads that were under way when the replicas died may be told that these cannot be connected to.
    assert!(before.words.iter().all(|words| words.contains("connect")), "{before:?}");
    assert_eq!((after.failed, after.no_connection), (0, 0), "{after:?}");
    healthy_again(db).await?;
    recovered(db, cluster).await?;
    Ok(parts)
}

/// When the replicas that are up to date die, the one that is left serves what it has, if that is allowed, and the primary
/// has no more to do than before.
///
/// # Errors
/// When servers or tasks fail. Everything else is asserted.
pub async fn what_is_old_will_do<D: Client>(db: &D, cluster: &Cluster) -> Result<Vec<Counts>, Failure> {
    let (late, fresh) = (cluster.replica(1)?, cluster.replica(2)?);
    late.pause_replay().await?;
    let storm = Storm::start(db, TASKS, next);
    storm.until("standbys to serve", |counts| counts.standby >= 1000 && counts.written >= 100).await?;
    fresh.kill9().await?;
    storm.next_part();
    let stale = || db.router().routed(late.name(), RouteReason::Stale);
    let at_first = stale();
    let enough = |counts: &Counts| counts.standby >= 3000 && counts.written >= 200;
    storm.until("the late one to serve", enough).await?;
    assert!(stale() >= at_first + 1000, "{} of {:?} were stale", stale() - at_first, storm.counts());
    late.resume_replay().await?;
    fresh.start().await?;
    let on_fresh =
        || RouteReason::ALL.map(|reason| db.router().routed(fresh.name(), reason)).iter().sum::<u64>();
    let before = on_fresh();
    until("the other one to serve again", async || Ok(on_fresh() >= before + 500)).await?;
    let parts = storm.end().await?;
    for part in &parts {
        assert_eq!((part.answered(), part.primary), (part.ended(), 0), "{parts:?}");
    }
    healthy_again(db).await?;
    recovered(db, cluster).await?;
    Ok(parts)
}

/// Waits until whoever was away has been back for long enough to be trusted.
async fn healthy_again<D: Client>(db: &D) -> Result<(), Failure> {
    let healthy = async || Ok(db.router().health().replicas.iter().all(|replica| replica.state == "healthy"));
    until("the replicas to be trusted again", healthy).await
}
