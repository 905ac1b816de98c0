//! Switchovers: the primary is well, and another one takes its place without a failed statement.

use super::*;
use rr_core::failover::Stop;
use rr_core::route::RouteError;
use rr_core::topology::NoPrimary;

type Written = std::result::Result<Vec<String>, String>;

/// Writes one row after the other, each once, as an adapter does: where there is no primary it waits for one, and whatever
/// else goes wrong is an error. Gives what was acknowledged.
async fn writer(router: Router<Plain>, name: usize, stop: Arc<AtomicBool>) -> Written {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let text = format!("{name}-{n}");
        let deadline = tokio::time::Instant::now() + router.config().write_wait;
        let route = loop {
            match router.route(&Request::write()) {
                Ok(route) => break route,
                Err(RouteError::NoPrimary { why: NoPrimary::SwitchingOver { .. }, .. })
                    if tokio::time::Instant::now() < deadline =>
                {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Err(error) => return Err(error.to_string()),
            }
        };
        let insert = format!("INSERT INTO note (text) VALUES ('{text}') RETURNING text");
        run(route, &insert).await.map_err(|error| format!("{text}: {error}"))?;
        acknowledged.push(text);
    }
    Ok(acknowledged)
}

/// Eight writers, until told to stop.
fn load(router: &Router<Plain>) -> (Arc<AtomicBool>, Vec<tokio::task::JoinHandle<Written>>) {
    let stop = Arc::new(AtomicBool::new(false));
    let spawn = |name| tokio::spawn(writer(router.clone(), name, Arc::clone(&stop)));
    let writers = (0..8).map(spawn).collect();
    (stop, writers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switchover_under_load_fails_no_statement_and_loses_no_write() -> Result {
    let (cluster, router) = promoted(2, FailoverMode::Manual, |_| {}).await?;
    let (stop, writers) = load(&router);
    until(&router, "writes", |r| r.routed("primary", RouteReason::Write) > 100).await?;
    let report = router.failover().initiate("maintenance", Some("replica-2"), false).await?;
    assert!(report.succeeded() && report.planned, "{report}");
    assert!(!report.durations.of(Phase::Draining).is_zero());
    until(&router, "writes on the new primary", |r| r.routed("replica-2", RouteReason::Write) > 100).await?;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await??);
    }
    let (leader, old) = (cluster.replica(2)?, cluster.primary());
    let count = leader.query_text("SELECT count(*)::text || ' ' || count(DISTINCT text) FROM note").await?;
    assert_eq!(count, format!("{0} {0}", acknowledged.len()), "each write once");
    // The old primary writes for nobody any more, and the sibling follows the new one.
    let refused = old.sql("INSERT INTO note (text) VALUES ('late')").await.unwrap_err();
    assert!(format!("{refused:?}").contains("25006"), "{refused:?}");
    cluster.replica(1)?.repointed(leader).await?;
    cluster.replica(1)?.wait_caught_up(leader, PATIENCE).await?;
    assert!(report.to_do.iter().any(|what| what.contains("`primary`")), "{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_does_not_catch_up_ends_a_switchover_without_harm() -> Result {
    let short = |config: &mut Config| config.failover.hold = Duration::from_millis(500);
    let (cluster, router) = promoted(1, FailoverMode::Manual, short).await?;
    cluster.replica(1)?.pause_replay().await?;
    // Whoever paused it had a reason, and nothing is on fire.
    let report = router.failover().initiate("maintenance", None, false).await?;
    assert!(matches!(report.ending, Ending::Stopped(Stop::NoCandidate(_))), "{report}");
    // What it has not received it cannot apply.
    cluster.replica(1)?.resume_replay().await?;
    cluster.replica(1)?.upstream_link().ok_or("a link")?.cut().await?;
    let (stop, writers) = load(&router);
    until(&router, "writes", |r| r.routed("primary", RouteReason::Write) > 50).await?;
    let report = router.failover().initiate("maintenance", None, false).await?;
    assert!(matches!(report.ending, Ending::Stopped(Stop::NotCaughtUp(_))), "{report}");
    assert!(report.to_do.is_empty(), "{report}");
    let before = router.routed("primary", RouteReason::Write);
    until(&router, "writes to go on", |r| r.routed("primary", RouteReason::Write) > before + 50).await?;
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await??;
    }
    assert_eq!(writable(&cluster).await?, ["primary"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_transaction_ends_a_switchover_unless_it_is_forced() -> Result {
    let short = |config: &mut Config| config.failover.hold = Duration::from_millis(500);
    let (cluster, router) = promoted(1, FailoverMode::Manual, short).await?;
    let route = router.route(&Request::write())?;
    let connection = route.pool().clone().get_owned().await?;
    connection.batch_execute("BEGIN; INSERT INTO note (text) VALUES ('long')").await?;
    let report = router.failover().initiate("maintenance", None, false).await?;
    assert!(matches!(report.ending, Ending::Stopped(Stop::NotDrained(_))), "{report}");
    write(&router, "writes go on").await?;
    connection.batch_execute("COMMIT").await?;
    drop((connection, route));
    // Another application's transaction is none of ours; it is ended when it takes too long.
    let other = cluster.primary().direct().await?;
    other.batch_execute("BEGIN; INSERT INTO note (text) VALUES ('of another application')").await?;
    let report = router.failover().initiate("maintenance", None, false).await?;
    assert!(report.succeeded(), "{report}");
    assert!(other.batch_execute("COMMIT").await.is_err());
    let count = cluster.replica(1)?.query_text("SELECT count(*)::text FROM note").await?;
    assert_eq!(count, "2");
    Ok(())
}
