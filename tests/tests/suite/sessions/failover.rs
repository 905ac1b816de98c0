//! What a promotion leaves of sessions and their tokens.

use rr_core::adapter::Ended;
use rr_core::config::LostWrites;
use rr_core::route::RouteError;
use rr_core::token::{LostWrite, Token, TokenError};
use rr_core::topology::Role;
use rr_core::world::Notice;
use rr_tests::cluster::{Node, Part};

use super::*;

async fn followed(router: &Router<Plain>) -> Result {
    leads(router, "replica-1").await
}

async fn leads(router: &Router<Plain>, name: &str) -> Result {
    until(router, "the promotion to be followed", |r| {
        r.topology().primary().is_ok_and(|node| &*node.name == name && node.applied.is_some())
    })
    .await
}

#[tokio::test]
async fn a_token_from_before_the_switch_is_good_and_one_beyond_it_is_a_lost_write() -> Result {
    let (cluster, one, other) = two(1).await?;
    let mut lenient = keyed(&cluster);
    lenient.lost_writes = LostWrites::Warn;
    let lenient = Handle::over(lenient).await?;
    let mut notices = one.router().notices();

    let (kept, lost) = (Session::new(), Session::new());
    one.of(&kept).write("kept").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    cluster.replica(1)?.upstream_link().ok_or("a link")?.cut().await?;
    let end = one.of(&lost).write("lost").await?;
    let tokens = (one.router().token(&kept)?, one.router().token(&lost)?);
    cluster.primary().kill9().await?;
    cluster.replica(1)?.promote().await?;
    for db in [&one, &other, &lenient] {
        followed(db.router()).await?;
    }

    // At or below the switch point: still valid, on the new primary.
    let resumed = other.router().resume(tokens.0.as_str()).await?;
    assert!(other.of(&resumed).sees("kept").await?);

    // Above it: the write is gone, and that is said.
    let error = other.router().resume(tokens.1.as_str()).await.unwrap_err();
    let TokenError::LostWrite(told) = &error else { panic!("{error}") };
    assert_eq!(told.token, end);
    assert!(end.covers(&told.switch) && !told.switch.covers(&end), "{told}");
    assert_eq!(other.router().counted(Step::LostWrite), 1);

    // By policy it is only logged, and the session goes on with what was kept.
    let resumed = lenient.router().resume(tokens.1.as_str()).await?;
    assert_eq!(resumed.last_write(), Some(told.switch.clone()));
    assert!(!lenient.of(&resumed).sees("lost").await?);
    assert_eq!(lenient.router().counted(Step::LostWrite), 1);

    // The session itself is told at its next read, until somebody takes note.
    let search = Search::new(one.router(), Wish::default());
    let handle = one.of(&lost);
    for _ in 0..2 {
        let error = one.router().route(&search.request(&handle.ledger)).unwrap_err();
        assert_eq!(error, RouteError::LostWrite(Box::new(told.clone())));
    }
    lost.accept_loss(told);
    assert!(!handle.sees("lost").await?);

    // Reads of nobody in particular go on; for the process there is a notice.
    assert!(!one.sees("lost").await? && one.sees("kept").await?);
    let notice = loop {
        if let Notice::LostWrite(lost) = tokio::time::timeout(PATIENCE, notices.recv()).await?? {
            break lost;
        }
    };
    assert_eq!(notice.switch, told.switch);
    Ok(())
}

#[tokio::test]
async fn a_write_that_nobody_had_placed_when_its_primary_died_is_told_of() -> Result {
    let (cluster, db, _other) = two(1).await?;
    let (kept, lost) = (Session::new(), Session::new());
    db.of(&kept).write_unplaced("kept").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    // The primary is asked once more, and so it is known that this one was shipped.
    let since = db.router().now();
    until(db.router(), "a sample of the primary", |r| {
        r.topology().primary().is_ok_and(|primary| primary.sampled_at.is_some_and(|at| at >= since))
    })
    .await?;
    cluster.replica(1)?.upstream_link().ok_or("a link")?.cut().await?;
    db.of(&lost).write_unplaced("lost").await?;
    let handle = db.of(&lost);
    let search = Search::new(db.router(), Wish::default());
    let waiting = search.request(&handle.ledger);
    cluster.primary().kill9().await?;
    cluster.replica(1)?.promote().await?;
    followed(db.router()).await?;

    assert!(db.of(&kept).sees("kept").await?);
    // Whatever its level, and though it was asked for before the failover.
    let mut strong = Wish::default();
    strong.level = Some(Consistency::Strong);
    let strong = Search::new(db.router(), strong);
    let mut told = Vec::new();
    for request in [waiting, strong.request(&handle.ledger), search.request(&handle.ledger)] {
        match db.router().route(&request) {
            Err(RouteError::LostWrite(lost)) => told.push(lost),
            other => panic!("{request:?}: {other:?}"),
        }
    }
    let told = told.pop().ok_or("a loss")?;
    assert!(told.token.covers(&told.switch), "{told}");
    lost.accept_loss(&told);
    assert!(!handle.sees("lost").await? && handle.sees("kept").await?);

    // What is written from now on is no business of that failover.
    handle.write_unplaced("new").await?;
    assert!(handle.sees("new").await?);
    Ok(())
}

/// A token of a session that has just written, which nobody has placed and nobody will: the server answers no more.
async fn inexact(one: &Handle, server: &Node, ended: Ended) -> Result<Token> {
    let session = Session::new();
    let suspect = one.of(&session).write_on_its_way("in doubt").await?;
    server.sigstop(Part::Everything)?;
    suspect.settle(ended, None);
    let export = one.router().export(&session, Duration::from_millis(20)).await?;
    assert!(!export.exact);
    Ok(export.token)
}

/// What the session is told when it reads.
fn told(db: &Handle, session: &Session) -> Option<LostWrite> {
    let search = Search::new(db.router(), Wish::default());
    match db.router().route(&search.request(&db.of(session).ledger)) {
        Err(RouteError::LostWrite(lost)) => Some(*lost),
        Ok(_) => None,
        Err(other) => panic!("{other}"),
    }
}

/// Whose write is lost is told, and who wrote what was kept reads it.
async fn only_one_is_told(db: &Handle, lost: &Session, kept: &Session) -> Result {
    assert!(told(db, lost).is_some());
    assert!(told(db, kept).is_none() && db.of(kept).sees("kept").await?);
    Ok(())
}

/// Where the write ended nobody can say: not who issued the token, and not who resumes it, before the failover or after.
#[tokio::test]
async fn a_token_of_a_write_that_was_not_placed_tells_of_a_failover_in_between() -> Result {
    let (cluster, one, other) = two(1).await?;
    cluster.replica(1)?.upstream_link().ok_or("a link")?.cut().await?;
    let token = inexact(&one, cluster.primary(), Ended::Done).await?;
    cluster.primary().crash().await?;
    let early = other.router().resume(token.as_str()).await?;
    cluster.replica(1)?.promote().await?;
    for db in [&one, &other] {
        followed(db.router()).await?;
    }
    let error = other.router().resume(token.as_str()).await.unwrap_err();
    assert!(matches!(error, TokenError::LostWrite(_)), "{error}");
    assert!(told(&other, &early).is_some(), "it was resumed before anybody knew of the failover");

    // What is written from now on is no business of that failover.
    let token = inexact(&one, cluster.replica(1)?, Ended::Done).await?;
    cluster.replica(1)?.sigcont(Part::Everything)?;
    let resumed = other.router().resume(token.as_str()).await?;
    until(other.router(), "the primary to answer again", |r| r.health().writes).await?;
    assert!(other.of(&resumed).sees("in doubt").await?);
    Ok(())
}

/// Its caller got an error and knows.
#[tokio::test]
async fn a_token_of_a_write_that_was_not_answered_tells_of_no_loss() -> Result {
    let (cluster, one, other) = two(1).await?;
    let token = inexact(&one, cluster.primary(), Ended::Unknown).await?;
    cluster.primary().crash().await?;
    cluster.replica(1)?.promote().await?;
    followed(other.router()).await?;
    let resumed = other.router().resume(token.as_str()).await?;
    assert_eq!(told(&other, &resumed), None);
    Ok(())
}

/// A primary that was replaced while it worked answers all the same.
#[tokio::test]
async fn what_is_answered_after_the_failover_is_told_of() -> Result {
    let (cluster, one, other) = two(1).await?;
    let mut alone = keyed(&cluster);
    alone.replicas.clear();
    let behind = Handle::over(alone).await?;
    cluster.replica(1)?.upstream_link().ok_or("a link")?.cut().await?;
    let (late, later) = (Session::new(), Session::new());
    let suspects =
        (one.of(&late).write_on_its_way("late").await?, one.of(&later).write_on_its_way("later").await?);
    let unplaced = suspects.1.answered();
    cluster.replica(1)?.promote().await?;
    for db in [&one, &other] {
        followed(db.router()).await?;
    }
    suspects.0.wrote(None);
    let lost = told(&one, &late).ok_or("what is answered late was not told of")?;
    let token = one.router().token(&late)?;
    late.accept_loss(&lost);
    assert_eq!(told(&one, &late), None);

    // Whose position is still on its way: told of once, and again when it turns out that there will be none.
    let lost = told(&one, &later).ok_or("what is not placed yet was not told of")?;
    later.accept_loss(&lost);
    assert_eq!(told(&one, &later), None);
    drop(unplaced);
    assert!(told(&one, &later).is_some());

    // Who cannot see the new primary does not take its session for forged: it is told as soon as that is seen.
    let resumed = behind.router().resume(token.as_str()).await?;
    assert_eq!(told(&behind, &resumed), None);
    assert!(matches!(other.router().resume(token.as_str()).await, Err(TokenError::LostWrite(_))));
    Ok(())
}

/// A server that takes over shows its new timeline while it is still in recovery: for as long as `recovery_end_command` takes.
#[tokio::test]
async fn a_loss_is_told_of_where_the_new_timeline_was_seen_before_the_new_primary() -> Result {
    let (cluster, db, _other) = two(1).await?;
    let (kept, lost) = (Session::new(), Session::new());
    let at = db.of(&kept).write("kept").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let new = cluster.replica(1)?;
    new.upstream_link().ok_or("a link")?.cut().await?;
    db.of(&lost).write("lost").await?;
    cluster.primary().kill9().await?;
    let promotion = new.begin_promotion().await?;
    let since = db.router().now();
    let node = |r: &Router<Plain>| r.topology().nodes().iter().find(|n| &*n.name == new.name()).cloned();
    until(db.router(), "a look at it", |r| node(r).is_some_and(|n| n.sampled_at > Some(since))).await?;
    assert_eq!(node(db.router()).map(|n| n.role), Some(Role::Replica));
    promotion.end().await?;
    followed(db.router()).await?;
    let topology = db.router().topology();
    let has = topology.primary().map_err(Clone::clone)?.applied.clone().ok_or("a position")?;
    assert!(has.covers(&at), "it is known where it came from: {has}");
    only_one_is_told(&db, &lost, &kept).await
}

/// It has not even replayed a transaction since it was started.
#[tokio::test]
async fn a_loss_is_told_of_where_the_new_primary_was_restarted_before_its_promotion() -> Result {
    let (cluster, db, _other) = two(1).await?;
    let (kept, lost) = (Session::new(), Session::new());
    db.of(&kept).write("kept").await?;
    let new = cluster.replica(1)?;
    cluster.primary().admin_sql("CHECKPOINT").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    new.admin_sql("CHECKPOINT").await?;
    new.upstream_link().ok_or("a link")?.cut().await?;
    db.of(&lost).write("lost").await?;
    cluster.primary().kill9().await?;
    new.restart().await?;
    new.promote().await?;
    let replayed = "SELECT (pg_last_xact_replay_timestamp() IS NOT NULL)::text";
    assert_eq!(new.admin_query_text(replayed).await?, "false");
    followed(db.router()).await?;
    only_one_is_told(&db, &lost, &kept).await
}

/// Nobody saw the new primary shortly before its promotion: what it was promoted from nobody knows.
#[tokio::test]
async fn a_loss_is_told_of_where_the_new_primary_had_not_answered_before() -> Result {
    let (cluster, db, other) = two(2).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    cluster.primary().kill9().await?;
    let (second, third) = (cluster.replica(1)?, cluster.replica(2)?);
    second.promote().await?;
    followed(db.router()).await?;
    third.repoint(second).await?;
    let (kept, lost) = (Session::new(), Session::new());
    db.of(&kept).write("kept").await?;
    third.wait_caught_up(second, PATIENCE).await?;

    third.upstream_link().ok_or("a link")?.cut().await?;
    third.link().cut().await?;
    until(db.router(), "it to be missed", |r| {
        r.topology().nodes().iter().any(|n| &*n.name == third.name() && n.failures > 0)
    })
    .await?;
    db.of(&lost).write("lost").await?;
    let token = db.router().token(&lost)?;
    second.kill9().await?;
    third.promote().await?;
    third.link().heal().await?;
    for router in [db.router(), other.router()] {
        leads(router, "replica-2").await?;
    }
    assert!(matches!(other.router().resume(token.as_str()).await, Err(TokenError::LostWrite(_))));
    only_one_is_told(&db, &lost, &kept).await
}

#[tokio::test]
async fn sessions_go_on_over_several_promotions_and_their_tokens_stay_short() -> Result {
    let (cluster, one, other) = two(3).await?;
    cluster.primary().admin_sql("GRANT pg_read_all_stats TO app").await?;
    let session = Session::new();
    let db = one.of(&session);
    db.write("on 1").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    cluster.primary().kill9().await?;
    cluster.replica(1)?.promote().await?;
    followed(one.router()).await?;
    for sibling in [2, 3] {
        cluster.replica(sibling)?.repoint(cluster.replica(1)?).await?;
    }
    db.write("on 2").await?;
    for sibling in [2, 3] {
        cluster.replica(sibling)?.wait_caught_up(cluster.replica(1)?, PATIENCE).await?;
    }
    followed(other.router()).await?;
    let token = one.router().token(&session)?;
    assert!(
        token.as_str().len() < 70,
        "the first timeline follows from the second: {}",
        token.as_str().len()
    );
    let resumed = other.router().resume(token.as_str()).await?;
    for text in ["on 1", "on 2"] {
        assert!(other.of(&resumed).sees(text).await?, "{text}");
    }
    Ok(())
}
