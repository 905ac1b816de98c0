//! The ordinary ways.

use super::*;
use rr_core::config::{GroupConfig, GroupFallback, ReadPreference};
use rr_core::error::StartError;
use rr_core::world::Notice;

#[tokio::test]
async fn reads_run_on_every_replica_and_writes_on_the_primary() -> Result {
    let (cluster, router) = routed(2).await?;
    let expected: Vec<String> = cluster.replicas().iter().map(|r| r.port().to_string()).collect();
    let mut ports = std::collections::BTreeMap::new();
    // A replica that had a slow start gets its share a moment later.
    while !expected.iter().all(|port| ports.get(port).is_some_and(|&count| count > 20)) {
        let route = router.route(&read())?;
        assert_eq!(route.reason(), RouteReason::Replica);
        *ports.entry(run(route, PORT).await?).or_insert(0) += 1;
        assert_eq!(run(router.route(&read())?, IN_RECOVERY).await?, "true");
        assert!(ports.values().sum::<u32>() < 50_000, "{ports:?}");
    }
    assert_eq!(ports.len(), 2, "{ports:?}");
    for (request, reason) in
        [(Request::write(), RouteReason::Write), (Request::session(), RouteReason::SessionState)]
    {
        let route = router.route(&request)?;
        assert_eq!((route.reason(), run(route, IN_RECOVERY).await?.as_str()), (reason, "false"));
    }
    Ok(())
}

#[tokio::test]
async fn a_replica_session_is_read_only_by_default() -> Result {
    let (_cluster, router) = routed(1).await?;
    let setting = "SELECT current_setting('default_transaction_read_only')";
    assert_eq!(run(router.route(&read())?, setting).await?, "on");
    assert_eq!(run(router.route(&Request::write())?, setting).await?, "off");
    Ok(())
}

#[tokio::test]
async fn a_single_database_goes_through_the_same_code() -> Result {
    let (_cluster, router) = routed(0).await?;
    let route = router.route(&read())?;
    assert_eq!(route.reason(), RouteReason::NoReplicas);
    assert_eq!(run(route, IN_RECOVERY).await?, "false");
    Ok(())
}

#[tokio::test]
async fn routing_can_be_tried_with_one_server() -> Result {
    let cluster = Cluster::builder().replicas(0).start().await?;
    prepare(&cluster).await?;
    let mut config = config(&cluster);
    config.allow_primary_as_replica = true;
    config.replicas = vec![NodeConfig::new(cluster.primary().url())?.with_name("mirror")];
    let router = start(config).await?;
    all_serving(&router).await?;
    let route = router.route(&read())?;
    assert_eq!(&**route.name(), "mirror");
    let refused = run(route, "INSERT INTO note (text) VALUES ('x') RETURNING text").await.unwrap_err();
    let error = refused.downcast::<tokio_postgres::Error>()?;
    assert_eq!(error.code().map(|code| code.code()), Some("25006"), "a misrouted write shows on a laptop");
    let at = write(&router, "seen").await?;
    let route = router.route_within(&Request::read(Requirement::covering(at)), PATIENCE).await?;
    assert_eq!(&**route.name(), "mirror");
    Ok(())
}

#[tokio::test]
async fn preferences_decide_between_the_roles() -> Result {
    let (_cluster, router) = routed(1).await?;
    for (preference, node) in [
        (ReadPreference::Primary, "primary"),
        (ReadPreference::PrimaryPreferred, "primary"),
        (ReadPreference::Replica, "replica-1"),
        (ReadPreference::ReplicaPreferred, "replica-1"),
    ] {
        assert_eq!(&**router.route(&read().prefer(preference))?.name(), node, "{preference:?}");
    }
    assert_eq!(router.route(&read().prefer(ReadPreference::Nearest))?.reason(), RouteReason::Nearest);
    Ok(())
}

#[tokio::test]
async fn a_group_gets_its_own_nodes_and_keeps_them_to_itself() -> Result {
    let cluster = Cluster::builder().replicas(2).start().await?;
    let mut config = config(&cluster);
    config.replicas[1] = config.replicas[1].clone().with_group("analytics");
    config.groups.insert("analytics".into(), GroupConfig::new(GroupFallback::Error, true));
    let router = start(config).await?;
    all_serving(&router).await?;
    for _ in 0..50 {
        assert_eq!(&**router.route(&read())?.name(), "replica-1");
        let route = router.route(&read().in_group("analytics"))?;
        assert_eq!((&**route.name(), route.reason()), ("replica-2", RouteReason::Group));
    }
    cluster.replica(2)?.kill9().await?;
    until(&router, "the group's only node to be down", |r| !healthy(r, "replica-2")).await?;
    let error = router.route(&read().in_group("analytics")).unwrap_err().to_string();
    assert!(error.contains("`replica-2` does not answer") && error.contains("not in the group"), "{error}");
    Ok(())
}

#[tokio::test]
async fn an_explanation_says_what_would_happen_and_why() -> Result {
    let (cluster, router) = routed(2).await?;
    cluster.replica(2)?.kill9().await?;
    until(&router, "the dead replica to be noticed", |r| !healthy(r, "replica-2")).await?;
    let text = router.explain_route(&read()).to_string();
    assert!(text.starts_with("read in epoch 1: replica\n"), "{text}");
    assert!(text.contains("- primary (primary): not a replica"), "{text}");
    assert!(text.contains("+ replica-1 (replica)"), "{text}");
    assert!(text.contains("- replica-2 (replica): does not answer"), "{text}");
    let text = router.explain_route(&Request::write()).to_string();
    assert!(
        text.contains("write in epoch 1: write") && text.contains("- replica-1 (replica): not the primary")
    );
    assert_eq!(router.routed("replica-1", RouteReason::Replica), 0, "explaining counts nothing");
    Ok(())
}

#[tokio::test]
async fn routes_count_as_in_flight_until_they_are_dropped() -> Result {
    let (_cluster, router) = routed(1).await?;
    let routes = (0..10).map(|_| router.route(&read())).collect::<std::result::Result<Vec<_>, _>>()?;
    assert_eq!(router.in_flight("replica-1"), Some(10));
    drop(routes);
    assert_eq!((router.in_flight("replica-1"), router.in_flight("nobody")), (Some(0), None));
    assert_eq!(router.routed("replica-1", RouteReason::Replica), 10);
    Ok(())
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_with_the_key() -> Result {
    let refused = |config: Config| async { start(config).await.map(drop).unwrap_err().to_string() };
    let mut config = Config::new("postgres://app:hunter2@127.0.0.1:1/app")?;
    config.replicas = vec![NodeConfig::new("postgres://app:hunter2@127.0.0.1:1/app")?.with_name("replica-1")];
    let text = refused(config.clone()).await;
    assert!(text.contains("replicas[0].url") && !text.contains("hunter2"), "{text}");
    config.replicas.clear();
    config.failover.mode = rr_core::config::FailoverMode::Automatic;
    let text = refused(config).await;
    assert!(text.contains("failover.mode"), "{text}");
    let mysql = Router::builder(Plain).config(Config::new("mysql://127.0.0.1:1/app")?).start().await;
    assert!(matches!(mysql, Err(StartError::Engine(_))));
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_running_after_a_shutdown_or_a_drop() -> Result {
    let cluster = Cluster::builder().replicas(2).start().await?;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let router = start(config(&cluster)).await?;
    assert!(tasks() > before);
    router.shutdown().await;
    router.shutdown().await;
    let same = async || {
        let now = tasks();
        if now <= before { Ok(true) } else { Err(format!("{now} tasks, {before} before")) }
    };
    // The driver's own connection tasks end when they have said goodbye to the server.
    wait_until(PATIENCE, "the tasks to end after a shutdown", same).await?;
    assert!(router.route(&read()).is_ok(), "what was known last still serves");
    drop(router);
    let router = start(config(&cluster)).await?;
    let held = router.route(&read())?;
    drop(router);
    wait_until(PATIENCE, "the tasks to end after a drop", same).await?;
    drop(held);
    Ok(())
}

#[tokio::test]
async fn changes_are_told_to_subscribers() -> Result {
    let (cluster, router) = routed(1).await?;
    let mut notices = router.notices();
    cluster.replica(1)?.kill9().await?;
    let down = async {
        loop {
            if let Notice::Health { node, to: rr_core::topology::HealthState::Unhealthy, .. } =
                notices.recv().await?
            {
                return Ok::<_, Box<dyn Error>>(node);
            }
        }
    };
    assert_eq!(&*tokio::time::timeout(PATIENCE, down).await??, "replica-1");
    Ok(())
}
