//! Replicas that can not take over, or can not follow whoever did.

use super::asked::healthy_primary;
use super::*;
use rr_core::failover::CandidateRefusal;
use rr_core::router::Standing;
use rr_tests::cluster::Node;

/// Lets a server's settings refuse writes, or not any more. It does not matter to a standby.
async fn freeze(node: &Node, change: &str) -> Result {
    node.admin_sql(&format!("ALTER SYSTEM {change}")).await?;
    node.admin_sql("SELECT pg_reload_conf()").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_would_refuse_writes_does_not_take_over_even_by_force() -> Result {
    let (cluster, router) = promoted(2, FailoverMode::Manual, |_| {}).await?;
    let unfit = cluster.replica(1)?;
    freeze(unfit, "SET default_transaction_read_only = on").await?;
    let standing = async || {
        let plan = router.failover().plan().await?;
        let node = plan.nodes.iter().find(|node| &*node.name == "replica-1");
        Ok::<_, Box<dyn Error>>(node.map(|node| node.standing))
    };
    let refused = Some(Standing::Refused(CandidateRefusal::Frozen));
    rr_tests::wait::until("it to be refused", async || Ok(standing().await? == refused)).await?;
    for planned in [true, false] {
        if !planned {
            cluster.primary().kill9().await?;
            until(&router, "the primary to be down", |r| !healthy_primary(r)).await?;
        }
        let report = router.failover().initiate("it is the nearest", Some("replica-1"), true).await?;
        assert!(matches!(report.ending, Ending::Stopped(Stop::NoCandidate(_))), "{report}");
        assert!(report.to_string().contains("default_transaction_read_only"), "{report}");
    }
    let report = router.failover().initiate("whoever can", None, false).await?;
    assert_eq!(report.to.as_deref(), Some("replica-2"), "{report}");
    write_soon(&router, "by the other one").await?;
    // And back, when somebody has done what was said.
    freeze(unfit, "RESET default_transaction_read_only").await?;
    unfit.wait_caught_up(cluster.replica(2)?, PATIENCE).await?;
    rr_tests::wait::until("it to be well", async || Ok(standing().await? != refused)).await?;
    let report = router.failover().initiate("it is the nearest", Some("replica-1"), false).await?;
    assert!(report.succeeded(), "{report}");
    write_soon(&router, "by this one").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_stays_on_its_timeline_is_reported() -> Result {
    let builder = Cluster::builder().replicas(2);
    let cluster = builder.node_setting("replica-2", "recovery_target_timeline", "current").start().await?;
    prepare(&cluster).await?;
    let router = start(promoting(&cluster, FailoverMode::Manual)).await?;
    all_serving(&router).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let report = router.failover().initiate("maintenance", Some("replica-1"), false).await?;
    assert!(report.succeeded(), "{report}");
    let told = |what: &String| what.contains("`replica-2`") && what.contains("recovery_target_timeline");
    assert!(report.to_do.iter().any(told), "{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_has_more_than_a_forced_target_cannot_follow_it_and_shows_it_to_nobody() -> Result {
    let (cluster, router) = promoted(2, FailoverMode::Manual, |_| {}).await?;
    cluster.replica(1)?.upstream_link().ok_or("a link")?.cut().await?;
    write(&router, "only one replica has this").await?;
    cluster.replica(2)?.wait_caught_up(cluster.primary(), PATIENCE).await?;
    cluster.primary().kill9().await?;
    until(&router, "the primary to be down", |r| !healthy_primary(r)).await?;
    let report = router.failover().initiate("this one, whatever it costs", Some("replica-1"), true).await?;
    assert!(report.succeeded(), "{report}");
    assert!(report.to_do.iter().any(|what| what.contains("`replica-2`")), "{report}");
    until(&router, "the other one to be quarantined", |r| {
        let topology = r.topology();
        let other = topology.nodes().iter().find(|node| &*node.name == "replica-2");
        other.is_some_and(|node| node.quarantine == Some(Quarantine::BeyondFork))
    })
    .await?;
    for _ in 0..50 {
        assert_ne!(&**router.route(&Request::read(Requirement::NONE))?.name(), "replica-2");
    }
    Ok(())
}
