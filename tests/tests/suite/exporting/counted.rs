//! What is counted, by all its labels: each thing that happens once, and nothing else.

use std::collections::BTreeMap;

use rr_core::adapter::{Ledger, Search, Wish};
use rr_core::config::{FailoverMode, Secret};
use rr_core::retry::{Attempts, Policy, Trouble};
use rr_core::world::{Notice, Severity, Turn};
use rr_core::{Consistency, Requirement, RouteReason, Session};

use super::*;
use crate::router::{healthy, until, write};

/// The series of a counter that are not 0, by the values of their labels in the order of the labels' names.
async fn counted(router: &Router<Plain>, name: &str) -> Result<BTreeMap<String, u64>> {
    let text = scrape(router).await?;
    let series = text.lines().filter_map(|line| line.strip_prefix(name)?.split_once(' '));
    let series = series.map(|(labels, value)| {
        let values: Vec<_> = labels.split('"').skip(1).step_by(2).collect();
        Ok::<_, Box<dyn std::error::Error>>((values.join(" "), value.parse()?))
    });
    let mut found = series.collect::<Result<BTreeMap<_, _>>>()?;
    found.retain(|_, count| *count > 0);
    Ok(found)
}

/// As what [`counted`] finds.
fn only<const N: usize>(series: [(&str, usize); N]) -> BTreeMap<String, u64> {
    let count = |count| u64::try_from(count).expect("a small number");
    series.into_iter().map(|(labels, of)| (labels.to_owned(), count(of))).collect()
}

async fn over(cluster: &Cluster, change: impl FnOnce(&mut rr_core::Config)) -> Result<Router<Plain>> {
    let mut config = config(cluster);
    config.session.keys = vec![Secret::new("a key of the test of counters, long enough")];
    change(&mut config);
    let router = start(config).await?;
    all_serving(&router).await?;
    Ok(router)
}

#[tokio::test]
async fn reads_that_are_left_to_the_primary() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let limited = |config: &mut rr_core::Config| {
        config.primary_reads.per_second = Some(1);
        config.primary_reads.burst = 3;
    };
    let router = over(&cluster, limited).await?;
    assert_eq!(counted(&router, "rr_fallbacks_total").await?, only([]));
    cluster.replica(1)?.pause_replay().await?;
    let unseen = Requirement::covering(write(&router, "unseen").await?);
    let tries = 20;
    let reads = |level| {
        let request = Request::read(unseen.clone()).at_level(level);
        (0..tries).filter(|_| router.route(&request).is_ok()).count()
    };
    let behind = [reads(Consistency::Session), reads(Consistency::Strong)];
    let served = behind[0] + behind[1];
    let mut expected =
        only([("served replicas_behind", served), ("budget_spent replicas_behind", 2 * tries - served)]);
    assert!(expected.values().all(|count| *count > 0), "{expected:?}");
    assert_eq!(counted(&router, "rr_fallbacks_total").await?, expected);
    let mut upgraded = only([("session", behind[0]), ("strong", behind[1])]);
    upgraded.retain(|_, count| *count > 0);
    assert_eq!(counted(&router, "rr_upgrades_total").await?, upgraded);

    cluster.replica(1)?.kill9().await?;
    until(&router, "the replica to be down", |r| !healthy(r, "replica-1")).await?;
    let (mut ended, request) = ([0, 0], Request::read(Requirement::NONE));
    until(&router, "the budget to allow a read and to refuse one", |r| {
        ended[usize::from(r.route(&request).is_ok())] += 1;
        !ended.contains(&0)
    })
    .await?;
    expected.extend(only([("budget_spent replicas_down", ended[0]), ("served replicas_down", ended[1])]));
    assert_eq!(counted(&router, "rr_fallbacks_total").await?, expected);
    assert_eq!(counted(&router, "rr_upgrades_total").await?, upgraded, "no level was in the way");
    Ok(())
}

#[tokio::test]
async fn statements_that_are_run_again() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let limited = |config: &mut rr_core::Config| {
        config.retries.per_second = Some(1);
        config.retries.burst = 3;
    };
    let router = over(&cluster, limited).await?;
    let ledger = Ledger::new(router.clone());
    let mut search = Search::new(&router, Wish::default());
    let route = router.route(&search.request(&ledger))?;
    assert_eq!(&**route.name(), "replica-1");
    cluster.replica(1)?.kill9().await?;
    search.failed(route.node());
    assert!(run(route, "SELECT 'a'").await.is_err());
    assert!(search.may_replay(&router));
    let route = router.route(&search.request(&ledger))?;
    assert_eq!((&**route.name(), route.reason()), ("primary", RouteReason::ReplicasDown));
    run(route, "SELECT 'a'").await?;
    assert_eq!(counted(&router, "rr_retries_total").await?, only([("read again", 1)]));
    assert_eq!(counted(&router, "rr_fallbacks_total").await?, only([("served replicas_down", 1)]));

    let mut attempts = Attempts::new(&router, Policy::new().tries(2));
    assert!(!attempts.again(None).await, "an error of the application's own");
    assert!(attempts.again(Some(Trouble::Conflict)).await);
    assert!(!attempts.again(Some(Trouble::Lost)).await);
    let replayed = (0..20).filter(|_| search.may_replay(&router)).count();
    let expected = [
        ("read again", 1 + replayed),
        ("read budget_spent", 20 - replayed),
        ("transaction again", 1),
        ("transaction gave_up", 1),
    ];
    assert_eq!(counted(&router, "rr_retries_total").await?, only(expected));
    Ok(())
}

#[tokio::test]
async fn a_promotion_that_is_followed_what_it_has_lost_and_tokens() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let router = over(&cluster, |_| {}).await?;
    let (kept, lost) = (Session::new(), Session::new());
    let token = router.token(&kept)?;
    drop(router.resume(token.as_str()).await?);
    assert!(router.resume("not a token").await.is_err());
    let tokens = [("issued", 1), ("malformed", 1), ("resumed", 1)];
    assert_eq!(counted(&router, "rr_tokens_total").await?, only(tokens));

    cluster.replica(1)?.upstream_link().ok_or("a link")?.cut().await?;
    let mut ledger = Ledger::new(router.clone());
    ledger.session = Some(lost.clone());
    let suspect = ledger.suspect(None);
    suspect.wrote(Some(&write(&router, "lost").await?));
    let token = router.token(&lost)?;
    assert_eq!(counted(&router, "rr_lost_writes_total").await?, only([]));
    cluster.primary().kill9().await?;
    cluster.replica(1)?.promote().await?;
    until(&router, "the promotion to be followed", |r| {
        r.topology().primary().is_ok_and(|node| &*node.name == "replica-1" && node.applied.is_some())
    })
    .await?;
    let count = async |name| counted(&router, name).await;
    wait::until("the process to be told", async || {
        Ok(count("rr_lost_writes_total").await? == only([("process", 1)]))
    })
    .await?;
    assert_eq!(count("rr_failovers_total").await?, only([("promoted followed", 1)]));

    let search = Search::new(&router, Wish::default());
    assert!(router.route(&search.request(&ledger)).is_err());
    assert_eq!(count("rr_lost_writes_total").await?, only([("process", 1), ("session", 1)]));
    assert!(router.resume(token.as_str()).await.is_err());
    assert_eq!(count("rr_lost_writes_total").await?, only([("process", 1), ("session", 2)]));
    let tokens = [("issued", 2), ("lost_write", 1), ("malformed", 1), ("resumed", 1)];
    assert_eq!(count("rr_tokens_total").await?, only(tokens));
    assert_eq!(count("rr_causal_total").await?, only([("lost_write", 2)]));
    Ok(())
}

#[tokio::test]
async fn a_promotion_by_the_router() -> Result {
    let cluster = Cluster::builder().replicas(2).start().await?;
    prepare(&cluster).await?;
    let router = start(rr_tests::plain::promoting(&cluster, FailoverMode::Automatic)).await?;
    all_serving(&router).await?;
    cluster.primary().kill9().await?;
    until(&router, "the promotion to end", |r| r.failover().history().len() == 1).await?;
    wait::until("it to be counted", async || {
        Ok(counted(&router, "rr_failovers_total").await? == only([("promoted failover", 1)]))
    })
    .await?;
    let outages = counted(&router, "rr_failover_duration_seconds_count").await?;
    assert_eq!(outages, only([("failover", 1)]));
    Ok(())
}

/// Notices that begin something or tell of an event, by severity.
fn alerts(router: &Router<Plain>) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for told in router.recent_notices(0) {
        if told.notice.turn() != Turn::Closes {
            *all.entry(told.notice.severity().to_string()).or_default() += 1;
        }
    }
    all
}

#[tokio::test]
async fn alerts_by_how_bad_they_are() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let router = over(&cluster, |config| {
        let hours = |hours: u64| Duration::from_secs(3600 * hours);
        config.lag.info = Duration::from_millis(200);
        config.lag.warning = Duration::from_millis(400);
        (config.lag.error, config.lag.critical) = (hours(1), hours(2));
    })
    .await?;
    cluster.replica(1)?.pause_replay().await?;
    write(&router, "unseen").await?;
    let lags = |r: &Router<Plain>, severity| {
        let of = |notice: &Notice| matches!(notice, Notice::Lag { .. }) && notice.severity() == severity;
        r.recent_notices(0).iter().filter(|told| of(&told.notice)).count()
    };
    until(&router, "the replica to lag", |r| lags(r, Severity::Warning) == 1).await?;
    let told = async || Ok(counted(&router, "rr_alerts_total").await? == alerts(&router));
    wait::until("each notice to be counted", told).await?;
    assert!(alerts(&router)["warning"] >= 1);

    cluster.replica(1)?.kill9().await?;
    until(&router, "the replica to be down", |r| !healthy(r, "replica-1")).await?;
    wait::until("the error to be counted", async || {
        let counted = counted(&router, "rr_alerts_total").await?;
        Ok(counted.contains_key("error") && counted == alerts(&router))
    })
    .await
}
