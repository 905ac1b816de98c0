//! Where transactions, sessions and misjudged statements go, as the server tells it. `kinds.rs` has the statements.

use diesel::prelude::*;
use diesel::sql_query;
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use rr_core::Connector as _;
use rr_diesel::RoutedPool;

use crate::support::{Result, boot, note, patient, place, pool, standby_says};

#[tokio::test]
async fn a_misrouted_write_reaches_the_primary_once_and_is_learned() -> Result {
    let cluster = boot(1).await?;
    cluster
        .primary()
        .sql(
            "CREATE TABLE tally (n int); CREATE FUNCTION touch() RETURNS bool LANGUAGE sql VOLATILE AS \
             $$ INSERT INTO tally VALUES (1); SELECT on_standby() $$",
        )
        .await?;
    cluster.wait_caught_up(crate::support::PATIENCE).await?;
    let pool = pool(&cluster).await?;
    let conn = &mut pool.get().await?;
    let replica = cluster.replica(1)?;
    let refused = async || -> Result<usize> {
        Ok(replica.log_tail().matches("cannot execute INSERT in a read-only transaction").count())
    };
    for round in 1..=3 {
        assert!(!standby_says(conn, "SELECT touch() AS standby").await?);
        assert_eq!(
            cluster.primary().query_text("SELECT count(*)::text FROM tally").await?,
            round.to_string()
        );
        assert_eq!(refused().await?, 1, "the replica is asked once and never again");
        assert_eq!(pool.router().connector().misroutes(), Some(1));
    }
    Ok(())
}

#[tokio::test]
async fn the_query_builder_is_routed_and_its_writes_are_read() -> Result {
    let cluster = boot(2).await?;
    let pool = pool(&cluster).await?;
    let conn = &mut pool.get().await?;
    for round in 0..20 {
        let text = format!("round {round}");
        let id: i32 = diesel::insert_into(note::table)
            .values(note::text.eq(&text))
            .returning(note::id)
            .get_result(conn)
            .await?;
        let read: String = note::table.find(id).select(note::text).first(&mut pool.get().await?).await?;
        assert_eq!(read, text);
        let changed = diesel::update(note::table.find(id)).set(note::stars.eq(round)).execute(conn).await?;
        assert_eq!(changed, 1);
        let stars: i32 = note::table.find(id).select(note::stars).get_result(&mut pool.get().await?).await?;
        assert_eq!(stars, round);
    }
    let all: Vec<(i32, String, i32)> = note::table.order(note::id).load(conn).await?;
    assert_eq!(all.len(), 20);
    Ok(())
}

#[tokio::test]
async fn session_state_keeps_the_handle_on_one_connection() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    let conn = &mut pool.get().await?;
    assert!(place(conn).await?.standby);
    sql_query("SET application_name = 'kept'").execute(conn).await?;
    let name = "SELECT (current_setting('application_name') = 'kept') AS standby";
    assert!(standby_says(conn, name).await?, "the setting is there");
    assert!(!place(conn).await?.standby, "and so is the primary");
    assert!(!standby_says(&mut pool.get().await?, name).await?, "but for nobody else");
    conn.batch_execute("CREATE TEMP TABLE mine (n int)").await?;
    sql_query("INSERT INTO mine VALUES (1)").execute(conn).await?;
    assert!(standby_says(conn, "SELECT count(*) = 1 AS standby FROM mine").await?);
    conn.reset_session();
    crate::support::until("reads to return", async || Ok(place(conn).await?.standby)).await?;
    for _ in 0..5 {
        let other = &mut pool.get().await?;
        assert!(!standby_says(other.use_primary(), name).await?, "the altered session is not handed on");
    }
    Ok(())
}

#[tokio::test]
async fn a_transaction_stays_on_the_primary_and_its_handle_returns_to_replicas() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    let conn = &mut pool.get().await?;
    let inside = conn
        .transaction::<_, diesel::result::Error, _>(async |conn| {
            let before = place(conn).await?;
            diesel::insert_into(note::table).values(note::text.eq("a")).execute(conn).await?;
            let nested = conn
                .transaction::<(), diesel::result::Error, _>(async |conn| {
                    diesel::insert_into(note::table).values(note::text.eq("b")).execute(conn).await?;
                    Err(diesel::result::Error::RollbackTransaction)
                })
                .await;
            assert_eq!(nested, Err(diesel::result::Error::RollbackTransaction));
            assert_eq!(note::table.count().get_result::<i64>(conn).await?, 1);
            Ok(before)
        })
        .await?;
    assert!(!inside.standby);
    assert_eq!(note::table.count().get_result::<i64>(conn).await?, 1);
    cluster.wait_caught_up(crate::support::PATIENCE).await?;
    crate::support::until("reads to return to the standby", async || Ok(place(conn).await?.standby)).await?;
    Ok(())
}

#[tokio::test]
async fn read_only_transactions_use_replicas_unless_serializable() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    let conn = &mut pool.get().await?;
    let body = async |conn: &mut rr_diesel::RoutedPgConnection| place(conn).await;
    assert!(conn.build_transaction().read_only().run::<_, diesel::result::Error, _>(body).await?.standby);
    let body = async |conn: &mut rr_diesel::RoutedPgConnection| place(conn).await;
    let repeatable = conn.build_transaction().read_only().repeatable_read().deferrable();
    let mut repeatable = repeatable;
    assert!(repeatable.run::<_, diesel::result::Error, _>(body).await?.standby);
    let body = async |conn: &mut rr_diesel::RoutedPgConnection| place(conn).await;
    assert!(
        !conn
            .build_transaction()
            .read_only()
            .serializable()
            .run::<_, diesel::result::Error, _>(body)
            .await?
            .standby
    );
    let body = async |conn: &mut rr_diesel::RoutedPgConnection| place(conn).await;
    assert!(!conn.build_transaction().read_write().run::<_, diesel::result::Error, _>(body).await?.standby);
    let write = async |conn: &mut rr_diesel::RoutedPgConnection| {
        diesel::insert_into(note::table).values(note::text.eq("no")).execute(conn).await
    };
    let refused = conn.build_transaction().read_only().run::<_, diesel::result::Error, _>(write).await;
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("read-only transaction"), "{text}");
    // For all that anybody knows, the functions that the primary ran have written.
    crate::support::until("reads to return", async || Ok(place(conn).await?.standby)).await?;
    let set = async |conn: &mut rr_diesel::RoutedPgConnection| {
        sql_query("SET application_name = 'kept'").execute(conn).await?;
        place(conn).await
    };
    assert!(conn.build_transaction().read_only().run::<_, diesel::result::Error, _>(set).await?.standby);
    diesel::insert_into(note::table).values(note::text.eq("yes")).execute(conn).await?;
    crate::support::until("reads to return", async || Ok(place(conn).await?.standby)).await?;
    let name = "SELECT current_setting('application_name') = 'kept' AS standby";
    assert!(!standby_says(conn, name).await?, "what was set went with its connection");
    assert!(place(conn).await?.standby, "the handle works on");
    Ok(())
}

diesel::define_sql_function! { fn pg_try_advisory_xact_lock(key: diesel::sql_types::BigInt) -> diesel::sql_types::Bool; }

/// A replica would hand it out, and it would keep out nobody who asks the primary for it.
#[tokio::test]
async fn a_read_only_transaction_asks_no_replica_for_a_lock() -> Result {
    let cluster = boot(1).await?;
    let pool = RoutedPool::start(patient(&cluster).build()?).await?;
    let conn = &mut pool.get().await?;
    for how in 0..3 {
        let ask = async move |conn: &mut rr_diesel::RoutedPgConnection| {
            let sql = "SELECT pg_advisory_xact_lock(7)";
            match how {
                0 => conn.batch_execute(sql).await,
                1 => sql_query(sql).execute(conn).await.map(drop),
                _ => diesel::select(pg_try_advisory_xact_lock(7)).get_result::<bool>(conn).await.map(drop),
            }
        };
        // What is known of a statement that was met before is not read again.
        for _ in 0..3 {
            let refused = conn.build_transaction().read_only().run::<_, diesel::result::Error, _>(ask).await;
            let said = refused.unwrap_err().to_string();
            assert!(said.contains("an advisory lock on a replica"), "{said}");
            assert!(place(conn).await?.standby, "the handle works on");
        }
        conn.use_primary().build_transaction().read_only().run::<_, diesel::result::Error, _>(ask).await?;
    }
    Ok(())
}
