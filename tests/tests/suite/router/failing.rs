//! Nodes that die, hang, and come back; connectors that misbehave.

use super::*;
use rr_core::connector::{Connector, Target};
use rr_core::engine::TextRow;
use rr_core::topology::{HealthState, Role};
use rr_tests::cluster::Part;

/// Reads for as long as `work` takes, each on another node when its node fails, as an adapter does; how many there
/// were. A read that fails on every node fails the test.
async fn reading_through(router: &Router<Plain>, work: impl Future<Output = Result>) -> Result<u64> {
    let (done, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let readers = (0..8).map(|_| {
        let (router, done, count) = (router.clone(), Arc::clone(&done), Arc::clone(&count));
        tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                read_somewhere(&router).await.map_err(|error| error.to_string())?;
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<(), String>(())
        })
    });
    let readers: Vec<_> = readers.collect();
    work.await?;
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await??;
    }
    Ok(count.load(Ordering::Relaxed))
}

async fn read_somewhere(router: &Router<Plain>) -> Result {
    let mut tried = Vec::new();
    loop {
        let route = router.route(&read().avoiding(&tried))?;
        tried.push(route.node());
        if run(route, IN_RECOVERY).await.is_ok() {
            return Ok(());
        }
    }
}

#[tokio::test]
async fn a_replica_that_is_down_at_the_start_fails_nothing_and_joins_later() -> Result {
    let cluster = Cluster::builder().replicas(2).start().await?;
    prepare(&cluster).await?;
    cluster.replica(2)?.kill9().await?;
    let router = start(config(&cluster)).await?;
    for _ in 0..20 {
        assert_eq!(&**router.route(&read())?.name(), "replica-1");
    }
    cluster.replica(2)?.start().await?;
    until(&router, "the second replica to join", |r| healthy(r, "replica-2")).await
}

#[tokio::test]
async fn reads_go_on_while_replicas_die_and_return() -> Result {
    let (cluster, router) = routed(2).await?;
    let (first, second) = (cluster.replica(1)?, cluster.replica(2)?);
    let count = reading_through(&router, async {
        first.kill_client_connections().await?;
        first.kill9().await?;
        until(&router, "the first to be down", |r| !healthy(r, "replica-1")).await?;
        second.kill9().await?;
        until(&router, "the second to be down", |r| !healthy(r, "replica-2")).await?;
        until(&router, "reads to go to the primary", |r| {
            r.route(&read()).is_ok_and(|route| route.reason() == RouteReason::ReplicasDown)
        })
        .await?;
        first.start().await?;
        until(&router, "the first to be back", |r| healthy(r, "replica-1")).await
    })
    .await?;
    assert!(count > 0, "nobody read anything");
    let idle = |node| router.in_flight(node) == Some(0);
    assert!(["primary", "replica-1", "replica-2"].into_iter().all(idle), "something is still in flight");
    Ok(())
}

#[tokio::test]
async fn reads_go_on_when_the_primary_is_killed() -> Result {
    let (cluster, router) = routed(2).await?;
    let count = reading_through(&router, async {
        cluster.primary().kill9().await?;
        until(&router, "the primary to be down", |r| {
            r.topology().nodes().iter().any(|n| &*n.name == "primary" && n.health == HealthState::Unhealthy)
        })
        .await
    })
    .await?;
    assert!(count > 0, "nobody read anything");
    until(&router, "the data to be known as stale", |r| {
        r.topology()
            .nodes()
            .iter()
            .filter(|n| n.role == Role::Replica)
            .all(|n| n.staleness(r.now()).is_some_and(|staleness| staleness > Duration::from_millis(500)))
    })
    .await
}

#[tokio::test]
async fn a_hanging_server_is_noticed_although_its_kernel_answers() -> Result {
    let cluster = Cluster::builder().replicas(2).start().await?;
    let mut config = config(&cluster);
    config.monitor.timeout = Duration::from_millis(200);
    config.monitor.connect_timeout = Duration::from_millis(200);
    let router = start(config).await?;
    cluster.replica(1)?.sigstop(Part::Everything)?;
    until(&router, "the hanging server to be out", |r| !healthy(r, "replica-1")).await?;
    cluster.replica(1)?.sigcont(Part::Everything)?;
    until(&router, "the server to be back", |r| healthy(r, "replica-1")).await?;
    cluster.replica(2)?.link().blackhole().await?;
    until(&router, "the half-open link to be noticed", |r| !healthy(r, "replica-2")).await?;
    cluster.replica(2)?.link().heal().await?;
    until(&router, "the link to be back", |r| healthy(r, "replica-2")).await
}

#[tokio::test]
async fn statements_that_fail_eject_a_node_whose_probes_are_fine() -> Result {
    let (_cluster, router) = routed(2).await?;
    let mut faults = 0;
    while healthy(&router, "replica-1") {
        let route = router.route(&read())?;
        let outcome = if &**route.name() == "replica-1" {
            faults += 1;
            Outcome::Failed(Fault::Timeout)
        } else {
            Outcome::Answered
        };
        route.finish(outcome);
        tokio::task::yield_now().await;
        assert!(faults < 10_000, "not ejected after {faults} faults");
    }
    let ejected = |name: &str| router.topology().nodes().iter().any(|n| &*n.name == name && n.ejected);
    assert!(ejected("replica-1"));
    // The floor: of two replicas one may be ejected, not both.
    for _ in 0..100 {
        router.route(&read())?.finish(Outcome::Failed(Fault::Timeout));
        tokio::task::yield_now().await;
    }
    assert!(!ejected("replica-2"));
    Ok(())
}

/// Does what the plain connector does, except that the n-th look at a replica panics or hangs.
struct Moody {
    looks: AtomicU64,
    mood: Mood,
}

#[derive(Clone, Copy, Debug)]
enum Mood {
    Panics,
    Hangs,
    TalksNonsense,
}

impl Connector for Moody {
    type Pool = Pool;
    type Control = (tokio_postgres::Client, Role);
    type Error = tokio_postgres::Error;

    fn pool(&self, target: &Target) -> std::result::Result<Pool, Self::Error> {
        Plain.pool(target)
    }

    async fn control(&self, target: &Target) -> std::result::Result<Self::Control, Self::Error> {
        let role = if target.node.name == "primary" { Role::Primary } else { Role::Replica };
        Ok((Plain.control(target).await?, role))
    }

    async fn run(&self, control: &mut Self::Control, sql: &str) -> std::result::Result<TextRow, Self::Error> {
        let (client, role) = control;
        if *role == Role::Replica && (5..15).contains(&self.looks.fetch_add(1, Ordering::Relaxed)) {
            match self.mood {
                Mood::Panics => panic!("a connector with a bug"),
                Mood::Hangs => std::future::pending::<()>().await,
                Mood::TalksNonsense => return Ok(vec![Some("maybe".to_owned())]),
            }
        }
        Plain.run(client, sql).await
    }

    fn fault(&self, error: &Self::Error, role: Role) -> Option<Fault> {
        Plain.fault(error, role)
    }
}

#[tokio::test]
async fn a_connector_that_panics_hangs_or_lies_costs_one_node_for_a_while() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    for mood in [Mood::Panics, Mood::Hangs, Mood::TalksNonsense] {
        let mut config = config(&cluster);
        config.monitor.timeout = Duration::from_millis(50);
        config.health.probation = Duration::from_millis(100);
        let connector = Moody { looks: AtomicU64::new(0), mood };
        let router = Router::builder(connector).config(config).start().await?;
        let state = || {
            let topology = router.topology();
            topology.nodes().iter().find(|n| &*n.name == "replica-1").map(|n| n.health)
        };
        let is =
            |wanted| move || std::future::ready(Ok::<_, std::convert::Infallible>(state() == Some(wanted)));
        wait_until(PATIENCE, &format!("a replica that {mood:?} to be down"), is(HealthState::Unhealthy))
            .await?;
        assert!(router.route(&Request::write()).is_ok(), "the primary has nothing to do with it");
        wait_until(
            PATIENCE,
            &format!("a replica that no longer {mood:?} to be well"),
            is(HealthState::Healthy),
        )
        .await?;
        router.shutdown().await;
    }
    Ok(())
}
