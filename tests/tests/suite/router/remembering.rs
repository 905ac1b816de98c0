//! What is known of timelines outlives the process, and travels with tokens.

use std::path::PathBuf;

use super::*;
use rr_core::Session;
use rr_core::adapter::Turn;
use rr_core::config::Secret;
use rr_core::error::StartError;
use rr_core::route::RouteError;
use rr_core::time::Wall;
use rr_core::topology::Quarantine;
use rr_core::world::Memory;

/// A process that keeps what it knows there.
fn keeping(cluster: &Cluster, file: &std::path::Path) -> Config {
    let mut config = config(cluster);
    config.failover.state_file = Some(file.to_owned());
    config.write_wait = Duration::ZERO;
    config
}

fn state_file(cluster: &Cluster) -> PathBuf {
    cluster.folder().join("rr-state.json")
}

fn kept(file: &std::path::Path) -> Option<Memory> {
    Memory::from_text(&std::fs::read_to_string(file).ok()?).ok()
}

fn quarantine(router: &Router<Plain>, node: &str) -> Option<Quarantine> {
    router.topology().nodes().iter().find(|n| &*n.name == node).and_then(|n| n.quarantine)
}

/// A cluster whose replica was promoted while a process watched that keeps what it knows; of the two servers only the old
/// primary is left.
async fn only_the_old_one_is_left() -> Result<(Cluster, PathBuf)> {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let file = state_file(&cluster);
    let router = start(keeping(&cluster, &file)).await?;
    all_serving(&router).await?;
    cluster.primary().kill9().await?;
    cluster.replica(1)?.promote().await?;
    until(&router, "the promotion to be kept", |_| kept(&file).is_some_and(|kept| kept.highest.get() == 2))
        .await?;
    let switch = kept(&file).and_then(|kept| kept.forks.into_values().next()).ok_or("a fork")?;
    assert_eq!(switch.len(), 1, "where it left the first timeline is known");
    router.shutdown().await;
    cluster.replica(1)?.kill9().await?;
    cluster.primary().start().await?;
    Ok((cluster, file))
}

#[tokio::test]
async fn a_process_that_starts_beside_an_old_primary_alone_does_not_write_to_it() -> Result {
    let (cluster, file) = only_the_old_one_is_left().await?;
    // Without the file nothing tells that it is an old one.
    let forgetful = start(config(&cluster)).await?;
    until(&forgetful, "the old primary to be believed", |r| r.route(&Request::write()).is_ok()).await?;
    forgetful.shutdown().await;

    let router = start(keeping(&cluster, &file)).await?;
    until(&router, "the old primary to be quarantined", |r| {
        quarantine(r, "primary") == Some(Quarantine::StalePrimary)
    })
    .await?;
    for _ in 0..20 {
        let error = router.route(&Request::write()).unwrap_err();
        assert!(matches!(error, RouteError::NoPrimary { .. }), "{error}");
        assert!(router.route(&read()).is_err(), "nor is it read from");
    }
    cluster.replica(1)?.start().await?;
    until(&router, "the new primary to be found", |r| {
        r.route(&Request::write()).is_ok_and(|route| &**route.name() == "replica-1")
    })
    .await
}

#[tokio::test]
async fn no_write_gets_there_before_the_old_primary_was_looked_at() -> Result {
    let (cluster, file) = only_the_old_one_is_left().await?;
    let mut config = keeping(&cluster, &file);
    // The start waits for nobody.
    config.startup_wait = Duration::ZERO;
    let router = start(config).await?;
    for _ in 0..200 {
        assert!(Turn::new(&router).route(&router, &Request::write()).await.is_err());
        tokio::task::yield_now().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_told_at_the_start() -> Result {
    let cluster = Cluster::builder().start().await?;
    let file = state_file(&cluster);
    for text in ["", "{\"version\": 1, \"system\"", "highest = 2"] {
        std::fs::write(&file, text)?;
        let error = start(keeping(&cluster, &file)).await.err().ok_or("it started")?;
        assert!(matches!(error.downcast_ref(), Some(StartError::State { .. })), "{error}");
        assert!(error.to_string().starts_with("failover.state_file: "), "{error}");
        assert_eq!(std::fs::read_to_string(&file)?, text, "it is left as it is");
    }
    let nowhere = cluster.folder().join("nowhere").join("state.json");
    let error = start(keeping(&cluster, &nowhere)).await.err().ok_or("it started")?;
    assert!(error.to_string().contains("its folder is not there"), "{error}");
    Ok(())
}

#[tokio::test]
async fn the_file_of_another_cluster_is_neither_used_nor_written_over() -> Result {
    let (cluster, other) =
        (Cluster::builder().start().await?, Cluster::builder().own_identity().start().await?);
    let file = state_file(&cluster);
    let router = start(keeping(&other, &file)).await?;
    until(&router, "the first cluster to be kept", |_| kept(&file).is_some()).await?;
    router.shutdown().await;
    let before = std::fs::read_to_string(&file)?;
    let router = start(keeping(&cluster, &file)).await?;
    until(&router, "the router to write all the same", |r| r.route(&Request::write()).is_ok()).await?;
    let told = |r: &Router<Plain>| {
        r.recent_notices(0).iter().any(|told| told.notice.to_string().contains("failover.state_file"))
    };
    until(&router, "the notice", told).await?;
    router.shutdown().await;
    assert_eq!(std::fs::read_to_string(&file)?, before);
    Ok(())
}

#[tokio::test]
async fn a_token_of_a_newer_timeline_keeps_writes_from_an_old_primary() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let keyed = || {
        let mut config = config(&cluster);
        config.session.keys = vec![Secret::new("a key that all processes of this test have")];
        config
    };
    let elsewhere = start(keyed()).await?;
    cluster.primary().kill9().await?;
    cluster.replica(1)?.promote().await?;
    until(&elsewhere, "the promotion to be followed", |r| {
        r.route(&Request::write()).is_ok_and(|route| &**route.name() == "replica-1")
    })
    .await?;
    let session = Session::new();
    session.wrote(&write(&elsewhere, "on the new one").await?);
    let token = elsewhere.token(&session)?;
    let old = elsewhere.token_at(&session, Wall::from_seconds(Wall::now().seconds() - 3_600))?;
    elsewhere.shutdown().await;
    cluster.replica(1)?.kill9().await?;
    cluster.primary().start().await?;

    let router = start(keyed()).await?;
    until(&router, "the old primary to be believed", |r| r.route(&Request::write()).is_ok()).await?;
    // An hour ago anything may have been: since then the database may have been restored.
    drop(router.resume(old.as_str()).await);
    router.probe_now();
    assert!(router.route(&Request::write()).is_ok());
    drop(router.resume(token.as_str()).await);
    until(&router, "the old primary to be quarantined", |r| {
        quarantine(r, "primary") == Some(Quarantine::StalePrimary) && r.route(&Request::write()).is_err()
    })
    .await?;
    cluster.replica(1)?.start().await?;
    until(&router, "the new primary to be found", |r| {
        r.route(&Request::write()).is_ok_and(|route| &**route.name() == "replica-1")
    })
    .await
}
