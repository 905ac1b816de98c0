//! Reads that must see something.

use super::*;
use rr_core::Session;
use rr_core::adapter::{Search, Wish};
use rr_core::consistency::Consistency;
use rr_core::requirement::Requirement as Needs;
use rr_core::tally::Step;
use rr_tests::cluster::Boundary;

async fn sees(route: Route<Pool>, text: &str) -> Result<bool> {
    let found = run(route, &format!("SELECT count(*)::text FROM note WHERE text = '{text}'")).await?;
    Ok(found != "0")
}

#[tokio::test]
async fn a_read_that_must_see_a_write_sees_it_on_a_replica() -> Result {
    let (_cluster, router) = routed(2).await?;
    let mut on_replicas = 0;
    for n in 0..200 {
        let text = format!("note {n}");
        let at = write(&router, &text).await?;
        let route = router.route_within(&Request::read(Needs::covering(at)), Duration::from_secs(5)).await?;
        on_replicas += u32::from(route.role() == rr_core::topology::Role::Replica);
        assert!(sees(route, &text).await?, "a stale read of {text}");
    }
    assert_eq!(on_replicas, 200, "both replicas replay all the time: none of these had to go to the primary");
    Ok(())
}

#[tokio::test]
async fn a_paused_replica_is_passed_over_and_serves_again_when_it_has_caught_up() -> Result {
    let (cluster, router) = routed(1).await?;
    cluster.replica(1)?.pause_replay().await?;
    let at = write(&router, "unseen").await?;
    let request = Request::read(Needs::covering(at));
    let route = router.route_within(&request, Duration::from_millis(20)).await?;
    assert_eq!((&**route.name(), route.reason()), ("primary", RouteReason::ReplicasBehind));
    assert!(sees(route, "unseen").await?);
    assert_eq!(&**router.route(&read())?.name(), "replica-1", "who needs nothing is still served by it");
    let (resumed, route) =
        tokio::join!(cluster.replica(1)?.resume_replay(), router.route_within(&request, PATIENCE));
    resumed?;
    let route = route?;
    assert_eq!((&**route.name(), route.reason()), ("replica-1", RouteReason::CaughtUp));
    assert!(sees(route, "unseen").await?);
    Ok(())
}

#[tokio::test]
async fn a_write_of_unknown_position_is_placed_though_nobody_reads_and_the_next_probe_is_far() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let mut config = config(&cluster);
    config.monitor.interval = Duration::from_secs(60);
    config.max_lag = None;
    let router = start(config).await?;
    for _ in 0..3 {
        drop(write(&router, "note").await?);
        router.wrote(None);
        let answered = router.now();
        until(&router, "the primary to be asked", |r| {
            r.topology().primary().is_ok_and(|node| node.sampled_at.is_some_and(|at| at >= answered))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn without_patience_a_read_goes_to_the_primary_and_the_next_ones_need_not() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let mut config = config(&cluster);
    config.causal_wait = Duration::ZERO;
    // Nobody but the reads themselves has a node asked.
    config.monitor.interval = Duration::from_secs(60);
    config.max_lag = None;
    let router = start(config).await?;
    let session = Session::new();
    for unplaced in [false, true] {
        let at = write(&router, "note").await?;
        match unplaced {
            true => session.wrote_unplaced(router.now()),
            false => session.wrote(&at),
        }
        let request = || Request::read(router.requirement(Some(&session), None));
        let first = router.route_now(&request()).ok_or("it waits")??;
        assert_eq!(first.reason(), RouteReason::ReplicasBehind);
        until(&router, "the replica to be asked", |r| {
            let next = r.route_now(&request());
            next.is_some_and(|next| next.is_ok_and(|next| next.reason() == RouteReason::Replica))
        })
        .await?;
    }
    assert_eq!((router.counted(Step::Waited), router.counted(Step::Spared)), (0, 0));
    Ok(())
}

#[tokio::test]
async fn a_waiting_read_may_be_dropped() -> Result {
    let (cluster, router) = routed(1).await?;
    cluster.replica(1)?.pause_replay().await?;
    let at = write(&router, "unseen").await?;
    let request = Request::read(Needs::covering(at));
    for _ in 0..20 {
        let waiting = router.route_within(&request, PATIENCE);
        assert!(tokio::time::timeout(Duration::from_millis(3), waiting).await.is_err());
    }
    assert_eq!((router.in_flight("replica-1"), router.in_flight("primary")), (Some(0), Some(0)));
    Ok(())
}

#[tokio::test]
async fn all_who_wait_are_woken_together() -> Result {
    let (cluster, router) = routed(2).await?;
    for replica in cluster.replicas() {
        replica.pause_replay().await?;
    }
    let at = write(&router, "unseen").await?;
    let waiting = (0..200).map(|_| {
        let (router, request) = (router.clone(), Request::read(Needs::covering(at.clone())));
        tokio::spawn(async move { router.route_within(&request, PATIENCE).await.map(|route| route.role()) })
    });
    let waiting: Vec<_> = waiting.collect();
    cluster.replica(2)?.resume_replay().await?;
    for waiter in waiting {
        assert_eq!(waiter.await??, rr_core::topology::Role::Replica);
    }
    Ok(())
}

#[tokio::test]
async fn a_commit_that_ends_at_a_page_boundary_holds_nobody_up() -> Result {
    let (cluster, router) = routed(1).await?;
    for boundary in [Boundary::Page, Boundary::Segment] {
        let sql = "INSERT INTO note (text) VALUES ('boundary')";
        let raw = cluster.primary().commit_at_boundary(sql, boundary).await?;
        let position = Lsn::from_u64(raw).normalised(16 << 20);
        assert_ne!(position, Lsn::from_u64(raw), "the commit does not end at a boundary");
        let at = Position::from(PgPosition::new(Timeline::FIRST, position));
        let route = router.route_within(&Request::read(Needs::covering(at)), PATIENCE).await?;
        assert_eq!(route.role(), rr_core::topology::Role::Replica, "{boundary:?}");
        // The primary's own sample is normalised as well: an idle primary's replica has no lag.
        until(&router, "the replica to have no lag", |r| r.topology().nodes()[1].lag_bytes == Some(0))
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_write_of_unknown_position_binds_until_a_later_sample_places_it() -> Result {
    let (cluster, router) = routed(1).await?;
    cluster.replica(1)?.pause_replay().await?;
    let session = Session::new();
    write(&router, "somewhere").await?;
    session.wrote_unplaced(router.now());
    let needs = router.requirement(Some(&session), Some(Consistency::Session));
    let route = router.route_within(&Request::read(needs), Duration::from_millis(20)).await?;
    assert!(sees(route, "somewhere").await?);
    cluster.replica(1)?.resume_replay().await?;
    let needs = router.requirement(Some(&session), Some(Consistency::Session));
    let route = router.route_within(&Request::read(needs), PATIENCE).await?;
    assert_eq!(&**route.name(), "replica-1");
    assert!(sees(route, "somewhere").await?);
    until(&router, "the write to be placed", |r| {
        r.requirement(Some(&session), Some(Consistency::Session)).after.is_none()
    })
    .await
}

#[tokio::test]
async fn unscoped_reads_see_the_writes_of_this_process() -> Result {
    let (cluster, router) = routed(1).await?;
    cluster.replica(1)?.pause_replay().await?;
    assert_eq!(&**router.route(&Request::read(router.requirement(None, None)))?.name(), "replica-1");
    router.process_session().wrote(&write(&router, "mine").await?);
    let request = Request::read(router.requirement(None, None));
    assert!(sees(router.route(&request)?, "mine").await?);
    let eventual = Request::read(router.requirement(None, Some(Consistency::Eventual)));
    assert!(!sees(router.route(&eventual)?, "mine").await?);
    Ok(())
}

#[tokio::test]
async fn a_staleness_limit_is_kept_and_an_idle_primary_is_no_lag() -> Result {
    let (cluster, router) = routed(1).await?;
    let bounded = Request::read(Needs::within(Duration::from_secs(2)));
    assert_eq!(&**router.route(&bounded)?.name(), "replica-1");
    cluster.replica(1)?.pause_replay().await?;
    write(&router, "later").await?;
    until(&router, "the staleness to exceed the limit", |r| {
        r.route(&bounded).is_ok_and(|route| route.reason() == RouteReason::ReplicasBehind)
    })
    .await?;
    cluster.replica(1)?.resume_replay().await?;
    until(&router, "the staleness to sink", |r| {
        r.route(&bounded).is_ok_and(|route| route.reason() == RouteReason::Replica)
    })
    .await
}

#[tokio::test]
async fn the_budget_for_reads_on_the_primary_protects_it() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let mut config = config(&cluster);
    config.primary_reads.per_second = Some(1);
    config.primary_reads.burst = 3;
    let router = start(config).await?;
    cluster.replica(1)?.pause_replay().await?;
    let request = Request::read(Needs::covering(write(&router, "unseen").await?));
    let served = (0..50).filter(|_| router.route(&request).is_ok()).count();
    assert!((3..=5).contains(&served), "{served} of 50 reads got through a budget of 3");
    let error = router.route(&request).unwrap_err().to_string();
    assert!(error.contains("primary_reads.per_second") && error.contains("`replica-1` behind by"), "{error}");
    assert!(router.route(&Request::write()).is_ok(), "writes have no budget");
    Ok(())
}

#[tokio::test]
async fn the_budget_for_retries_is_shared_by_all_reads() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    let mut config = config(&cluster);
    config.retries.per_second = Some(1);
    config.retries.burst = 3;
    let router = start(config).await?;
    let replayed = (0..50).filter(|_| Search::new(&router, Wish::default()).may_replay(&router)).count();
    assert!((3..=5).contains(&replayed), "{replayed} of 50 reads were run again on a budget of 3");
    Ok(())
}
