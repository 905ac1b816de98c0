//! Through diesel-async.

use diesel::sql_query;
use diesel::sql_types::Text;
use diesel_async::{AsyncConnection, RunQueryDsl};
use rr_diesel::RoutedPool;

use super::*;

#[tokio::test]
async fn a_statement_has_one_span_and_tells_no_value() -> Result {
    let recorder = recorder();
    let (_cluster, config) = boot("async").await?;
    let pool = RoutedPool::start(config).await?;
    let conn = &mut pool.get().await?;
    let read = || note::table.filter(note::text.eq(VALUE)).count();
    until("the replica to serve", async || {
        read().get_result::<i64>(&mut pool.get().await?).await?;
        let [span] = recorder.ended("async-").await?;
        Ok(span["rr.node"] == "async-replica")
    })
    .await?;

    read().get_result::<i64>(conn).await?;
    let [span] = recorder.ended("async-").await?;
    check(&span, "async-replica", is("SELECT", "read", ""));

    let insert = || diesel::insert_into(note::table).values(note::text.eq(VALUE));
    insert().execute(conn).await?;
    let [span] = recorder.ended("async-").await?;
    check(&span, "async-primary", is("INSERT", "write", ""));

    conn.transaction(async |conn| {
        read().get_result::<i64>(conn).await?;
        diesel::update(note::table).set(note::text.eq(VALUE)).execute(conn).await
    })
    .await?;
    let [span] = recorder.ended("async-").await?;
    check(&span, "async-primary", is("BEGIN", "write", ""));

    insert().execute(conn).await.unwrap_err();
    let [span] = recorder.ended("async-").await?;
    check(&span, "async-primary", is("INSERT", "write", "unique_violation"));

    let failing = sql_query(FAILING).bind::<Text, _>(VALUE).get_results::<Number>(conn).await;
    assert!(failing.is_err_and(|error| error.to_string().contains(VALUE)));
    // Diesel does not tell what it was: as it may be lag, the primary is asked as well.
    let [first, second] = recorder.ended("async-").await?;
    check(&first, "async-replica", is("SELECT", "read", "database_error"));
    check(&second, "async-primary", is("SELECT", "read", "database_error"));

    pool.router().shutdown().await;
    assert_eq!(recorder.take("async-"), [], "nothing else was a statement");
    no_secrets();
    Ok(())
}
