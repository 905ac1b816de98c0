//! Through Diesel's own connections.

use diesel::PgConnection;
use diesel::sql_query;
use diesel::sql_types::Text;
use rr_diesel::blocking::RoutedPool;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_has_one_span_and_tells_no_value() -> Result {
    let recorder = recorder();
    let (_cluster, config) = boot("blocking").await?;
    let pool = RoutedPool::<PgConnection>::start(config)?;
    let conn = &mut pool.handle();
    let read = || note::table.filter(note::text.eq(VALUE)).count();
    until("the replica to serve", async || {
        read().get_result::<i64>(&mut pool.handle())?;
        let [span] = recorder.ended("blocking-").await?;
        Ok(span["rr.node"] == "blocking-replica")
    })
    .await?;

    read().get_result::<i64>(conn)?;
    let [span] = recorder.ended("blocking-").await?;
    check(&span, "blocking-replica", is("SELECT", "read", ""));

    let insert = || diesel::insert_into(note::table).values(note::text.eq(VALUE));
    insert().execute(conn)?;
    let [span] = recorder.ended("blocking-").await?;
    check(&span, "blocking-primary", is("INSERT", "write", ""));

    conn.transaction(|conn| {
        read().get_result::<i64>(conn)?;
        diesel::update(note::table).set(note::text.eq(VALUE)).execute(conn)
    })?;
    let [span] = recorder.ended("blocking-").await?;
    check(&span, "blocking-primary", is("BEGIN", "write", ""));

    insert().execute(conn).unwrap_err();
    let [span] = recorder.ended("blocking-").await?;
    check(&span, "blocking-primary", is("INSERT", "write", "unique_violation"));

    let failing = sql_query(FAILING).bind::<Text, _>(VALUE).get_results::<Number>(conn);
    assert!(failing.is_err_and(|error| error.to_string().contains(VALUE)));
    // Diesel does not tell what it was: as it may be lag, the primary is asked as well.
    let [first, second] = recorder.ended("blocking-").await?;
    check(&first, "blocking-replica", is("SELECT", "read", "database_error"));
    check(&second, "blocking-primary", is("SELECT", "read", "database_error"));

    pool.shutdown();
    assert_eq!(recorder.take("blocking-"), [], "nothing else was a statement");
    no_secrets();
    Ok(())
}
