//! Groups in whose place others may serve: when they do, while the members lack what a read must see.

use rr_core::config::{GroupConfig, GroupFallback};

use super::*;

const IS_THERE: &str = "SELECT (count(*) > 0)::text FROM note WHERE text = 'seen'";

/// Of two replicas, `replica-2` serves a group and nobody else.
async fn grouped(causal_wait: Duration) -> Result<(Cluster, Handle)> {
    let cluster = Cluster::builder().replicas(2).start().await?;
    prepare(&cluster).await?;
    let mut config = config(&cluster);
    config.causal_wait = causal_wait;
    config.replicas[1] = config.replicas[1].clone().with_group("analytics");
    config.groups.insert("analytics".into(), GroupConfig::new(GroupFallback::Any, true));
    let db = Handle::over(config).await?;
    Ok((cluster, db.of(&Session::new())))
}

fn analytics() -> Wish {
    let mut wish = Wish::default();
    wish.group = Some("analytics".into());
    wish
}

#[tokio::test]
async fn a_member_is_waited_for_before_others_serve_in_its_place() -> Result {
    let (_cluster, db) = grouped(PATIENCE).await?;
    for n in 0..50 {
        let (_, node, _) = db.ask(IS_THERE).await?;
        assert_eq!(node, "replica-1");
        let (_, node, reason) = db.ask_by(analytics(), IS_THERE).await?;
        assert_eq!(
            (&*node, reason),
            ("replica-2", RouteReason::Group),
            "right behind read {n} of another node"
        );
    }
    db.write("seen").await?;
    let (found, node, _) = db.ask_by(analytics(), IS_THERE).await?;
    assert_eq!((&*found, &*node), ("true", "replica-2"));
    Ok(())
}

#[tokio::test]
async fn a_member_that_stands_still_is_waited_for_once_and_others_serve() -> Result {
    let (cluster, db) = grouped(Duration::from_millis(200)).await?;
    cluster.replica(2)?.pause_replay().await?;
    db.write("seen").await?;
    // The other one has it, whatever that took.
    until(db.router(), "the other replica to have it", |r| {
        let route = r.route_now(&Search::new(r, Wish::default()).request(&db.ledger));
        route.is_some_and(|route| route.is_ok_and(|route| &**route.name() == "replica-1"))
    })
    .await?;
    let counted = |step| db.router().counted(step);
    let explained = || {
        let wish = Search::new(db.router(), analytics());
        db.router().explain_route(&wish.request(&db.ledger)).to_string()
    };
    let text = explained();
    assert!(text.contains("+ replica-1 (replica)") && text.contains("it waits up to 200ms"), "{text}");
    let (waited, spared) = (counted(Step::Waited), counted(Step::Spared));
    for n in 0..50 {
        let (found, node, reason) = db.ask_by(analytics(), IS_THERE).await?;
        assert_eq!((&*found, &*node, reason), ("true", "replica-1", RouteReason::Replica), "read {n}");
    }
    // Twice, where it was last looked at just before it stood still.
    let (waited, spared) = (counted(Step::Waited) - waited, counted(Step::Spared) - spared);
    assert!((1..=2).contains(&waited) && waited + spared == 50, "{waited} waited, {spared} were spared that");
    let text = explained();
    assert!(text.contains("+ replica-1 (replica)") && !text.contains("it waits"), "{text}");
    cluster.replica(2)?.resume_replay().await?;
    until(db.router(), "the member to serve its group again", |r| {
        let route = r.route_now(&Search::new(r, analytics()).request(&db.ledger));
        route.is_some_and(|route| route.is_ok_and(|route| &**route.name() == "replica-2"))
    })
    .await
}
