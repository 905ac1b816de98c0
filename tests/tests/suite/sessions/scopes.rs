//! Which session a statement belongs to, and at which level it reads.

use super::*;

#[tokio::test]
async fn a_scope_sees_its_own_writes_and_asks_for_nobody_elses() -> Result {
    let (cluster, db, _) = two(1).await?;
    cluster.replica(1)?.pause_replay().await?;
    let (mine, yours) = (Session::new(), Session::new());
    mine.scope(async {
        db.write("mine").await?;
        assert!(db.sees("mine").await?);
        Result::Ok(())
    })
    .await?;
    // Another user's read has no reason to ask the primary …
    let (seen, node, _) = yours.scope(db.find("mine")).await?;
    assert_eq!((seen, &*node), (false, "replica-1"));
    // … while one that belongs to nobody has: the same process wrote it.
    assert!(db.sees("mine").await?);
    // And the session's own reads do wherever they are made.
    assert!(db.of(&mine).sees("mine").await?);
    Ok(())
}

#[tokio::test]
async fn a_spawned_task_works_for_whom_it_was_told() -> Result {
    let (cluster, db, _) = two(1).await?;
    cluster.replica(1)?.pause_replay().await?;
    let (session, other) = (Session::new(), Session::new());
    let writer = db.clone();
    session.spawn(async move { writer.write("spawned").await.map_err(|e| e.to_string()) }).await??;
    let reader = db.clone();
    let seen = session.spawn(async move { reader.sees("spawned").await.map_err(|e| e.to_string()) });
    assert!(seen.await??);
    let reader = db.clone();
    let seen = other.spawn(async move { reader.sees("spawned").await.map_err(|e| e.to_string()) });
    assert!(!seen.await??);
    Ok(())
}

#[tokio::test]
async fn a_handles_own_session_wins_over_the_scope() -> Result {
    let (cluster, db, _) = two(1).await?;
    cluster.replica(1)?.pause_replay().await?;
    let (own, around) = (Session::new(), Session::new());
    around.scope(db.of(&own).write("own")).await?;
    assert_eq!(around.last_write(), None);
    assert!(around.scope(db.of(&own).sees("own")).await?);
    assert!(!around.scope(db.sees("own")).await?);
    Ok(())
}

#[tokio::test]
async fn a_write_belongs_to_the_scope_in_which_it_began() -> Result {
    let (_cluster, db, _) = two(1).await?;
    let session = Session::new();
    let suspect = session.enter(|| db.ledger.suspect(None));
    drop(suspect);
    assert!(session.unplaced_since().is_some(), "it was given up elsewhere, and may have been done");
    let bound = session.enter(|| db.ledger.bound());
    bound.wrote(None);
    assert!(bound.session().is_some() && db.ledger.session().is_none());
    Ok(())
}

#[tokio::test]
async fn the_level_of_the_call_wins_over_handle_scope_and_router() -> Result {
    let (cluster, db, _) = two(1).await?;
    cluster.replica(1)?.pause_replay().await?;
    let session = Session::new();
    db.of(&session).write("level").await?;
    let sees = |db: Handle| async move { db.sees("level").await };
    // The router's level, `session`.
    assert!(session.scope(sees(db.clone())).await?);
    // The scope's.
    assert!(!session.scope_at(Consistency::Eventual, sees(db.clone())).await?);
    // The handle's over the scope's.
    let mut handle = db.clone();
    handle.ledger.consistency = Some(Consistency::Strong);
    assert!(session.scope_at(Consistency::Eventual, sees(handle.clone())).await?);
    // The call's over the handle's.
    let mut wish = Wish::default();
    wish.level = Some(Consistency::Eventual);
    let search = Search::new(handle.router(), wish);
    let request = search.request(&handle.ledger);
    assert_eq!(request.level, Some(Consistency::Eventual));
    assert_eq!(&**handle.router().route(&request)?.name(), "replica-1");
    Ok(())
}
