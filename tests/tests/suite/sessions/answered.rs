//! Writes that are answered before it is known where they ended.

use rr_core::topology::Node;

use super::*;

/// A handle of the session, and one that works for none: they see what was written alike.
fn readers(db: &Handle, session: &Session) -> [Handle; 2] {
    [db.of(session), Handle { ledger: Ledger::new(db.router().clone()) }]
}

#[tokio::test]
async fn reads_see_what_is_not_placed_yet() -> Result {
    let (_cluster, db, _) = two(1).await?;
    let session = Session::new();
    for n in 0..50 {
        let text = format!("note {n}");
        let suspect = db.of(&session).ledger.suspect(None);
        let at = crate::router::write(db.router(), &text).await?;
        let unplaced = suspect.answered();
        assert!(session.unplaced_since().is_some());
        for reader in readers(&db, &session) {
            assert!(reader.ledger.requirement().after.is_some(), "it asks for a sample until then");
        }
        // It arrives while they wait for it, or for a sample.
        let placing = tokio::spawn(async move { unplaced.placed(Some(&at)) });
        for reader in readers(&db, &session) {
            assert!(reader.sees(&text).await?, "{text} was not seen");
        }
        placing.await?;
        assert_eq!(session.unplaced_since(), None);
    }
    Ok(())
}

#[tokio::test]
async fn a_read_waits_for_the_position_that_is_on_its_way() -> Result {
    let (_cluster, db, _) = two(1).await?;
    let session = Session::new();
    let suspect = db.of(&session).ledger.suspect(None);
    let at = crate::router::write(db.router(), "one").await?;
    let has_it = |node: &Node| node.applied.as_ref().is_some_and(|applied| applied.covers(&at));
    until(db.router(), "everybody to have it", |r| r.topology().nodes().iter().all(has_it)).await?;
    // Nobody is asked any more: only the position can help.
    db.router().shutdown().await;
    let unplaced = suspect.answered();
    let reader = db.of(&session);
    let search = Search::new(db.router(), Wish::default());
    let request = search.request(&reader.ledger);
    let mut routing = Box::pin(db.router().route_within(&request, PATIENCE));
    assert!(futures::poll!(&mut routing).is_pending(), "nothing proves where it ended");
    unplaced.placed(Some(&at));
    assert_eq!(routing.await?.reason(), RouteReason::Replica, "as if it had been known from the start");
    assert_eq!(session.last_write(), Some(at));
    Ok(())
}

#[tokio::test]
async fn what_is_never_placed_is_found_in_a_sample() -> Result {
    let (_cluster, db, _) = two(1).await?;
    let session = Session::new();
    let suspect = db.of(&session).ledger.suspect(None);
    crate::router::write(db.router(), "lost").await?;
    drop(suspect.answered());
    assert!(session.unplaced_since().is_some(), "it is not forgotten");
    for reader in readers(&db, &session) {
        assert!(reader.sees("lost").await?);
    }
    until(db.router(), "a sample to place it", |router| {
        router.requirement(Some(&session), None).after.is_none() && session.last_write().is_some()
    })
    .await
}

#[tokio::test]
async fn a_token_waits_for_the_position() -> Result {
    let (_cluster, db, other) = two(1).await?;
    let session = Session::new();
    let suspect = db.of(&session).ledger.suspect(None);
    let at = crate::router::write(db.router(), "one").await?;
    let unplaced = suspect.answered();
    let export = db.router().export(&session, PATIENCE);
    let (export, ()) = futures::join!(export, async { unplaced.placed(Some(&at)) });
    let export = export?;
    assert!(export.exact);
    let resumed = other.router().resume(export.token.as_str()).await?;
    assert_eq!(resumed.last_write(), Some(at));
    Ok(())
}
