//! Jobs that carry a token.

use rr_core::router::{Else, Required};

use super::*;

#[tokio::test]
async fn a_job_begins_when_a_replica_has_what_it_follows_up_on() -> Result {
    let (cluster, one, worker) = two(1).await?;
    let session = Session::new();
    let replica = cluster.replica(1)?;
    replica.pause_replay().await?;
    one.of(&session).write("follow up").await?;
    let payload = one.router().token(&session)?;
    let router = worker.router();
    for otherwise in [Else::Requeue, Else::Wait(Duration::from_millis(20))] {
        match router.require(payload.as_str(), otherwise).await? {
            Required::NotYet { retry_after } => assert!(!retry_after.is_zero()),
            other => panic!("{other:?} with {otherwise:?}, and the replica is paused"),
        }
    }
    let Required::Ready(session) = router.require(payload.as_str(), Else::Primary).await? else {
        panic!("the primary has it");
    };
    assert!(worker.of(&session).sees("follow up").await?);

    let (resumed, ready) =
        tokio::join!(replica.resume_replay(), router.require(payload.as_str(), Else::Wait(PATIENCE)));
    resumed?;
    let Required::Ready(session) = ready? else { panic!("the replica has caught up") };
    let (seen, node, _) = worker.of(&session).find("follow up").await?;
    assert_eq!((seen, &*node), (true, "replica-1"));
    assert!(router.require("nonsense", Else::Requeue).await.is_err());
    Ok(())
}

#[tokio::test]
async fn without_replicas_a_job_begins_on_the_primary() -> Result {
    let (_cluster, one, worker) = two(0).await?;
    let session = Session::new();
    one.of(&session).write("alone").await?;
    let token = one.router().token(&session)?;
    let Required::Ready(session) = worker.router().require(token.as_str(), Else::Requeue).await? else {
        panic!("there is nobody to wait for");
    };
    assert!(worker.of(&session).sees("alone").await?);
    Ok(())
}
