//! By itself, when the primary is gone.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_primary_is_replaced_while_reads_go_on() -> Result {
    let patient = |config: &mut Config| config.pool.replica.checkout_timeout = PATIENCE;
    let (cluster, router) = promoted(2, FailoverMode::Automatic, patient).await?;
    write(&router, "before").await?;
    let (reads, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let reader = tokio::spawn({
        let (router, reads, stop) = (router.clone(), Arc::clone(&reads), Arc::clone(&stop));
        async move {
            while !stop.load(Ordering::Relaxed) {
                let request = Request::read(router.requirement(None, Some(rr_core::Consistency::Eventual)));
                let route = router.route(&request).map_err(|error| error.to_string())?;
                if route.name().as_ref() == "primary" {
                    return Err("a read went to the primary".to_owned());
                }
                run(route, "SELECT count(*)::text FROM note").await.map_err(|error| error.to_string())?;
                reads.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, String>(())
        }
    });
    cluster.primary().kill9().await?;
    write_soon(&router, "after").await?;
    let report = ended(&router, 1).await?;
    stop.store(true, Ordering::Relaxed);
    reader.await??;
    assert!(reads.load(Ordering::Relaxed) > 0);

    assert!(matches!(report.ending, Ending::Promoted(_)), "{report}");
    let durations = report.durations;
    for phase in [Phase::Detection, Phase::Election, Phase::CatchingUp, Phase::Promotion, Phase::Repointing] {
        assert!(!durations.of(phase).is_zero(), "{phase}: {durations}");
    }
    assert!(durations.outage.is_some_and(|outage| !outage.is_zero()));
    let leader = primary(&router).ok_or("a primary")?;
    assert_eq!(writable(&cluster).await?, std::slice::from_ref(&leader));

    // The other one follows, and serves again.
    let other = cluster.replicas().iter().find(|node| node.name() != leader).ok_or("a sibling")?;
    other.repointed(cluster.node(&leader)?).await?;
    let at = write(&router, "followed").await?;
    until(&router, "the sibling to have it", |r| {
        let request = Request::read(Requirement::covering(at.clone()));
        r.route(&request).is_ok_and(|route| &**route.name() == other.name())
    })
    .await?;
    let count = other.query_text("SELECT count(*)::text FROM note").await?;
    assert_eq!(count, "3");

    // The old primary comes back writable, and is neither written to nor read.
    cluster.primary().start().await?;
    until(&router, "the old primary to be quarantined", |r| {
        let topology = r.topology();
        topology.nodes().iter().any(|n| n.quarantine == Some(Quarantine::StalePrimary))
    })
    .await?;
    for _ in 0..50 {
        assert_ne!(&**router.route(&read())?.name(), "primary");
        assert_eq!(&**router.route(&Request::write())?.name(), leader);
    }
    assert_eq!(router.failover().history().len(), 1);
    Ok(())
}
