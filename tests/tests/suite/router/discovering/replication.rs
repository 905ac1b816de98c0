//! The primary's standbys.

use super::*;
use tokio::task::JoinSet;

/// Finds standbys by the primary's own list; each is where the harness has put it.
async fn by_replication(cluster: &Cluster, standbys: &[&rr_tests::cluster::Node]) -> Result<Config> {
    cluster.primary().admin_sql("GRANT pg_read_all_stats TO app").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let mut config = primary_alone(cluster);
    config.discovery.kind = DiscoveryKind::Replication;
    for standby in standbys {
        config.discovery.map.insert(standby.name(), Place::Url(DatabaseUrl::parse(&standby.url())?));
    }
    Ok(config)
}

#[tokio::test]
async fn standbys_come_and_go_under_load_without_one_failed_read() -> Result {
    let mut cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let primary = cluster.primary().clone();
    let second = cluster.add_replica(&primary).await?;
    let first = cluster.replica(1)?.clone();
    let config = by_replication(&cluster, &[&first, &second]).await?;
    let router = start(config).await?;
    assert_eq!(names(&router), ["primary", "replica-1", "replica-2"], "the start waits for the first answer");
    let readers = Readers::start(&router);
    until_serving(&router, "replica-1").await?;
    until_serving(&router, "replica-2").await?;
    for _ in 0..3 {
        // It goes on answering, and no longer follows.
        second.upstream_link().ok_or("a link")?.cut().await?;
        until_gone(&router, "replica-2").await?;
        second.upstream_link().ok_or("a link")?.heal().await?;
        until_serving(&router, "replica-2").await?;
    }
    readers.finish().await?;
    assert!(!findings(&router).iter().any(|finding| matches!(finding, Finding::Failed { .. })));
    router.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn a_promotion_by_hand_turns_the_list_around() -> Result {
    let cluster = Cluster::builder().replicas(2).start().await?;
    prepare(&cluster).await?;
    let nodes: Vec<_> = cluster.nodes().iter().collect();
    let config = by_replication(&cluster, &nodes).await?;
    let router = start(config).await?;
    until(&router, "both standbys to serve", |r| serves(r, "replica-1") && serves(r, "replica-2")).await?;

    cluster.primary().kill9().await?;
    cluster.replica(1)?.promote().await?;
    until(&router, "the promotion to be followed", |r| {
        r.topology().primary().is_ok_and(|primary| &*primary.name == "replica-1")
    })
    .await?;
    // Nobody streams from it yet; what was its sibling is gone, and it stays.
    until_gone(&router, "replica-2").await?;
    assert!(is_there(&router, "replica-1"), "a primary is never taken out");
    assert!(is_there(&router, "primary"), "what is listed is never taken out");
    run(router.route(&Request::write())?, "INSERT INTO note (text) VALUES ('x') RETURNING text").await?;

    cluster.replica(2)?.repoint(cluster.replica(1)?).await?;
    until(&router, "the sibling to be found at the new primary", |r| serves(r, "replica-2")).await?;
    // The old primary follows as well. It has the name and the address that it is listed by.
    cluster.primary().rebuild(cluster.replica(1)?).await?;
    until(&router, "the old primary to serve", |r| serves(r, "primary")).await?;
    assert_eq!(names(&router).len(), 3);
    let not_found = |finding: &Finding| matches!(finding, Finding::PrimaryNotFound { .. });
    assert!(!findings(&router).iter().any(not_found), "it does not stream from itself");
    Ok(())
}

/// Between its turns nobody asks, but for whom a new primary brings.
#[tokio::test]
async fn a_new_primary_is_asked_for_its_standbys_at_once() -> Result {
    let cluster = Cluster::builder().replicas(2).start().await?;
    prepare(&cluster).await?;
    let nodes: Vec<_> = cluster.nodes().iter().collect();
    let mut config = by_replication(&cluster, &nodes).await?;
    config.discovery.interval = Duration::from_secs(3_600);
    let router = start(config).await?;
    until(&router, "both standbys to serve", |r| serves(r, "replica-1") && serves(r, "replica-2")).await?;
    // There is always something new of some node, as where there are many.
    let asking = router.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            asking.probe_now();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    cluster.primary().kill9().await?;
    cluster.replica(1)?.promote().await?;
    until_gone(&router, "replica-2").await
}

#[tokio::test]
async fn who_may_not_see_the_standbys_is_told_what_to_grant() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let config = by_replication(&cluster, &[cluster.replica(1)?]).await?;
    cluster.primary().admin_sql("REVOKE pg_read_all_stats FROM app").await?;
    let router = start(config).await?;
    until(&router, "the failure to be told", |r| !failures(r).is_empty()).await?;
    assert_eq!(names(&router), ["primary"]);
    cluster.primary().admin_sql("GRANT pg_read_all_stats TO app").await?;
    until(&router, "the standby to be found", |r| serves(r, "replica-1")).await?;
    // It loses the privilege: what it had found stays.
    cluster.primary().admin_sql("REVOKE pg_read_all_stats FROM app").await?;
    until(&router, "the second failure to be told", |r| failures(r).len() == 2).await?;
    let told = failures(&router);
    assert!(told.iter().all(|error| error.contains("`GRANT pg_read_all_stats TO app`")), "{told:?}");
    assert!(serves(&router, "replica-1"), "what may not be seen is not gone");
    assert_eq!(findings(&router).iter().filter(|finding| **finding == Finding::Recovered).count(), 1);
    Ok(())
}

#[tokio::test]
async fn standbys_of_standbys_are_found_where_they_follow() -> Result {
    let cluster = Cluster::builder().replicas(1).cascaded_from("replica-1").start().await?;
    prepare(&cluster).await?;
    let mut config = by_replication(&cluster, &[cluster.replica(1)?, cluster.replica(2)?]).await?;
    config.discovery.cascade = true;
    let router = start(config).await?;
    until(&router, "the cascaded standby to serve", |r| serves(r, "replica-2")).await?;
    // Its upstream streams on and cannot be asked: that says nothing about those who follow it.
    cluster.replica(1)?.link().cut().await?;
    until(&router, "the upstream to be down", |r| !serves(r, "replica-1")).await?;
    cluster.replica(1)?.link().heal().await?;
    until(&router, "the upstream to serve again", |r| serves(r, "replica-1")).await?;
    let left = |finding: &Finding| matches!(finding, Finding::Vanished { .. });
    assert!(!findings(&router).iter().any(left), "{:?}", findings(&router));
    // Nothing follows any more, and everybody can be asked.
    cluster.replica(2)?.upstream_link().ok_or("a link")?.cut().await?;
    until_gone(&router, "replica-2").await?;
    Ok(())
}

#[tokio::test]
async fn a_standby_without_a_place_is_told_once() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let mut config = by_replication(&cluster, &[]).await?;
    config.discovery.map.insert("another", Place::parse("db-9")?);
    let router = start(config).await?;
    let refused = |r: &Router<Plain>| {
        let refused = |finding: &Finding| matches!(finding, Finding::Refused { why: Refusal::NoPlace, .. });
        findings(r).iter().filter(|finding| refused(finding)).count()
    };
    until(&router, "it to be told", |r| refused(r) > 0).await?;
    assert_eq!(names(&router), ["primary"]);
    Ok(())
}

/// It connects from where it listens.
#[tokio::test]
async fn a_standby_is_found_by_its_address() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let mut config = by_replication(&cluster, &[]).await?;
    let (standby, port) = (cluster.replica(1)?, cluster.replica(1)?.link().port());
    config.discovery.host = Some("{client_addr}".to_owned());
    config.discovery.port = Some(port);
    let router = start(config).await?;
    let name = format!("127.0.0.1:{port}");
    assert_eq!(names(&router), ["primary".to_owned(), name.clone()]);
    let readers = Readers::start(&router);
    until_serving(&router, &name).await?;
    assert_eq!(run(router.route(&read())?, PORT).await?, standby.port().to_string());
    standby.upstream_link().ok_or("a link")?.cut().await?;
    until_gone(&router, &name).await?;
    standby.upstream_link().ok_or("a link")?.heal().await?;
    until_serving(&router, &name).await?;
    readers.finish().await
}
