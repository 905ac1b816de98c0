//! What becomes of a promotion whose candidate, old primary or router does something else at the last moment.

use std::sync::{Mutex, OnceLock, PoisonError};

use super::asked::healthy_primary;
use super::*;
use rr_core::error::FailoverError;
use rr_core::failover::{BoxFuture, Fence, Grant, HookError, InProcessLease, Lease, LeaseError, Place};
use rr_tests::cluster::{Lingering, Node};

/// Pulls the plug.
#[derive(Debug)]
struct Power {
    nodes: Vec<Node>,
    off: Mutex<Vec<String>>,
}

impl Power {
    fn of(cluster: &Cluster) -> Arc<Self> {
        Arc::new(Self { nodes: cluster.nodes().to_vec(), off: Mutex::default() })
    }

    fn off(&self) -> Vec<String> {
        self.off.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Fence for Power {
    fn fence<'a>(&'a self, node: &'a Place) -> BoxFuture<'a, std::result::Result<(), HookError>> {
        Box::pin(async move {
            self.off.lock().unwrap_or_else(PoisonError::into_inner).push(node.name.to_string());
            match self.nodes.iter().find(|known| *known.name() == *node.name && known.is_running()) {
                Some(node) => node.crash().await.map_err(HookError::new),
                None => Ok(()),
            }
        })
    }
}

/// The first candidate begins a timeline and does not come to the end of that.
async fn stuck(mode: FailoverMode, fenced: bool) -> Result<(Cluster, Router<Plain>, Lingering, Arc<Power>)> {
    let cluster = Cluster::builder().replicas(2).start().await?;
    prepare(&cluster).await?;
    let mut config = promoting(&cluster, mode);
    config.failover.timeout = Duration::from_secs(2);
    config.replicas[1] = std::mem::take(&mut config.replicas[1]).with_priority(1);
    let (mut builder, power) = (Router::builder(Plain).config(config), Power::of(&cluster));
    if fenced {
        builder = builder.fence(Arc::clone(&power) as _);
    }
    let router = builder.start().await?;
    all_serving(&router).await?;
    let stuck = cluster.replica(1)?.linger().await?;
    Ok((cluster, router, stuck, power))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_is_fenced_is_followed_by_the_next_one_though_it_had_begun_a_timeline() -> Result {
    let (cluster, router, _stuck, power) = stuck(FailoverMode::Automatic, true).await?;
    cluster.primary().kill9().await?;
    let report = ended(&router, 1).await?;
    assert_eq!((report.to.as_deref(), report.succeeded()), (Some("replica-2"), true), "{report}");
    assert_eq!(power.off(), ["primary", "replica-1"]);
    write_soon(&router, "by the next one").await?;
    assert_eq!(writable(&cluster).await?, ["replica-2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_taking_over_while_the_router_is_shut_down_is_not_fenced() -> Result {
    let (cluster, router, stuck, power) = stuck(FailoverMode::Automatic, true).await?;
    cluster.primary().kill9().await?;
    stuck.begun().await?;
    router.shutdown().await;
    stuck.end().await?;
    assert_eq!(power.off(), ["primary"]);
    assert_eq!(writable(&cluster).await?, ["replica-1"]);
    Ok(())
}

async fn in_doubt(router: &Router<Plain>, stuck: &Node) -> Result {
    let report = initiated(router, Some("replica-1")).await?;
    assert!(matches!(report.ending, Ending::InDoubt(..)), "{report}");
    stuck.crash().await?;
    let asked = router.failover().initiate("the other one", Some("replica-2"), true).await;
    assert!(matches!(asked, Err(FailoverError::InDoubt)), "{asked:?}");
    // Somebody has looked, and has seen to it that it will not come back.
    assert!(router.failover().clear_doubt().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cleared_doubt_lets_another_one_take_over_though_a_timeline_was_begun() -> Result {
    let (cluster, router, _stuck, _) = stuck(FailoverMode::Manual, false).await?;
    cluster.primary().kill9().await?;
    until(&router, "the primary to be down", |r| !healthy_primary(r)).await?;
    in_doubt(&router, cluster.replica(1)?).await?;
    let report = router.failover().initiate("the other one", None, false).await?;
    assert_eq!((report.to.as_deref(), report.succeeded()), (Some("replica-2"), true), "{report}");
    write_soon(&router, "by the other one").await?;
    assert_eq!(writable(&cluster).await?, ["replica-2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cleared_doubt_lets_the_old_primary_of_a_switchover_write_again() -> Result {
    let (cluster, router, _stuck, _) = stuck(FailoverMode::Manual, false).await?;
    in_doubt(&router, cluster.replica(1)?).await?;
    for thaw in ["ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"] {
        cluster.primary().admin_sql(thaw).await?;
    }
    write_soon(&router, "as before").await?;
    assert_eq!(primary(&router).as_deref(), Some("primary"));
    // And it can be tried with another one.
    let report = router.failover().initiate("the other one", Some("replica-2"), false).await?;
    assert!(report.succeeded(), "{report}");
    Ok(())
}

/// Brings the old primary back between the closer look and the order: there the lease is confirmed.
#[derive(Debug)]
struct Return {
    lease: InProcessLease,
    primary: Node,
    router: OnceLock<Router<Plain>>,
}

impl Lease for Return {
    fn acquire(&self) -> BoxFuture<'_, std::result::Result<Option<Grant>, LeaseError>> {
        self.lease.acquire()
    }

    fn renew(&self, grant: Grant) -> BoxFuture<'_, std::result::Result<Option<Grant>, LeaseError>> {
        Box::pin(async move {
            self.primary.start().await.map_err(LeaseError::new)?;
            let router = self.router.get().ok_or_else(|| LeaseError::new("no router"))?;
            let answers = |router: &Router<Plain>| {
                router.topology().nodes().iter().any(|node| &*node.name == "primary" && node.failures == 0)
            };
            wait_until(PATIENCE, "its return", async || Ok::<_, LeaseError>(answers(router)))
                .await
                .map_err(LeaseError::new)?;
            self.lease.renew(grant).await
        })
    }

    fn release(&self, grant: Grant) -> BoxFuture<'_, std::result::Result<(), LeaseError>> {
        self.lease.release(grant)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_back_before_anybody_was_told_stays() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let config = promoting(&cluster, FailoverMode::Manual);
    let (lease, primary_node) = (InProcessLease::new(), cluster.primary().clone());
    let lease = Arc::new(Return { lease, primary: primary_node, router: OnceLock::new() });
    let router = Router::builder(Plain).config(config).lease(Arc::clone(&lease) as _).start().await?;
    lease.router.set(router.clone()).map_err(|_| "set twice")?;
    all_serving(&router).await?;
    loop {
        cluster.primary().kill9().await?;
        until(&router, "the primary to be down", |r| !healthy_primary(r)).await?;
        let report = router.failover().initiate("it is gone", None, true).await?;
        match &report.ending {
            Ending::Stopped(Stop::PrimaryIsBack) => break,
            // Whoever keeps a lease has to answer in time, and a server may take longer to start.
            Ending::Stopped(Stop::NoLease(_)) if !cluster.primary().is_running() => {
                cluster.primary().start().await?;
            }
            Ending::Stopped(Stop::NoLease(_)) => {}
            other => return Err(format!("{other:?}").into()),
        }
        until(&router, "its return", healthy_primary).await?;
    }
    assert_eq!(writable(&cluster).await?, ["primary"]);
    write_soon(&router, "as before").await?;
    Ok(())
}

/// Nobody can pull the plug.
#[derive(Debug)]
struct Powerless;

impl Fence for Powerless {
    fn fence<'a>(&'a self, _: &'a Place) -> BoxFuture<'a, std::result::Result<(), HookError>> {
        Box::pin(async { Err(HookError::new("the power switch does not answer")) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_cannot_be_fenced_is_replaced_only_where_that_is_wanted() -> Result {
    for required in [true, false] {
        let cluster = Cluster::builder().replicas(1).start().await?;
        prepare(&cluster).await?;
        let mut config = promoting(&cluster, FailoverMode::Automatic);
        config.failover.fence_required = required;
        let router = Router::builder(Plain).config(config).fence(Arc::new(Powerless)).start().await?;
        all_serving(&router).await?;
        cluster.primary().kill9().await?;
        let report = ended(&router, 1).await?;
        assert!(report.to_string().contains("the power switch does not answer"), "{report}");
        if required {
            assert!(matches!(report.ending, Ending::Stopped(Stop::NotFenced(_))), "{report}");
            assert_eq!(writable(&cluster).await?, Vec::<String>::new());
        } else {
            assert!(report.succeeded() && !report.to_do.is_empty(), "{report}");
            assert_eq!(writable(&cluster).await?, ["replica-1"]);
        }
    }
    Ok(())
}

/// Somebody takes it away while the candidate catches up.
#[derive(Debug, Default)]
struct Taken(InProcessLease);

impl Lease for Taken {
    fn acquire(&self) -> BoxFuture<'_, std::result::Result<Option<Grant>, LeaseError>> {
        self.0.acquire()
    }

    fn renew(&self, _: Grant) -> BoxFuture<'_, std::result::Result<Option<Grant>, LeaseError>> {
        Box::pin(async { Ok(None) })
    }

    fn release(&self, grant: Grant) -> BoxFuture<'_, std::result::Result<(), LeaseError>> {
        self.0.release(grant)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_loses_the_lease_meanwhile_tells_nobody_to_take_over() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let config = promoting(&cluster, FailoverMode::Manual);
    let router = Router::builder(Plain).config(config).lease(Arc::new(Taken::default())).start().await?;
    all_serving(&router).await?;
    // A switchover that had made the primary refuse writes undoes that.
    let report = router.failover().initiate("maintenance", None, false).await?;
    assert!(matches!(report.ending, Ending::Stopped(Stop::NoLease(_))), "{report}");
    write_soon(&router, "as before").await?;
    assert_eq!(writable(&cluster).await?, ["primary"]);
    Ok(())
}
