//! Somebody else promotes another replica while the router is about to promote one: there are never two.

use super::*;
use rr_core::failover::{BoxFuture, Fence, HookError, Place};
use rr_tests::cluster::Node;
use tokio::sync::Semaphore;

/// Holds a promotion up between the lease and the closer look.
#[derive(Debug)]
struct Gate {
    reached: Semaphore,
    open: Semaphore,
}

impl Fence for Gate {
    fn fence<'a>(&'a self, _: &'a Place) -> BoxFuture<'a, std::result::Result<(), HookError>> {
        Box::pin(async {
            self.reached.add_permits(1);
            self.open.acquire().await.map(drop).map_err(HookError::new)
        })
    }
}

fn overtaken(report: &Report) -> bool {
    matches!(&report.ending, Ending::Stopped(Stop::Overtaken(why)) if why.contains("`replica-2`"))
}

/// Waits until the router has looked at a server that has begun a new timeline.
async fn seen(router: &Router<Plain>, node: &Node) -> Result {
    until(router, "the new timeline to be seen", |r| {
        let topology = r.topology();
        let shown = topology.nodes().iter().find(|n| &*n.name == node.name()).and_then(|n| n.applied.clone());
        matches!(shown, Some(Position::Postgres(at)) if at.head().0 > Timeline::FIRST)
    })
    .await
}

async fn only_the_second_took_over(cluster: &Cluster, router: &Router<Plain>) -> Result {
    until(router, "the other one to be followed", |r| primary(r).as_deref() == Some("replica-2")).await?;
    write_soon(router, "on the only one").await?;
    let promoted: Vec<String> =
        writable(cluster).await?.into_iter().filter(|name| name != "primary").collect();
    assert_eq!(promoted, ["replica-2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_ends_where_somebody_else_has_begun_one() -> Result {
    let cluster = Cluster::builder().replicas(2).start().await?;
    prepare(&cluster).await?;
    let gate = Arc::new(Gate { reached: Semaphore::new(0), open: Semaphore::new(0) });
    let config = promoting(&cluster, FailoverMode::Automatic);
    let router = Router::builder(Plain).config(config).fence(Arc::clone(&gate) as _).start().await?;
    all_serving(&router).await?;
    cluster.primary().kill9().await?;
    gate.reached.acquire().await?.forget();
    let rival = cluster.replica(2)?.begin_promotion().await?;
    seen(&router, cluster.replica(2)?).await?;
    gate.open.add_permits(1);
    let report = ended(&router, 1).await?;
    assert!(overtaken(&report), "{report}");
    rival.end().await?;
    only_the_second_took_over(&cluster, &router).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switchover_ends_where_somebody_else_begins_one_and_the_old_primary_writes_no_more() -> Result {
    let patient = |config: &mut Config| config.failover.hold = PATIENCE;
    let (cluster, router) = promoted(2, FailoverMode::Manual, patient).await?;
    let route = router.route(&Request::write())?;
    let connection = route.pool().clone().get_owned().await?;
    connection.batch_execute("BEGIN; INSERT INTO note (text) VALUES ('long')").await?;
    let mut notices = router.notices();
    let holds = async {
        while !matches!(notices.recv().await?, rr_core::world::Notice::Holding { .. }) {}
        let rival = cluster.replica(2)?.begin_promotion().await?;
        seen(&router, cluster.replica(2)?).await?;
        connection.batch_execute("COMMIT").await?;
        drop((connection, route));
        Ok::<_, Box<dyn Error>>(rival)
    };
    let switchover = async { Ok(router.failover().initiate("maintenance", Some("replica-1"), false).await?) };
    let (report, rival) = tokio::try_join!(switchover, holds)?;
    assert!(overtaken(&report), "{report}");
    assert!(report.to_do.iter().any(|what| what.contains("default_transaction_read_only")), "{report}");
    rival.end().await?;
    only_the_second_took_over(&cluster, &router).await?;
    let refused = cluster.primary().sql("INSERT INTO note (text) VALUES ('late')").await.unwrap_err();
    assert!(format!("{refused:?}").contains("25006"), "{refused:?}");
    Ok(())
}
