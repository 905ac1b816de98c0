//! Promotions that somebody else makes.

use super::*;
use rr_core::route::RouteError;
use rr_core::topology::{Epoch, NoPrimary, Quarantine, Role};

fn quarantine(router: &Router<Plain>, node: &str) -> Option<Quarantine> {
    router.topology().nodes().iter().find(|n| &*n.name == node).and_then(|n| n.quarantine)
}

fn primary(router: &Router<Plain>) -> Option<String> {
    router.topology().primary().ok().map(|node| node.name.to_string())
}

#[tokio::test]
async fn a_promotion_is_followed_and_the_old_primary_is_never_trusted_again() -> Result {
    let (cluster, router) = routed(2).await?;
    let before = write(&router, "before").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    cluster.primary().kill9().await?;
    cluster.replica(1)?.promote().await?;
    until(&router, "the promotion to be followed", |r| primary(r).as_deref() == Some("replica-1")).await?;
    assert_eq!(router.topology().epoch(), Epoch::new(2));
    let route = router.route(&Request::write())?;
    assert_eq!((&**route.name(), route.pool_epoch()), ("replica-1", Epoch::new(2)));
    drop(route);
    let after = write(&router, "after").await?;
    assert!(!after.covers(&before), "positions of two timelines do not compare by themselves");

    // The sibling follows; a role that may read statistics sees at once on which timeline it is.
    cluster.replica(1)?.admin_sql("GRANT pg_read_all_stats TO app").await?;
    cluster.replica(2)?.repoint(cluster.replica(1)?).await?;
    for at in [before, after] {
        until(&router, "the sibling to prove a position", |r| {
            let request = Request::read(Requirement::covering(at.clone()));
            r.route(&request).is_ok_and(|route| &**route.name() == "replica-2")
        })
        .await?;
    }

    // The old primary comes back, takes writes, and gets none of them.
    cluster.primary().start().await?;
    until(&router, "the old primary to be quarantined", |r| {
        quarantine(r, "primary") == Some(Quarantine::StalePrimary)
    })
    .await?;
    assert_eq!(primary(&router).as_deref(), Some("replica-1"));
    for _ in 0..50 {
        assert_ne!(&**router.route(&read())?.name(), "primary");
        assert_eq!(&**router.route(&Request::write())?.name(), "replica-1");
    }

    // Rebuilt as a replica of the new primary it is welcome again.
    cluster.primary().kill9().await?;
    cluster.primary().rebuild(cluster.replica(1)?).await?;
    until(&router, "the old primary to be a replica", |r| healthy(r, "primary")).await?;
    assert_eq!(router.topology().epoch(), Epoch::new(2));
    // With a pool of its own for that: no connection of the time when it was the primary is left in it.
    until(&router, "a read on the old primary", |r| {
        r.route(&read()).is_ok_and(|route| {
            &**route.name() == "primary"
                && route.role() == Role::Replica
                && route.pool_epoch() == Epoch::new(2)
        })
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_sibling_that_the_old_primary_feeds_is_not_believed() -> Result {
    let (cluster, router) = routed(2).await?;
    cluster.primary().admin_sql("GRANT pg_read_all_stats TO app").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    cluster.primary().kill9().await?;
    cluster.replica(1)?.promote().await?;
    until(&router, "the promotion to be followed", |r| primary(r).as_deref() == Some("replica-1")).await?;
    let request = Request::read(Requirement::covering(write(&router, "after").await?));
    // The old primary returns and goes on feeding its other replica, on a timeline that is no longer ours.
    cluster.primary().start().await?;
    for n in 0..50 {
        cluster.primary().sql(&format!("INSERT INTO note (text) VALUES ('of another world {n}')")).await?;
    }
    cluster.replica(2)?.wait_caught_up(cluster.primary(), PATIENCE).await?;
    for _ in 0..20 {
        let route = router.route_within(&request, Duration::from_millis(20)).await?;
        assert_eq!(
            &**route.name(),
            "replica-1",
            "its position is beyond that of the write, on the wrong timeline"
        );
    }
    Ok(())
}

#[tokio::test]
async fn without_a_privilege_a_sibling_proves_its_timeline_at_the_next_restartpoint() -> Result {
    let (cluster, router) = routed(2).await?;
    cluster.primary().kill9().await?;
    cluster.replica(1)?.promote().await?;
    until(&router, "the promotion to be followed", |r| primary(r).as_deref() == Some("replica-1")).await?;
    let request = Request::read(Requirement::covering(write(&router, "after").await?));
    cluster.replica(2)?.repoint(cluster.replica(1)?).await?;
    cluster.replica(2)?.wait_caught_up(cluster.replica(1)?, PATIENCE).await?;
    let route = router.route_within(&request, Duration::from_millis(300)).await?;
    assert_eq!(&**route.name(), "replica-1", "it has the write and cannot prove it, so it is not believed");
    drop(route);
    cluster.replica(1)?.admin_sql("CHECKPOINT").await?;
    cluster.replica(2)?.wait_caught_up(cluster.replica(1)?, PATIENCE).await?;
    cluster.replica(2)?.admin_sql("CHECKPOINT").await?;
    let route = router.route_within(&request, PATIENCE).await?;
    assert_eq!(&**route.name(), "replica-2");
    Ok(())
}

#[tokio::test]
async fn a_write_that_the_new_primary_lacks_is_covered_by_nobody() -> Result {
    let (cluster, router) = routed(1).await?;
    cluster.replica(1)?.upstream_link().ok_or("a link")?.cut().await?;
    let lost = write(&router, "lost").await?;
    cluster.primary().kill9().await?;
    cluster.replica(1)?.promote().await?;
    until(&router, "the promotion to be followed", |r| primary(r).as_deref() == Some("replica-1")).await?;
    // The new timeline grows far beyond the lost position, and still does not contain it.
    for n in 0..50 {
        write(&router, &format!("new {n}")).await?;
    }
    let topology = router.topology();
    let applied = topology.primary().ok().and_then(|node| node.applied.clone()).ok_or("a position")?;
    assert!(!applied.covers(&lost), "{applied} claims to contain {lost}");
    Ok(())
}

#[tokio::test]
async fn two_servers_that_take_writes_get_none() -> Result {
    let (cluster, router) = routed(1).await?;
    // Without `standby.signal` it comes up as a primary on the same timeline: the way operators make a split brain.
    let replica = cluster.replica(1)?;
    replica.stop(rr_tests::cluster::Mode::Fast).await?;
    std::fs::remove_file(cluster.folder().join(replica.name()).join("standby.signal"))?;
    replica.start().await?;
    until(&router, "the split brain to be noticed", |r| {
        matches!(
            r.route(&Request::write()),
            Err(RouteError::NoPrimary { why: NoPrimary::SplitBrain { .. }, .. })
        )
    })
    .await?;
    let error = router.route(&Request::write()).unwrap_err().to_string();
    assert!(error.contains("`primary`") && error.contains("`replica-1`"), "{error}");
    assert!(router.route(&read()).is_err(), "which of them is right nobody knows");
    replica.kill9().await?;
    until(&router, "writes to be possible again", |r| r.route(&Request::write()).is_ok()).await?;
    assert_eq!(primary(&router).as_deref(), Some("primary"));
    Ok(())
}

#[tokio::test]
async fn a_server_of_another_cluster_is_kept_out() -> Result {
    let (cluster, other) =
        (Cluster::builder().start().await?, Cluster::builder().replicas(1).own_identity().start().await?);
    let mut config = config(&cluster);
    config.replicas.push(NodeConfig::new(other.replica(1)?.url())?.with_name("stranger"));
    let router = start(config).await?;
    until(&router, "the stranger to be recognised", |r| {
        quarantine(r, "stranger") == Some(Quarantine::ForeignCluster)
    })
    .await?;
    for _ in 0..50 {
        assert_ne!(&**router.route(&read())?.name(), "stranger");
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_write_makes_everybody_look_at_once() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let mut config = config(&cluster);
    config.monitor.interval = Duration::from_secs(60);
    config.monitor.jitter = Duration::ZERO;
    config.max_lag = None;
    let router = start(config).await?;
    cluster.primary().kill9().await?;
    cluster.replica(1)?.promote().await?;
    // Nobody looks for another minute, unless statements say that something is wrong.
    until(&router, "the promotion to be followed", |r| {
        if let Ok(route) = r.route(&Request::write()) {
            route.finish(Outcome::Failed(Fault::Refused));
        }
        primary(r).as_deref() == Some("replica-1")
    })
    .await
}

#[tokio::test]
async fn whoever_refuses_to_write_is_asked_whether_it_still_is_the_primary() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let mut config = config(&cluster);
    config.monitor.interval = Duration::from_secs(60);
    config.monitor.jitter = Duration::ZERO;
    config.max_lag = None;
    let router = start(config).await?;
    let chosen = || router.route(&Request::write()).map(|route| (route.node(), route.epoch()));
    let (node, epoch) = chosen()?;
    assert!(!router.is_deposed(node, epoch, PATIENCE).await, "it says that it is the primary");
    cluster.primary().stop(rr_tests::cluster::Mode::Fast).await?;
    cluster.replica(1)?.promote().await?;
    cluster.primary().rebuild(cluster.replica(1)?).await?;
    assert_eq!(chosen()?, (node, epoch), "nobody has looked");
    assert!(router.is_deposed(node, epoch, PATIENCE).await, "it follows another one now");
    until(&router, "the new primary to be found", |r| primary(r).as_deref() == Some("replica-1")).await
}
