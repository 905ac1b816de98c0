//! Rows that were delivered are not delivered again.

use std::sync::{Arc, Mutex};

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
pub(crate) fn counting(begun: &Arc<Mutex<usize>>) -> impl FnMut(InstrumentationEvent<'_>) + Send + 'static {
    let begun = Arc::clone(begun);
    move |event| {
        if matches!(event, InstrumentationEvent::StartQuery { .. }) {
            *begun.lock().unwrap() += 1;
        }
    }
}

/// What was delivered are the first rows, each once, and then an error, and nothing after it.
pub(crate) fn check(mut items: Vec<QueryResult<Id>>, begun: &Arc<Mutex<usize>>) {
    let error = items.pop().map(|last| last.unwrap_err().to_string());
    assert!(error.is_some_and(|error| error.contains("connection")));
    let ids: Vec<i32> = items.into_iter().map(|row| row.unwrap().id).collect();
    assert!(ids == [1, 2] || ids == [1, 2, 3], "{ids:?}");
    assert_eq!(*begun.lock().unwrap(), 1, "it ran once");
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
    check(items, &begun);
    until("the standby to serve", async || Ok(place(&mut conn).await?.standby)).await
}
