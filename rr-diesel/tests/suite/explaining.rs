//! Explanations: where a query would go, and why, without running it.

use diesel::prelude::*;
use diesel::sql_query;
use diesel_async::AsyncConnection;
use rr_core::RouteReason;
use rr_diesel::RouteHints;

use crate::support::{Result, boot, note, pool};

#[tokio::test]
async fn a_query_is_explained_and_not_run() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    let conn = &mut pool.get().await?;
    let read = conn.explain_route(&note::table.select(note::id))?;
    assert_eq!(read.outcome.as_ref().ok(), Some(&RouteReason::Replica), "{read}");
    assert!(read.to_string().contains("SELECT: nothing in it is known to write"), "{read}");
    let insert = conn.explain_route(&diesel::insert_into(note::table).values(note::text.eq("x")))?;
    assert_eq!(insert.outcome.as_ref().ok(), Some(&RouteReason::Write), "{insert}");
    let hinted = conn.explain_route(&note::table.select(note::id).use_primary())?;
    assert_eq!(hinted.outcome.as_ref().ok(), Some(&RouteReason::PrimaryRequired), "{hinted}");
    let drawn = conn.explain_route(&sql_query("SELECT nextval('note_id_seq')"))?;
    assert!(drawn.to_string().contains("`nextval` at byte 7 decides"), "{drawn}");
    assert_eq!(cluster.primary().query_text("SELECT count(*)::text FROM note").await?, "0");
    assert_eq!(cluster.primary().query_text("SELECT is_called::text FROM note_id_seq").await?, "false");
    assert_eq!(conn.router().routed("primary", RouteReason::Write), 0, "nothing was routed");
    conn.transaction(async |conn| {
        let kept = conn.explain_route(&note::table.select(note::id))?;
        assert!(
            kept.kept.is_some() && kept.to_string().contains("whose connection the handle keeps"),
            "{kept}"
        );
        QueryResult::Ok(())
    })
    .await?;
    Ok(())
}
