//! Several controllers of one cluster: only the holder of the lease promotes.

use super::*;
use rr_core::failover::{BoxFuture, Decision, HookError, Order, Promoter};
use rr_tests::lease::FileLease;

const LASTS: Duration = Duration::from_secs(3);

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

/// An application with both ORMs has a router for each, of one configuration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_routers_of_one_process_one_promotes_and_either_may_be_asked() -> Result {
    let (cluster, mut config) = cluster_and_config().await?;
    config.failover.mode = FailoverMode::Supervised;
    let (one, other) = (start(config.clone()).await?, start(config).await?);
    for router in [&one, &other] {
        all_serving(router).await?;
    }
    cluster.primary().kill9().await?;
    let decisions = async || {
        Ok::<_, Box<dyn Error>>([
            one.failover().plan().await?.decision,
            other.failover().plan().await?.decision,
        ])
    };
    let one_of_them = async || {
        let [one, other] = decisions().await?;
        let proposes = |decision: &Decision| matches!(decision, Decision::Propose(_));
        let may_not = |decision: &Decision| *decision == Decision::Blocked(Block::NoLease);
        Ok::<_, Box<dyn Error>>(proposes(&one) && may_not(&other) || proposes(&other) && may_not(&one))
    };
    rr_tests::wait::until("one of them to propose, and the other to have no lease", one_of_them).await?;
    // Whoever holds it gives it to the other one when it goes.
    let (goes, stays) = if one.failover().proposal().is_some() { (one, other) } else { (other, one) };
    goes.shutdown().await;
    until(&stays, "the other one to propose", |r| r.failover().proposal().is_some()).await?;

    // The lease of those who promote when they are asked is held for as long as that takes.
    let (_cluster, mut config) = cluster_and_config().await?;
    config.failover.mode = FailoverMode::Manual;
    let (one, other) = (start(config.clone()).await?, start(config).await?);
    for router in [&one, &other] {
        all_serving(router).await?;
    }
    let report = one.failover().initiate("maintenance", Some("replica-1"), false).await?;
    assert!(report.succeeded(), "{report}");
    until(&other, "it to be followed", |r| primary(r).as_deref() == Some("replica-1")).await?;
    let report = other.failover().initiate("maintenance", Some("replica-2"), false).await?;
    assert!(report.succeeded(), "{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_loses_the_lease_promotes_nobody() -> Result {
    let (cluster, config) = cluster_and_config().await?;
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
    Ok(())
}

/// Stands for a manager of the cluster, such as Patroni: it is told by name, and promotes by itself.
#[derive(Debug)]
struct Manager(Vec<rr_tests::cluster::Node>);

impl Promoter for Manager {
    fn promote<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, std::result::Result<(), HookError>> {
        Box::pin(async move {
            let unknown = || HookError::new("there is no such member");
            let node = self.0.iter().find(|node| *node.name() == *order.to.name).ok_or_else(unknown)?;
            node.promote().await.map_err(HookError::new)
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_of_the_cluster_is_told_and_its_promotion_followed() -> Result {
    let (cluster, mut config) = cluster_and_config().await?;
    // It needs no privilege: the manager has them.
    config.failover.user = None;
    let manager = Arc::new(Manager(cluster.nodes().to_vec()));
    let router = Router::builder(Plain).config(config).promoter(manager).start().await?;
    all_serving(&router).await?;
    cluster.primary().kill9().await?;
    let report = ended(&router, 1).await?;
    assert!(report.succeeded(), "{report}");
    assert_eq!(primary(&router), report.to.as_deref().map(str::to_owned));
    write_soon(&router, "after").await?;
    Ok(())
}
