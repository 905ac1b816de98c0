//! Nodes that come and go while the router runs.

use super::*;
use rr_core::error::NodeError;

fn node(cluster: &Cluster, number: usize) -> Result<NodeConfig> {
    let replica = cluster.replica(number)?;
    Ok(NodeConfig::new(replica.url())?.with_name(replica.name()))
}

#[tokio::test]
async fn replicas_come_and_go_under_load_without_one_failed_query() -> Result {
    let cluster = Cluster::builder().replicas(2).start().await?;
    prepare(&cluster).await?;
    let mut config = config(&cluster);
    config.replicas.truncate(1);
    // Eight connections at once are opened to a new node.
    config.pool.replica.checkout_timeout = PATIENCE;
    let router = start(config).await?;
    let (done, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let readers = (0..8).map(|_| {
        let (router, done, count) = (router.clone(), Arc::clone(&done), Arc::clone(&count));
        tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                // No second try: whatever fails, fails the test.
                let route = router.route(&read()).map_err(|error| error.to_string())?;
                run(route, IN_RECOVERY).await.map_err(|error| error.to_string())?;
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<(), String>(())
        })
    });
    let readers: Vec<_> = readers.collect();
    for _ in 0..5 {
        router.add_node(node(&cluster, 2)?).await?;
        until(&router, "the new replica to serve", |r| healthy(r, "replica-2")).await?;
        until(&router, "the new replica to get reads", |r| r.routed("replica-2", RouteReason::Replica) > 20)
            .await?;
        router.drain_node("replica-2").await?;
        until(&router, "the drained replica to be idle", |r| r.in_flight("replica-2") == Some(0)).await?;
        router.remove_node("replica-2").await?;
        router.add_node(node(&cluster, 2)?).await?;
        until(&router, "the replica to serve again", |r| healthy(r, "replica-2")).await?;
        // Without draining: what is under way goes on.
        router.remove_node("replica-2").await?;
        assert_eq!(router.in_flight("replica-2"), None);
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await??;
    }
    assert!(count.load(Ordering::Relaxed) > 100);
    assert_eq!(router.in_flight("replica-1"), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_route_outlives_its_node() -> Result {
    let (_cluster, router) = routed(1).await?;
    let route = router.route(&read())?;
    router.remove_node("replica-1").await?;
    assert_eq!(run(route, IN_RECOVERY).await?, "true");
    assert_eq!(router.route(&read())?.reason(), RouteReason::NoReplicas);
    Ok(())
}

#[tokio::test]
async fn changes_that_make_no_sense_are_refused() -> Result {
    let (cluster, router) = routed(1).await?;
    assert!(matches!(router.add_node(node(&cluster, 1)?).await, Err(NodeError::Duplicate(_))));
    let same_server = node(&cluster, 1)?.with_name("twin");
    assert!(matches!(router.add_node(same_server).await, Err(NodeError::Config(_))));
    for refused in [router.drain_node("primary").await, router.remove_node("primary").await] {
        assert!(matches!(refused, Err(NodeError::IsPrimary(_))));
    }
    assert!(matches!(router.drain_node("nobody").await, Err(NodeError::Unknown(_))));
    router.shutdown().await;
    assert!(matches!(router.remove_node("replica-1").await, Err(NodeError::Closed)));
    Ok(())
}
