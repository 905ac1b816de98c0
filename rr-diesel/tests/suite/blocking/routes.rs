//! Where transactions, sessions and misjudged statements go, as the server tells it. `kinds.rs` has the statements.

use diesel::connection::SimpleConnection;
use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;
use rr_core::Connector as _;

use super::{RoutedConnection, RoutedPool, place, pool, standby_says};
use crate::support::{PATIENCE, PLACE, Place, Result, boot, note, patient, until};

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_spread_over_the_replicas() -> Result {
    let cluster = boot(2).await?;
    let pool = pool(&cluster)?;
    // Reads that overlap: one after the other, the faster replica may get all of them.
    let read = || sql_query(format!("{PLACE}, pg_sleep(0.05)")).get_result::<Place>(&mut pool.handle());
    let places = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(read)).collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| "panicked")).collect::<Vec<_>>()
    });
    let mut ports = std::collections::BTreeSet::new();
    for place in places {
        let place = place??;
        assert!(place.standby);
        ports.insert(place.port);
    }
    assert_eq!(ports.len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misrouted_write_reaches_the_primary_once_and_is_learned() -> Result {
    let cluster = boot(1).await?;
    cluster
        .primary()
        .sql(
            "CREATE TABLE tally (n int); CREATE FUNCTION touch() RETURNS bool LANGUAGE sql VOLATILE AS \
             $$ INSERT INTO tally VALUES (1); SELECT on_standby() $$",
        )
        .await?;
    cluster.wait_caught_up(PATIENCE).await?;
    for by_rows in [false, true] {
        // A statement is learned by the router that met it.
        let pool = pool(&cluster)?;
        let conn = &mut pool.handle();
        let refused = || {
            let log = cluster.replicas()[0].log_tail();
            log.matches("cannot execute INSERT in a read-only transaction").count()
        };
        let before = refused();
        cluster.primary().sql("TRUNCATE tally").await?;
        for round in 1..=3 {
            let touch = sql_query("SELECT touch() AS standby, on_port() AS port");
            let place: Place = match by_rows {
                false => touch.get_result(conn)?,
                true => {
                    let mut rows = touch.load_iter::<Place, PgRowByRowLoadingMode>(conn)?;
                    rows.next().ok_or("a row")??
                }
            };
            assert!(!place.standby);
            let tally = cluster.primary().query_text("SELECT count(*)::text FROM tally").await?;
            assert_eq!(tally, round.to_string());
            assert_eq!(refused() - before, 1, "the replica is asked once and never again");
            assert_eq!(pool.router().connector().misroutes(), Some(1));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn session_state_keeps_the_handle_on_one_connection() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    let conn = &mut pool.handle();
    assert!(place(conn)?.standby);
    sql_query("SET application_name = 'kept'").execute(conn)?;
    let name = "SELECT (current_setting('application_name') = 'kept') AS standby";
    assert!(standby_says(conn, name)?, "the setting is there");
    assert!(!place(conn)?.standby, "and so is the primary");
    assert!(!standby_says(&mut pool.handle(), name)?, "but for nobody else");
    conn.batch_execute("CREATE TEMP TABLE mine (n int)")?;
    sql_query("INSERT INTO mine VALUES (1)").execute(conn)?;
    assert!(standby_says(conn, "SELECT count(*) = 1 AS standby FROM mine")?);
    conn.reset_session();
    until("reads to return", async || Ok(place(conn)?.standby)).await?;
    for _ in 0..5 {
        let other = &mut pool.handle();
        assert!(!standby_says(other.use_primary(), name)?, "the altered session is not handed on");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_stays_on_the_primary_and_its_handle_returns_to_replicas() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    let conn = &mut pool.handle();
    let inside = conn.transaction::<_, Error, _>(|conn| {
        let before = place(conn)?;
        diesel::insert_into(note::table).values(note::text.eq("a")).execute(conn)?;
        let nested = conn.transaction::<(), Error, _>(|conn| {
            diesel::insert_into(note::table).values(note::text.eq("b")).execute(conn)?;
            Err(Error::RollbackTransaction)
        });
        assert_eq!(nested, Err(Error::RollbackTransaction));
        assert_eq!(note::table.count().get_result::<i64>(conn)?, 1);
        Ok(before)
    })?;
    assert!(!inside.standby);
    assert_eq!(note::table.count().get_result::<i64>(conn)?, 1);
    until("reads to return to the standby", async || Ok(place(conn)?.standby)).await?;
    let failed = conn.transaction::<(), Error, _>(|conn| {
        diesel::insert_into(note::table).values(note::text.eq("c")).execute(conn)?;
        sql_query("SELECT 1 / 0").execute(conn)?;
        Ok(())
    });
    assert!(failed.is_err());
    assert_eq!(note::table.count().get_result::<i64>(conn)?, 1);
    assert_eq!(pool.router().in_flight("primary"), Some(0), "its connection went back");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn test_transactions_leave_nothing() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    let conn = &mut pool.handle();
    conn.begin_test_transaction()?;
    diesel::insert_into(note::table).values(note::text.eq("a")).execute(conn)?;
    assert_eq!(note::table.count().get_result::<i64>(conn)?, 1);
    assert!(!place(conn)?.standby);
    let conn = &mut pool.handle();
    conn.test_transaction::<_, Error, _>(|conn| {
        diesel::insert_into(note::table).values(note::text.eq("b")).execute(conn)?;
        note::table.count().get_result::<i64>(conn)
    });
    assert_eq!(note::table.count().get_result::<i64>(&mut pool.handle())?, 0);
    let mut dropped = pool.handle();
    dropped.begin_test_transaction()?;
    diesel::insert_into(note::table).values(note::text.eq("c")).execute(&mut dropped)?;
    drop(dropped);
    diesel::insert_into(note::table).values(note::text.eq("d")).execute(&mut pool.handle())?;
    let outside = cluster.primary().query_text("SELECT string_agg(text, '') FROM note").await?;
    assert_eq!(outside, "d", "nobody writes in a transaction that somebody else has left open");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_transactions_use_replicas_unless_serializable() -> Result {
    let cluster = boot(1).await?;
    let pool = RoutedPool::start(patient(&cluster).build()?)?;
    let conn = &mut pool.handle();
    assert!(conn.build_transaction().read_only().run::<_, Error, _>(place)?.standby);
    let repeatable = conn.build_transaction().read_only().repeatable_read().deferrable().run(place);
    assert!(repeatable?.standby);
    assert!(!conn.build_transaction().read_only().serializable().run::<_, Error, _>(place)?.standby);
    assert!(!conn.build_transaction().read_write().run::<_, Error, _>(place)?.standby);
    let refused = conn.build_transaction().read_only().run::<_, Error, _>(|conn| {
        diesel::insert_into(note::table).values(note::text.eq("no")).execute(conn)
    });
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("read-only transaction"), "{text}");
    assert!(place(conn)?.standby, "the handle works on");
    Ok(())
}

diesel::define_sql_function! { fn pg_try_advisory_xact_lock(key: diesel::sql_types::BigInt) -> diesel::sql_types::Bool; }

/// A replica would hand it out, and it would keep out nobody who asks the primary for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_transaction_asks_no_replica_for_a_lock() -> Result {
    let cluster = boot(1).await?;
    let pool = RoutedPool::start(patient(&cluster).build()?)?;
    let conn = &mut pool.handle();
    let asks: [fn(&mut RoutedConnection) -> QueryResult<()>; 3] = [
        |conn| conn.batch_execute("SELECT pg_advisory_xact_lock(7)"),
        |conn| sql_query("SELECT pg_advisory_xact_lock(7)").execute(conn).map(drop),
        |conn| diesel::select(pg_try_advisory_xact_lock(7)).get_result::<bool>(conn).map(drop),
    ];
    for ask in asks {
        // What is known of a statement that was met before is not read again.
        for _ in 0..3 {
            let refused = conn.build_transaction().read_only().run::<_, Error, _>(ask);
            let text = refused.unwrap_err().to_string();
            assert!(text.contains("an advisory lock on a replica"), "{text}");
            assert!(place(conn)?.standby, "the handle works on");
        }
        conn.use_primary().build_transaction().read_only().run::<_, Error, _>(ask)?;
    }
    // A write says what it always said.
    let write =
        |conn: &mut RoutedConnection| conn.batch_execute("DELETE FROM note WHERE text = 'target_lock'");
    let text = conn.build_transaction().read_only().run::<_, Error, _>(write).unwrap_err().to_string();
    assert!(text.contains("read-only transaction"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_read_off_the_connection_that_serves_them() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    let conn = &mut pool.handle();
    let many = "SELECT on_standby() AS standby, n AS port FROM generate_series(1, 1000) n";
    for _ in 0..30 {
        // More often than there are connections: given up early, each is given back when the handle is used again.
        let mut rows = sql_query(many).load_iter::<Place, PgRowByRowLoadingMode>(conn)?;
        assert_eq!(rows.next().transpose()?, Some(Place { standby: true, port: 1 }));
        assert_eq!(rows.next().transpose()?, Some(Place { standby: true, port: 2 }));
    }
    let all = sql_query(many).load_iter::<Place, PgRowByRowLoadingMode>(conn)?;
    assert_eq!(all.collect::<QueryResult<Vec<_>>>()?.len(), 1000);
    let fails = "SELECT on_standby() AS standby, 1 / (3 - n) AS port FROM generate_series(1, 3) n";
    let rows = sql_query(fails).load_iter::<Place, PgRowByRowLoadingMode>(conn)?;
    let rows: Vec<_> = rows.map(|row| row.is_ok()).collect();
    assert_eq!(rows, [true, true, false]);
    conn.transaction::<_, Error, _>(|conn| {
        let rows = sql_query(PLACE).load_iter::<Place, PgRowByRowLoadingMode>(conn)?;
        assert!(rows.map(|row| row.map(|place| !place.standby)).all(|there| there == Ok(true)));
        Ok(())
    })?;
    assert!(place(conn)?.standby);
    assert_eq!(pool.router().in_flight("replica-1"), Some(0));
    Ok(())
}
