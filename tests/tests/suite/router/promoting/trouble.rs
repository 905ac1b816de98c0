//! Promotions that meet trouble: a candidate that dies, a replica that does not follow, a primary that flaps, a network that
//! is cut.

use super::*;
use rr_core::error::FailoverError;
use rr_core::failover::{BoxFuture, Decision, Fence, HookError, Place};
use rr_core::route::RouteError;
use rr_core::topology::NoPrimary;
use rr_core::world::Notice;
use rr_tests::cluster::{Node, Part};

async fn decided(router: &Router<Plain>, what: &str, wanted: fn(&Decision) -> bool) -> Result {
    let looked = async || Ok::<_, Box<dyn Error>>(wanted(&router.failover().plan().await?.decision));
    rr_tests::wait::until(what, looked).await
}

/// Kills the best candidate while the old primary is fenced.
#[derive(Debug)]
struct Assassin(Node);

impl Fence for Assassin {
    fn fence<'a>(&'a self, node: &'a Place) -> BoxFuture<'a, std::result::Result<(), HookError>> {
        Box::pin(async move {
            if &*node.name != "primary" {
                return Err(HookError::new("only the primary can be fenced"));
            }
            self.0.crash().await.map_err(HookError::new)
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_dies_is_followed_by_the_next_one() -> Result {
    let cluster = Cluster::builder().replicas(2).start().await?;
    prepare(&cluster).await?;
    let mut config = promoting(&cluster, FailoverMode::Automatic);
    // Equals are elected by their priority.
    config.replicas[1] = std::mem::take(&mut config.replicas[1]).with_priority(1);
    let assassin = Arc::new(Assassin(cluster.replica(1)?.clone()));
    let router = Router::builder(Plain).config(config).fence(assassin).start().await?;
    all_serving(&router).await?;
    cluster.primary().kill9().await?;
    let report = ended(&router, 1).await?;
    assert_eq!(report.to.as_deref(), Some("replica-2"), "{report}");
    assert!(report.succeeded() && !report.durations.of(Phase::Fencing).is_zero(), "{report}");
    assert_eq!(writable(&cluster).await?, ["replica-2"]);
    Ok(())
}

/// Waits until a server has been told to take over.
async fn until_told(candidate: &Node) -> Result {
    let file = "SELECT count(*) FROM pg_stat_file('promote', true) WHERE size IS NOT NULL";
    rr_tests::wait::until("the candidate to be told", async || {
        Ok(candidate.admin_query_text(file).await? == "1")
    })
    .await
}

/// The candidate is told to take over, does not, and dies.
async fn dies_when_told(timeout: Duration) -> Result<(Cluster, Router<Plain>)> {
    let change = |config: &mut Config| {
        config.failover.timeout = timeout;
        config.replicas[1] = std::mem::take(&mut config.replicas[1]).with_priority(1);
    };
    let (cluster, router) = promoted(2, FailoverMode::Automatic, change).await?;
    let candidate = cluster.replica(1)?;
    assert_eq!(candidate.sigstop(Part::Replay)?, 1, "it will not end recovery");
    cluster.primary().kill9().await?;
    until_told(candidate).await?;
    candidate.crash().await?;
    Ok((cluster, router))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_was_told_and_starts_again_as_a_standby_is_followed_by_the_next_one() -> Result {
    let (cluster, router) = dies_when_told(Duration::from_secs(60)).await?;
    // It may have taken over: nobody else does before that is known.
    assert!(router.failover().history().is_empty());
    cluster.replica(1)?.start().await?;
    let report = ended(&router, 1).await?;
    assert_eq!(report.to.as_deref(), Some("replica-2"), "{report}");
    assert!(report.succeeded(), "{report}");
    assert_eq!(writable(&cluster).await?, ["replica-2"]);
    cluster.replica(1)?.repointed(cluster.replica(2)?).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_was_told_and_stays_away_is_replaced_by_nobody_until_somebody_has_looked() -> Result
{
    let (cluster, router) = dies_when_told(Duration::from_secs(2)).await?;
    let report = ended(&router, 1).await?;
    assert!(matches!(report.ending, Ending::InDoubt(..)), "{report}");
    let held = router.route(&Request::write());
    assert!(
        matches!(held, Err(RouteError::NoPrimary { why: NoPrimary::SwitchingOver { .. }, .. })),
        "{held:?}"
    );
    // Nor is the old primary written to, should it come back.
    cluster.primary().start().await?;
    decided(&router, "the primary to be well", |decision| *decision == Decision::Stay).await?;
    assert!(router.route(&Request::write()).is_err());
    cluster.primary().kill9().await?;
    decided(&router, "the doubt to be told", |decision| {
        matches!(decision, Decision::Blocked(Block::InDoubt(_)))
    })
    .await?;
    for force in [false, true] {
        let asked = router.failover().initiate("it has not taken over", None, force).await;
        assert!(matches!(asked, Err(FailoverError::InDoubt)), "{asked:?}");
    }
    assert!(router.failover().clear_doubt().await?);
    let report = router.failover().initiate("it has not taken over", None, false).await?;
    assert!(report.succeeded(), "{report}");
    assert_eq!(writable(&cluster).await?, ["replica-2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_cannot_be_pointed_elsewhere_is_reported_and_the_rest_works() -> Result {
    let cluster = Cluster::builder().replicas(2).start().await?;
    prepare(&cluster).await?;
    if !asked::grant(&cluster).await? {
        return Ok(());
    }
    let mut config = promoting(&cluster, FailoverMode::Automatic);
    config.failover.user = Some("rr_failover".to_owned());
    let router = start(config).await?;
    all_serving(&router).await?;
    cluster.primary().admin_sql("REVOKE ALTER SYSTEM ON PARAMETER primary_conninfo FROM rr_failover").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    cluster.primary().kill9().await?;
    let report = ended(&router, 1).await?;
    assert!(report.succeeded(), "{report}");
    let other = if report.to.as_deref() == Some("replica-1") { "replica-2" } else { "replica-1" };
    let told =
        |what: &String| what.contains(&format!("let `{other}` follow")) && what.contains("permission denied");
    assert!(report.to_do.iter().any(told), "{report}");
    write_soon(&router, "after").await?;
    Ok(())
}

/// Whether the network refuses or swallows, and for however long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_between_the_application_and_the_primary_promotes_nobody() -> Result {
    let change = |config: &mut Config| {
        config.monitor.timeout = Duration::from_millis(100);
        config.monitor.connect_timeout = Duration::from_millis(100);
        config.pool.primary.connect_timeout = Duration::from_millis(500);
    };
    for silent in [false, true] {
        let (cluster, router) = promoted(2, FailoverMode::Automatic, change).await?;
        let link = cluster.primary().link();
        if silent {
            link.blackhole().await?
        } else {
            link.cut().await?
        }
        decided(&router, "the witnesses to be asked", |decision| {
            matches!(decision, Decision::Blocked(Block::WitnessesDisagree { .. }))
        })
        .await?;
        let queued = tokio::spawn({
            let router = router.clone();
            async move { write_soon(&router, "queued").await.map_err(|error| error.to_string()) }
        });
        // It has been confirmed many times over.
        let many = 5 * router.config().failover.confirmations;
        until(&router, "the primary to be away for long", |r| {
            assert_eq!(primary(r).as_deref(), Some("primary"));
            assert!(r.failover().history().is_empty(), "{:?}", r.failover().history());
            r.topology().primary().is_ok_and(|primary| primary.failures >= many)
        })
        .await?;
        assert_eq!(writable(&cluster).await?, ["primary"]);
        assert!(!queued.is_finished());
        link.heal().await?;
        decided(&router, "the primary to be back", |decision| *decision == Decision::Stay).await?;
        queued.await??;
        assert!(router.failover().history().is_empty());
        assert_eq!(writable(&cluster).await?, ["primary"]);
        write(&router, "as before").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switchover_whose_candidate_dies_when_told_holds_writes_until_somebody_has_looked() -> Result {
    let short = |config: &mut Config| config.failover.timeout = Duration::from_secs(2);
    let (cluster, router) = promoted(1, FailoverMode::Manual, short).await?;
    let (old, candidate) = (cluster.primary(), cluster.replica(1)?);
    write(&router, "before").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    assert_eq!(candidate.sigstop(Part::Replay)?, 1, "it will not end recovery");
    let switching = tokio::spawn({
        let router = router.clone();
        async move { router.failover().initiate("maintenance", None, false).await }
    });
    until_told(candidate).await?;
    candidate.crash().await?;
    let report = switching.await??;
    assert!(matches!(report.ending, Ending::InDoubt(..)) && report.planned, "{report}");
    // Nobody knows whether it has taken over, so that nobody may write to the old one.
    let held = |r: &Router<Plain>| {
        matches!(
            r.route(&Request::write()),
            Err(RouteError::NoPrimary { why: NoPrimary::SwitchingOver { .. }, .. })
        )
    };
    assert!(held(&router), "{report}");
    let refused = old.sql("INSERT INTO note (text) VALUES ('past the router')").await.unwrap_err();
    assert!(format!("{refused:?}").contains("25006"), "{refused:?}");
    let told = |what: &String| {
        ["`primary`", "default_transaction_read_only", "reset"].iter().all(|word| what.contains(word))
    };
    assert!(report.to_do.iter().any(told), "{report}");
    // Whoever has looked does as told.
    old.admin_sql("ALTER SYSTEM RESET default_transaction_read_only").await?;
    old.admin_sql("SELECT pg_reload_conf()").await?;
    assert!(held(&router), "the doubt is not over by that");
    assert!(router.failover().clear_doubt().await?);
    write_soon(&router, "after").await?;
    assert_eq!(primary(&router).as_deref(), Some("primary"));
    candidate.start().await?;
    candidate.wait_caught_up(old, PATIENCE).await?;
    assert_eq!(
        candidate.query_text("SELECT string_agg(text, ' ' ORDER BY id) FROM note").await?,
        "before after"
    );
    assert_eq!(writable(&cluster).await?, ["primary"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_stands_still_for_a_moment_stays_and_one_that_does_for_long_is_replaced_once() -> Result
{
    let change = |config: &mut Config| {
        config.monitor.timeout = Duration::from_millis(100);
        config.monitor.connect_timeout = Duration::from_millis(100);
    };
    let (cluster, router) = promoted(2, FailoverMode::Automatic, change).await?;
    for _ in 0..3 {
        cluster.primary().sigstop(Part::Everything)?;
        until(&router, "its silence", |r| r.topology().primary().is_ok_and(|node| node.failures > 0)).await?;
        cluster.primary().sigcont(Part::Everything)?;
        until(&router, "its return", |r| r.topology().primary().is_ok_and(|node| node.failures == 0)).await?;
    }
    assert!(router.failover().history().iter().all(|report| !report.succeeded()));
    assert_eq!(primary(&router).as_deref(), Some("primary"));
    // Its replicas lose it after `wal_receiver_timeout`.
    cluster.primary().sigstop(Part::Everything)?;
    until(&router, "the promotion", |r| r.failover().history().iter().any(|report| report.succeeded()))
        .await?;
    cluster.primary().sigcont(Part::Everything)?;
    until(&router, "the old primary to be quarantined", |r| {
        let topology = r.topology();
        topology.nodes().iter().any(|n| n.quarantine == Some(Quarantine::StalePrimary))
    })
    .await?;
    let leader = primary(&router).ok_or("a primary")?;
    write_soon(&router, "after").await?;
    // A second one on its heels is not replaced.
    cluster.node(&leader)?.kill9().await?;
    decided(&router, "the cooldown to be told", |decision| {
        matches!(decision, Decision::Blocked(Block::Cooldown { .. }))
    })
    .await?;
    assert_eq!(router.failover().history().iter().filter(|report| report.succeeded()).count(), 1);
    Ok(())
}

/// Of the rules that hold a promotion back, the confirmations, and then the cooldown, are the only ones that do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_witnesses_a_flapping_primary_is_replaced_once_it_is_confirmed_and_its_successor_is_not()
-> Result {
    let change = |config: &mut Config| {
        config.monitor.timeout = Duration::from_millis(100);
        config.monitor.connect_timeout = Duration::from_millis(100);
        config.failover.witness = false;
        // Each of them takes as long as a look may: no absence below but the last one comes near.
        config.failover.confirmations = 40;
    };
    let (cluster, router) = promoted(2, FailoverMode::Automatic, change).await?;
    let failures = |r: &Router<Plain>| r.topology().primary().map_or(0, |node| node.failures);
    for _ in 0..3 {
        cluster.primary().sigstop(Part::Everything)?;
        until(&router, "its silence", |r| failures(r) > 3).await?;
        cluster.primary().sigcont(Part::Everything)?;
        until(&router, "its return", |r| failures(r) == 0).await?;
    }
    // Nor was anything begun.
    assert!(router.failover().history().is_empty(), "{:?}", router.failover().history());
    assert_eq!(writable(&cluster).await?, ["primary"]);
    cluster.primary().sigstop(Part::Everything)?;
    let report = ended(&router, 1).await?;
    assert!(report.succeeded(), "{report}");
    let leader = cluster.node(report.to.as_deref().ok_or("a leader")?)?;
    // So does its successor, for as long as it takes to be confirmed.
    leader.sigstop(Part::Everything)?;
    let is_cooldown = |told: &Notice| {
        let Notice::Failover { decision, .. } = told else { return false };
        matches!(decision, Decision::Blocked(Block::Cooldown { .. }))
    };
    until(&router, "the cooldown to be told", |r| {
        r.recent_notices(0).iter().any(|told| is_cooldown(&told.notice))
    })
    .await?;
    leader.sigcont(Part::Everything)?;
    until(&router, "its return", |r| failures(r) == 0).await?;
    assert_eq!((router.failover().history().len(), primary(&router).as_deref()), (1, Some(leader.name())));
    cluster.primary().sigcont(Part::Everything)?;
    write_soon(&router, "after").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_is_shut_down_in_the_middle_leaves_the_primary_as_it_was() -> Result {
    let (cluster, router) = promoted(1, FailoverMode::Manual, |_| {}).await?;
    // It will never have everything.
    cluster.replica(1)?.upstream_link().ok_or("a link")?.cut().await?;
    write(&router, "never shipped").await?;
    let switching = tokio::spawn({
        let router = router.clone();
        async move { router.failover().initiate("maintenance", None, false).await }
    });
    let frozen = "SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_read_only'";
    rr_tests::wait::until("the primary to be frozen", async || {
        Ok(cluster.primary().admin_query_text(frozen).await? == "on")
    })
    .await?;
    router.shutdown().await;
    assert_eq!(cluster.primary().admin_query_text(frozen).await?, "off");
    assert!(switching.await?.is_err());
    cluster.primary().sql("INSERT INTO note (text) VALUES ('as before')").await?;
    Ok(())
}
