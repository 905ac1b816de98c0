//! A session that goes on in another process.

use rr_core::position::{Lsn, PgPosition};
use rr_core::time::Wall;
use rr_core::token::{Claims, KeyRing};
use rr_core::{Token, TokenError};

use super::*;
use rr_tests::cluster::Boundary;

#[tokio::test]
async fn a_write_is_seen_by_another_process_that_has_the_token() -> Result {
    let (cluster, one, other) = two(1).await?;
    cluster.replica(1)?.pause_replay().await?;
    let session = Session::new();
    one.of(&session).write("handed over").await?;
    let token = one.router().token(&session)?;
    assert!(!other.of(&Session::new()).sees("handed over").await?, "without the token nothing asks for it");
    let resumed = other.router().resume(token.as_str()).await?;
    let (seen, node, reason) = other.of(&resumed).find("handed over").await?;
    assert_eq!((seen, &*node, reason), (true, "primary", RouteReason::ReplicasBehind));

    cluster.replica(1)?.resume_replay().await?;
    let needs = other.router().requirement(Some(&resumed), None);
    let route = other.router().route_within(&Request::read(needs), PATIENCE).await?;
    assert_eq!(&**route.name(), "replica-1");
    assert_ne!(run(route, "SELECT count(*)::text FROM note WHERE text = 'handed over'").await?, "0");

    // Resumed here and written there: joining the two loses neither.
    let more = other.router().resume(other.router().token(&resumed)?.as_str()).await?;
    assert_eq!(more.last_write(), session.last_write());
    Ok(())
}

#[tokio::test]
async fn two_hundred_writes_handed_over_are_seen_each_time() -> Result {
    let (_cluster, one, other) = two(2).await?;
    for n in 0..200 {
        let (session, text) = (Session::new(), format!("note {n}"));
        one.of(&session).write(&text).await?;
        let resumed = other.router().resume(one.router().token(&session)?.as_str()).await?;
        assert!(other.of(&resumed).sees(&text).await?, "{text} was not seen");
    }
    Ok(())
}

#[tokio::test]
async fn a_write_of_unknown_position_is_seen_as_well() -> Result {
    let (cluster, one, other) = two(1).await?;
    cluster.replica(1)?.pause_replay().await?;
    let session = Session::new();
    one.of(&session).write_unplaced("somewhere").await?;
    let token = one.router().token(&session)?;
    let resumed = other.router().resume(token.as_str()).await?;
    assert!(other.of(&resumed).sees("somewhere").await?);

    // An export asks the primary first, and then names the position.
    let session = Session::new();
    one.of(&session).write_unplaced("exactly").await?;
    let export = one.router().export(&session, PATIENCE).await?;
    assert!(export.exact && session.unplaced_since().is_none());
    let resumed = other.router().resume(export.token.as_str()).await?;
    assert!(resumed.unplaced_since().is_none());
    assert!(other.of(&resumed).sees("exactly").await?);
    Ok(())
}

#[tokio::test]
async fn an_export_that_cannot_ask_the_primary_says_so_and_loses_nothing() -> Result {
    let (cluster, one, other) = two(1).await?;
    let session = Session::new();
    cluster.replica(1)?.pause_replay().await?;
    one.of(&session).write_unplaced("unsampled").await?;
    // The write is newer than any sample, and there will be none.
    cluster.primary().sigstop(rr_tests::cluster::Part::Everything)?;
    session.wrote_unplaced(one.router().now());
    let export = one.router().export(&session, Duration::from_millis(20)).await?;
    assert!(!export.exact);
    cluster.primary().sigcont(rr_tests::cluster::Part::Everything)?;
    let resumed = other.router().resume(export.token.as_str()).await?;
    assert!(resumed.unplaced_since().is_some());
    until(other.router(), "the primary to answer again", |r| r.health().writes).await?;
    assert!(other.of(&resumed).sees("unsampled").await?);
    Ok(())
}

#[tokio::test]
async fn what_is_no_token_of_ours_is_refused_at_once() -> Result {
    let (cluster, one, _) = two(1).await?;
    let mut patient = keyed(&cluster);
    patient.causal_wait = PATIENCE;
    let router = Handle::over(patient).await?.router().clone();
    let session = Session::new();
    one.of(&session).write("note").await?;
    let token = one.router().token(&session)?;
    assert!(router.resume(token.as_str()).await.is_ok());

    let system = router.topology().system().ok_or("a system")?;
    let now = Wall::now();
    let hour = Duration::from_secs(3600);
    let ours = KeyRing::new(&router.config().session.keys);
    let theirs = KeyRing::new(&[Secret::new("another key, of thirty-two characters")]);
    let claims = |system, text: &str| -> Result<Claims> {
        let mut claims = Claims::new(system, now, hour);
        claims.wrote = Some(text.parse::<PgPosition>()?.into());
        Ok(claims)
    };
    let mut old = claims(system, "1:0/10")?;
    old.issued_at = Wall::from_seconds(now.seconds() - 7200);
    let mut forged = token.as_str().to_owned();
    forged.replace_range(20..21, if &forged[20..21] == "A" { "B" } else { "A" });
    let refused = [
        (Token::new(forged), "forged"),
        (Token::new(&token.as_str()[..40]), "forged"),
        (Token::new("A".repeat(1 << 20)), "too_long"),
        (Token::new("not a token"), "malformed"),
        (Token::new(""), "malformed"),
        (theirs.sign(&claims(system, "1:0/10")?)?, "unknown_key"),
        (ours.sign(&claims(system ^ 1, "1:0/10")?)?, "foreign_cluster"),
        (ours.sign(&old)?, "expired"),
        // The primary will never be there, and on this timeline nobody is.
        (ours.sign(&claims(system, "1:FFFF/0")?)?, "future"),
        (ours.sign(&claims(system, "9:0/10")?)?, "future"),
    ];
    for (token, kind) in refused {
        let error = router.resume(token.as_str()).await.expect_err(kind);
        assert_eq!(error.kind(), kind, "{error}");
    }
    assert_eq!(router.counted(Step::Waited), 0, "no read has waited for any of them");
    let counted = |kind| router.token_outcomes().find(|(name, _)| *name == kind).map(|(_, count)| count);
    assert_eq!(["resumed", "forged", "future"].map(counted), [Some(1), Some(2), Some(2)]);
    let unkeyed = start(config(&cluster)).await?;
    assert_eq!(unkeyed.resume(token.as_str()).await.err(), Some(TokenError::NoKeys));
    assert_eq!(unkeyed.token(&session).err(), Some(TokenError::NoKeys));
    Ok(())
}

#[tokio::test]
async fn a_token_of_another_cluster_is_refused_although_the_key_is_the_same() -> Result {
    let (_cluster, one, _) = two(1).await?;
    let other = Cluster::builder().replicas(1).own_identity().start().await?;
    prepare(&other).await?;
    let other = Handle::over(keyed(&other)).await?;
    let session = Session::new();
    one.of(&session).write("note").await?;
    let token = one.router().token(&session)?;
    assert_eq!(other.router().resume(token.as_str()).await.err(), Some(TokenError::ForeignCluster));
    Ok(())
}

#[tokio::test]
async fn keys_are_replaced_without_refusing_anybody() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let keys = ["the old key, which has been in use so far", "the new key, which is to take over now"];
    let with = |order: &[usize]| {
        let mut config = config(&cluster);
        config.session.keys = order.iter().map(|index| Secret::new(keys[*index])).collect();
        Handle::over(config)
    };
    // Each step of a rollout, where both its halves are running.
    let steps = [[&[0][..], &[0, 1]], [&[0, 1], &[1, 0]], [&[1, 0], &[1]]];
    for [before, after] in steps {
        let (before, after) = (with(before).await?, with(after).await?);
        let session = Session::new();
        before.of(&session).write("note").await?;
        for (from, to) in [(&before, &after), (&after, &before)] {
            let token = from.router().token(&session)?;
            let resumed = to.router().resume(token.as_str()).await;
            // In the last step tokens of the old key have expired, and nobody makes new ones.
            assert_eq!(resumed?.last_write(), session.last_write());
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_commit_at_a_page_boundary_stalls_no_reader_of_its_token() -> Result {
    let (cluster, one, other) = two(1).await?;
    for boundary in [Boundary::Page, Boundary::Segment] {
        let sql = "INSERT INTO note (text) VALUES ('boundary')";
        let raw = cluster.primary().commit_at_boundary(sql, boundary).await?;
        let at = PgPosition::new(rr_core::position::Timeline::FIRST, Lsn::from_u64(raw).normalised(16 << 20));
        let session = Session::new();
        session.wrote(&at.into());
        let resumed = other.router().resume(one.router().token(&session)?.as_str()).await?;
        let needs = other.router().requirement(Some(&resumed), None);
        let route = other.router().route_within(&Request::read(needs), PATIENCE).await?;
        assert_eq!(&**route.name(), "replica-1", "{boundary:?}");
    }
    assert_eq!(other.router().counted(Step::GaveUp), 0);
    Ok(())
}
