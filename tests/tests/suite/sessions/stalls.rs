//! A replica that does not move costs one wait, and not one for each read.

use tokio::task::JoinSet;

use super::*;

#[tokio::test]
async fn a_paused_replica_is_waited_for_once() -> Result {
    let (cluster, db, _) = two(2).await?;
    for replica in cluster.replicas() {
        replica.pause_replay().await?;
    }
    let session = Session::new();
    let db = db.of(&session);
    for n in 0..100 {
        let text = format!("note {n}");
        db.write(&text).await?;
        assert!(db.sees(&text).await?, "{text} was not seen");
    }
    let counted = |step| db.router().counted(step);
    // Two replicas: they are waited for together, or one after the other when one was asked alone.
    assert!((1..=2).contains(&counted(Step::Waited)), "{} reads waited", counted(Step::Waited));
    assert_eq!(counted(Step::Waited), counted(Step::GaveUp));
    assert_eq!(counted(Step::Waited) + counted(Step::Spared), 100);
    // Once it moves again it serves again, without anybody's help.
    cluster.replica(2)?.resume_replay().await?;
    let search = Search::new(db.router(), Wish::default());
    until(db.router(), "the replica to serve the session", |r| {
        let route = r.route_now(&search.request(&db.ledger));
        route.is_some_and(|route| route.is_ok_and(|route| &**route.name() == "replica-2"))
    })
    .await
}

#[tokio::test]
async fn who_has_more_patience_waits_all_the_same() -> Result {
    let (cluster, db, _) = two(1).await?;
    let replica = cluster.replica(1)?;
    replica.pause_replay().await?;
    let session = Session::new();
    let db = db.of(&session);
    db.write("late").await?;
    assert_eq!(db.find("late").await?.1, "primary");
    let search = Search::new(db.router(), Wish::default());
    let request = search.request(&db.ledger);
    let (resumed, route) =
        tokio::join!(replica.resume_replay(), db.router().route_within(&request, PATIENCE));
    resumed?;
    assert_eq!(route?.reason(), RouteReason::CaughtUp);
    Ok(())
}

#[tokio::test]
async fn a_write_of_unknown_position_costs_one_question_and_no_stall() -> Result {
    let (cluster, db, _) = two(1).await?;
    cluster.replica(1)?.pause_replay().await?;
    let session = Session::new();
    let db = db.of(&session);
    for n in 0..30 {
        let text = format!("note {n}");
        db.write_unplaced(&text).await?;
        assert!(db.sees(&text).await?, "{text} was not seen");
    }
    Ok(())
}

/// What the primary has taken since is not waited for: a replica that is always a little behind would never have it all.
#[tokio::test]
async fn a_write_of_unknown_position_is_waited_for_and_not_what_others_write_meanwhile() -> Result {
    let (cluster, db, _) = two(1).await?;
    let mut others = JoinSet::new();
    let router = db.router().clone();
    others.spawn(async move { while crate::router::write(&router, "another").await.is_ok() {} });
    cluster.replica(1)?.apply_delay(Duration::from_millis(200)).await?;
    let session = Session::new();
    let db = db.of(&session);
    for n in 0..10 {
        let text = format!("note {n}");
        db.write_unplaced(&text).await?;
        let search = Search::new(db.router(), Wish::default());
        let route = db.router().route_within(&search.request(&db.ledger), PATIENCE).await?;
        assert_eq!(route.reason(), RouteReason::CaughtUp, "{text}");
        let found = run(route, &format!("SELECT count(*)::text FROM note WHERE text = '{text}'")).await?;
        assert_eq!(found, "1", "{text}");
    }
    assert!(others.try_join_next().is_none(), "they write all the time");
    Ok(())
}
