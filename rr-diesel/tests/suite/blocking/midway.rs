//! Rows that were delivered are not delivered again.

use std::sync::Arc;

use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;
use diesel::sql_query;

use super::{place, pool};
use crate::midway::{Id, ROWS, check, counting};
use crate::support::{Result, boot, until};

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_cut_off_after_the_first_ones_are_not_asked_for_again() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    let begun = Arc::default();
    let mut conn = pool.handle();
    conn.set_instrumentation(counting(&begun));
    let mut rows = sql_query(ROWS).load_iter::<Id, PgRowByRowLoadingMode>(&mut conn)?;
    let mut items = Vec::new();
    for _ in 0..2 {
        items.push(rows.next().ok_or("a row")?);
    }
    cluster.replica(1)?.kill_client_connections().await?;
    items.extend(rows.by_ref());
    drop(rows);
    check(items, &begun)?;
    until("the standby to serve", async || Ok(place(&mut conn)?.standby)).await
}
