//! Explanations: where a query would go, and why, without running it.

use diesel::prelude::*;
use diesel::sql_query;
use rr_core::RouteReason;
use rr_diesel::RouteHints;

use super::{place, pool};
use crate::support::{Result, boot, note, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_explained_and_not_run() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    let conn = &mut pool.handle();
    until("the replica to serve", async || Ok(place(&mut pool.handle())?.standby)).await?;
    let before = RouteReason::ALL.map(|reason| pool.router().routed("replica-1", reason));
    let read = || note::table.select(note::id);
    let explained = conn.explain_route(&read())?;
    assert_eq!(explained.outcome.as_ref().ok(), Some(&RouteReason::Replica), "{explained}");
    assert!(explained.to_string().contains("SELECT: nothing in it is known to write"), "{explained}");
    let insert = conn.explain_route(&diesel::insert_into(note::table).values(note::text.eq("x")))?;
    assert_eq!(insert.outcome.as_ref().ok(), Some(&RouteReason::Write), "{insert}");
    let hinted = conn.explain_route(&read().use_primary())?;
    assert_eq!(hinted.outcome.as_ref().ok(), Some(&RouteReason::PrimaryRequired), "{hinted}");
    let drawn = conn.explain_route(&sql_query("SELECT nextval('note_id_seq')"))?;
    assert!(drawn.to_string().contains("`nextval` at byte 7 decides"), "{drawn}");

    // What was asked for the next statement stays for it.
    conn.use_primary();
    for _ in 0..2 {
        let once = conn.explain_route(&read())?;
        assert_eq!(once.outcome.as_ref().ok(), Some(&RouteReason::PrimaryRequired), "{once}");
    }
    assert!(!place(conn)?.standby);
    let standing = conn.on_primary();
    let explained = standing.explain_route(&read())?;
    assert_eq!(explained.outcome.as_ref().ok(), Some(&RouteReason::PrimaryRequired), "{explained}");
    drop(standing);

    assert_eq!(cluster.primary().query_text("SELECT count(*)::text FROM note").await?, "0");
    assert_eq!(cluster.primary().query_text("SELECT is_called::text FROM note_id_seq").await?, "false");
    assert_eq!(pool.router().routed("primary", RouteReason::Write), 0, "nothing was written");
    let after = RouteReason::ALL.map(|reason| pool.router().routed("replica-1", reason));
    assert_eq!(after, before, "nothing was read on the replica");
    conn.transaction(|conn| {
        let kept = conn.explain_route(&read())?;
        let told = kept.to_string();
        assert!(kept.kept.is_some() && told.contains("whose connection the handle keeps"), "{told}");
        QueryResult::Ok(())
    })?;
    Ok(())
}
