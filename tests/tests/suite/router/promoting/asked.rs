//! When a person says so: proposals, promotions and switchovers that are asked for.

use super::*;
use rr_core::error::FailoverError;
use rr_core::failover::{CandidateRefusal, Decision};
use rr_core::router::Standing;

const GUIDE: &str = include_str!("../../../../../docs/guide/failover.md");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_is_carried_out_when_somebody_approves_it() -> Result {
    let (cluster, router) = promoted(2, FailoverMode::Supervised, |_| {}).await?;
    assert_eq!(router.failover().proposal(), None);
    cluster.primary().kill9().await?;
    until(&router, "a proposal", |r| r.failover().proposal().is_some()).await?;
    let proposal = router.failover().proposal().ok_or("a proposal")?;
    // Nobody is promoted before, however long it takes.
    assert!(router.failover().history().is_empty());
    let unknown = router.failover().approve(proposal.id + 1).await;
    assert!(matches!(unknown, Err(FailoverError::NoProposal(_))), "{unknown:?}");
    let report = router.failover().approve(proposal.id).await?;
    assert!(report.succeeded(), "{report}");
    assert_eq!(report.to, Some(proposal.target));
    assert_eq!(primary(&router), report.to.as_deref().map(str::to_owned));
    assert_eq!(writable(&cluster).await?.len(), 1);
    write_soon(&router, "after").await?;
    let again = router.failover().approve(proposal.id).await;
    assert!(matches!(again, Err(FailoverError::NoProposal(_))), "{again:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_expires_and_is_withdrawn_when_the_primary_is_back() -> Result {
    let brief = |config: &mut Config| config.failover.approve_within = Duration::from_millis(150);
    let (cluster, router) = promoted(1, FailoverMode::Supervised, brief).await?;
    cluster.primary().kill9().await?;
    until(&router, "a proposal", |r| r.failover().proposal().is_some()).await?;
    let first = router.failover().proposal().ok_or("a proposal")?;
    until(&router, "another proposal in its place", |r| {
        r.failover().proposal().is_some_and(|proposal| proposal.id > first.id)
    })
    .await?;
    let expired = router.failover().approve(first.id).await;
    assert!(matches!(expired, Err(FailoverError::NoProposal(_))), "{expired:?}");
    cluster.primary().start().await?;
    until(&router, "the proposal to be withdrawn", |r| {
        r.failover().proposal().is_none() && primary(r).as_deref() == Some("primary") && healthy_primary(r)
    })
    .await?;
    assert!(router.failover().history().is_empty());
    Ok(())
}

pub(super) fn healthy_primary(router: &Router<Plain>) -> bool {
    router.topology().primary().is_ok_and(|node| node.failures == 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_manual_mode_nobody_is_promoted_before_somebody_asks() -> Result {
    let (cluster, router) = promoted(2, FailoverMode::Manual, |_| {}).await?;
    let plan = router.failover().plan().await?;
    assert!(plan.is_privileged() && plan.elected().is_some(), "{plan}");
    cluster.primary().kill9().await?;
    until(&router, "the primary to be down", |r| !healthy_primary(r)).await?;
    let plan = router.failover().plan().await?;
    assert_eq!(plan.decision, Decision::Stay);
    assert!(plan.nodes.iter().any(|node| node.standing == Standing::Silent), "{plan}");
    let nobody = router.failover().initiate("a typing error", Some("replica-9"), false).await;
    assert!(matches!(nobody, Err(FailoverError::UnknownNode(_))), "{nobody:?}");
    let report = router.failover().initiate("it is gone", Some("replica-2"), false).await?;
    assert!(report.succeeded() && !report.planned, "{report}");
    assert_eq!(primary(&router).as_deref(), Some("replica-2"));
    assert_eq!(&*report.reason, "it is gone");
    cluster.replica(1)?.repointed(cluster.replica(2)?).await?;
    write_soon(&router, "after").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rehearsal_says_what_would_be_done_and_does_nothing() -> Result {
    let rehearse = |config: &mut Config| config.failover.dry_run = true;
    let (cluster, router) = promoted(1, FailoverMode::Automatic, rehearse).await?;
    let mut notices = router.notices();
    cluster.primary().kill9().await?;
    let told = async {
        loop {
            let notice = notices.recv().await?.to_string();
            if notice.contains("should take over") {
                return Ok::<_, tokio::sync::broadcast::error::RecvError>(notice);
            }
        }
    };
    let notice = tokio::time::timeout(PATIENCE, told).await??;
    assert!(notice.contains("`replica-1`"), "{notice}");
    let report = router.failover().initiate("a rehearsal", None, false).await?;
    assert_eq!(report.ending, Ending::Stopped(Stop::Rehearsal));
    assert_eq!(writable(&cluster).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_lacks_too_much_is_refused_unless_it_is_forced() -> Result {
    let strict = |config: &mut Config| config.failover.max_lag_bytes = Some(4096);
    let (cluster, router) = promoted(1, FailoverMode::Manual, strict).await?;
    cluster.replica(1)?.upstream_link().ok_or("a link")?.cut().await?;
    for n in 0..200 {
        write(&router, &format!("never shipped {n:0>100}")).await?;
    }
    until(&router, "the lag to be seen", |r| {
        r.topology().nodes().iter().any(|node| node.lag_bytes.is_some_and(|bytes| bytes > 8192))
    })
    .await?;
    cluster.primary().kill9().await?;
    until(&router, "the primary to be down", |r| !healthy_primary(r)).await?;
    let plan = router.failover().plan().await?;
    let refused = |standing: Standing| {
        matches!(standing, Standing::Refused(CandidateRefusal::TooFarBehind { limit: 4096, .. }))
    };
    assert!(plan.nodes.iter().any(|node| refused(node.standing)), "{plan}");
    let report = initiated(&router, None).await?;
    assert!(matches!(report.ending, Ending::Stopped(Stop::NoCandidate(_))), "{report}");
    assert_eq!(writable(&cluster).await?, Vec::<String>::new());
    let report = router.failover().initiate("better some than none", None, true).await?;
    assert!(report.succeeded(), "{report}");
    assert_eq!(writable(&cluster).await?, ["replica-1"]);
    Ok(())
}

#[tokio::test]
async fn a_role_without_the_privileges_is_refused_at_the_start() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let mut config = promoting(&cluster, FailoverMode::Automatic);
    config.failover.user = None;
    let refused = start(config.clone()).await.map(drop).unwrap_err().to_string();
    assert!(refused.contains("pg_promote") && refused.contains("GRANT"), "{refused}");
    // With what the guide says, it may.
    if !grant(&cluster).await? {
        return Ok(());
    }
    config.failover.user = Some("rr_failover".to_owned());
    let router = start(config.clone()).await?;
    let plan = router.failover().plan().await?;
    assert!(plan.is_privileged() && plan.nodes.iter().all(|node| node.trouble.is_none()), "{plan}");
    config.failover.single_process = false;
    let refused = start(config).await.map(drop).unwrap_err().to_string();
    assert!(refused.contains("failover.single_process"), "{refused}");
    Ok(())
}

/// Makes the role of the guide, in the database that the URLs name: what a function allows is a matter of each database.
/// There is none before PostgreSQL 15, which is printed.
#[expect(clippy::print_stderr, reason = "a test that proves less has to say so")]
pub(super) async fn grant(cluster: &Cluster) -> Result<bool> {
    if (1..15).contains(&cluster.programs().major()) {
        eprintln!("skipped: before PostgreSQL 15 nobody but a superuser may alter a setting");
        return Ok(false);
    }
    let url = cluster.primary().admin_url();
    let url = url.strip_suffix("postgres").ok_or("a database")?;
    let (client, connection) = tokio_postgres::connect(&format!("{url}app"), tokio_postgres::NoTls).await?;
    let connection = tokio::spawn(connection);
    client.batch_execute(&grants()?).await?;
    drop(client);
    connection.await??;
    cluster.wait_caught_up(PATIENCE).await?;
    Ok(true)
}

/// What the guide says that the role must be allowed, in the database of these tests.
fn grants() -> Result<String> {
    let (_, section) = GUIDE.split_once("### What the role must be allowed").ok_or("the section")?;
    let (_, sql) = section.split_once("```sql\n").ok_or("its statements")?;
    let (sql, _) = sql.split_once("```").ok_or("their end")?;
    Ok(sql.replace("DATABASE shop", "DATABASE app"))
}
