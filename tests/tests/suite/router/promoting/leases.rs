//! Several controllers of one cluster: only the holder of the lease promotes.

use super::*;
use rr_core::failover::{Block, Decision};
use rr_tests::lease::FileLease;

const LASTS: Duration = Duration::from_millis(600);

async fn controller(config: &Config, lease: FileLease) -> Result<Router<Plain>> {
    let router = Router::builder(Plain).config(config.clone()).lease(Arc::new(lease)).start().await?;
    all_serving(&router).await?;
    Ok(router)
}

async fn cluster_and_config() -> Result<(Cluster, Config)> {
    let cluster = Cluster::builder().replicas(2).start().await?;
    prepare(&cluster).await?;
    let mut config = promoting(&cluster, FailoverMode::Automatic);
    config.failover.single_process = false;
    Ok((cluster, config))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_controllers_with_one_lease_promote_once() -> Result {
    let (cluster, config) = cluster_and_config().await?;
    let lease = || FileLease::new(cluster.folder().join("lease"), LASTS);
    let (one, other) = (controller(&config, lease()).await?, controller(&config, lease()).await?);
    cluster.primary().kill9().await?;
    for router in [&one, &other] {
        until(router, "the promotion to be followed", |r| {
            primary(r).is_some_and(|name| name.starts_with("replica"))
        })
        .await?;
    }
    assert_eq!(primary(&one), primary(&other));
    until(&one, "a report", |r| !r.failover().history().is_empty() || !other.failover().history().is_empty())
        .await?;
    let reports = one.failover().history().len() + other.failover().history().len();
    assert_eq!((reports, writable(&cluster).await?.len()), (1, 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_loses_the_lease_promotes_nobody_and_the_next_holder_does() -> Result {
    let (cluster, mut config) = cluster_and_config().await?;
    let path = cluster.folder().join("lease");
    let router = controller(&config, FileLease::new(&path, LASTS)).await?;
    FileLease::new(&path, LASTS).steal()?;
    cluster.primary().kill9().await?;
    let told = async || {
        let plan = router.failover().plan().await?;
        Ok::<_, Box<dyn Error>>(plan.decision == Decision::Blocked(Block::NoLease))
    };
    rr_tests::wait::until("the lack of the lease to be told", told).await?;
    assert!(router.failover().history().iter().all(|report| !report.succeeded()));
    assert_eq!(writable(&cluster).await?, Vec::<String>::new());
    // Whoever is started later with a lease of its own takes over.
    config.failover.min_replicas = 2;
    drop(router);
    std::fs::remove_file(&path)?;
    Ok(())
}
