//! Rows that were delivered are not delivered again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::connection::InstrumentationEvent;
use diesel::prelude::*;
use diesel::sql_query;
use diesel_async::{AsyncConnection, RunQueryDsl};
use futures_util::StreamExt;

use crate::support::{Result, boot, place, pool, until};

/// Eight rows so large that each of the first ones is sent at once. A standby stops before the fourth, the primary would not.
pub(crate) const ROWS: &str = "SELECT id, CASE WHEN id = 4 AND on_standby() THEN pg_sleep(600) END, \
    repeat('x', 20000) AS filler FROM generate_series(1, 8) AS id";

#[derive(Debug, QueryableByName)]
pub(crate) struct Id {
    #[diesel(sql_type = diesel::sql_types::Integer)]
    pub(crate) id: i32,
}

/// Counts the statements that begin.
pub(crate) fn counting(begun: &Arc<AtomicUsize>) -> impl FnMut(InstrumentationEvent<'_>) + Send + 'static {
    let begun = Arc::clone(begun);
    move |event| {
        if matches!(event, InstrumentationEvent::StartQuery { .. }) {
            begun.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What was delivered are the first rows, each once, and then an error, and nothing after it.
pub(crate) fn check(mut items: Vec<QueryResult<Id>>, begun: &AtomicUsize) -> Result {
    let Some(Err(error)) = items.pop() else { return Err("all rows, or none".into()) };
    assert!(error.to_string().contains("connection"), "{error}");
    let rows: Vec<Id> = items.into_iter().collect::<QueryResult<_>>()?;
    let ids: Vec<i32> = rows.iter().map(|row| row.id).collect();
    assert!(ids == [1, 2] || ids == [1, 2, 3], "{ids:?}");
    // In full: Diesel gives every type a `load`.
    assert_eq!(AtomicUsize::load(begun, Ordering::Relaxed), 1, "it ran once");
    Ok(())
}

#[tokio::test]
async fn a_stream_that_is_cut_off_after_its_first_rows_is_not_run_again() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    let begun = Arc::default();
    let mut conn = pool.handle();
    conn.set_instrumentation(counting(&begun));
    let mut rows = sql_query(ROWS).load_stream::<Id>(&mut conn).await?;
    let mut items = Vec::new();
    for _ in 0..2 {
        items.push(rows.next().await.ok_or("a row")?);
    }
    cluster.replica(1)?.kill_client_connections().await?;
    items.extend(rows.by_ref().collect::<Vec<_>>().await);
    drop(rows);
    check(items, &begun)?;
    until("the standby to serve", async || Ok(place(&mut conn).await?.standby)).await
}
