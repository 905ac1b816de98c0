//! Nobody reads a state older than what was written through this router.

use diesel::connection::SimpleConnection;
use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;
use rr_core::Session;
use rr_core::config::Unscoped;

use super::{RoutedPool, place, pool};
use crate::support::{Result, boot, config, note, until};

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_write_is_seen_by_the_next_read_on_another_handle() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    let replica = cluster.replica(1)?;
    let conn = &mut pool.handle();
    assert!(place(conn)?.standby);
    replica.pause_replay().await?;
    let mut expected = 0;
    let mut one_more = || -> Result {
        assert_eq!(note::table.count().get_result::<i64>(&mut pool.handle())?, expected);
        expected += 1;
        Ok(())
    };
    let text = |text: &'static str| diesel::insert_into(note::table).values(note::text.eq(text));
    one_more()?;
    text("execute").execute(conn)?;
    one_more()?;
    let _: i32 = text("load").returning(note::id).get_result(conn)?;
    one_more()?;
    let rows = text("row by row").returning(note::id).load_iter::<i32, PgRowByRowLoadingMode>(conn)?;
    assert_eq!(rows.count(), 1);
    one_more()?;
    conn.batch_execute("INSERT INTO note (text) VALUES ('batch')")?;
    one_more()?;
    conn.transaction::<_, Error, _>(|conn| text("transaction").execute(conn))?;
    one_more()?;
    conn.build_transaction().serializable().run::<_, Error, _>(|conn| text("built").execute(conn))?;
    one_more()?;
    #[derive(Insertable)]
    #[diesel(table_name = note, treat_none_as_default_value = false)]
    struct New {
        text: &'static str,
        stars: i32,
    }
    assert_eq!(
        diesel::copy_from(note::table).from_insertable(vec![New { text: "copy", stars: 2 }]).execute(conn)?,
        1
    );
    one_more()?;
    conn.transaction::<_, Error, _>(|conn| {
        diesel::copy_from(note::table).from_insertable(vec![New { text: "both", stars: 3 }]).execute(conn)
    })?;
    one_more()?;
    sql_query("SET application_name = 'kept'").execute(conn)?;
    sql_query("INSERT INTO note (text) VALUES ('kept')").execute(conn)?;
    one_more()?;
    let rows = text("kept rows").returning(note::id).load_iter::<i32, PgRowByRowLoadingMode>(conn)?;
    assert_eq!(rows.count(), 1);
    one_more()?;
    sql_query("BEGIN").execute(conn)?;
    sql_query("INSERT INTO note (text) VALUES ('by hand')").execute(conn)?;
    sql_query("COMMIT").execute(conn)?;
    one_more()?;
    text("plain").execute(conn.primary()?)?;
    conn.reset_session();
    one_more()?;
    replica.resume_replay().await?;
    until("reads to return", async || Ok(place(&mut pool.handle())?.standby)).await?;
    assert_eq!(note::table.count().get_result::<i64>(&mut pool.handle())?, 12);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explicit_session_sees_its_own_writes_and_others_need_not() -> Result {
    let cluster = boot(1).await?;
    let config = config(&cluster).with(|config| config.unscoped = Unscoped::Eventual).build()?;
    let pool = RoutedPool::start(config)?;
    cluster.replica(1)?.pause_replay().await?;
    let (mine, other) = (Session::new(), Session::new());
    let mut writer = pool.handle().with_session(&mine);
    diesel::insert_into(note::table).values(note::text.eq("mine")).execute(&mut writer)?;
    assert!(mine.last_write().is_some(), "the position was asked for behind the write");
    let count = note::table.count();
    assert_eq!(count.get_result::<i64>(&mut pool.handle().with_session(&mine))?, 1);
    assert_eq!(count.get_result::<i64>(&mut pool.handle().with_session(&other))?, 0);
    assert_eq!(count.get_result::<i64>(&mut pool.handle())?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_only_reads_places_nothing() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    pool.handle().transaction::<_, Error, _>(|conn| note::table.count().get_result::<i64>(conn))?;
    assert_eq!(pool.router().process_session().last_write(), None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_see_what_other_threads_wrote() -> Result {
    let cluster = boot(2).await?;
    let pool = pool(&cluster)?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let pool = &pool;
                scope.spawn(move || -> QueryResult<()> {
                    for round in 0..25 {
                        let text = format!("{thread}/{round}");
                        let insert = diesel::insert_into(note::table).values(note::text.eq(&text));
                        let id: i32 = insert.returning(note::id).get_result(&mut pool.handle())?;
                        let read: String =
                            note::table.find(id).select(note::text).first(&mut pool.handle())?;
                        assert_eq!(read, text);
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    assert_eq!(note::table.count().get_result::<i64>(&mut pool.handle())?, 100);
    Ok(())
}

/// A replica would refuse it. The primary runs it, and nobody said that it writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_writes_is_noticed_where_nobody_refuses_it() -> Result {
    let cluster = crate::promotions::boot_with_touch().await?;
    let pool = pool(&cluster)?;
    cluster.replica(1)?.kill9().await?;
    let mut before = rr_core::Requirement::NONE;
    let mut noticed = |how: &str| {
        let now = pool.router().process_session().requirement(rr_core::Consistency::Session);
        assert_ne!(now, before, "{how}: nobody knows that something was written");
        before = now;
    };
    let conn = &mut pool.handle();
    sql_query("SELECT touch()").execute(conn)?;
    noticed("executed");
    for how in ["loaded", "loaded again, when its type is known"] {
        diesel::select(touch()).get_result::<bool>(conn)?;
        noticed(how);
    }
    let rows = diesel::select(touch()).load_iter::<bool, PgRowByRowLoadingMode>(conn)?;
    assert_eq!(rows.count(), 1);
    noticed("row by row");
    conn.batch_execute("SELECT touch()")?;
    noticed("batch");
    conn.transaction::<_, Error, _>(|conn| diesel::select(touch()).get_result::<bool>(conn))?;
    noticed("transaction");
    assert_eq!(cluster.primary().query_text("SELECT count(*)::text FROM note").await?, "6", "once each");
    Ok(())
}

#[diesel::declare_sql_function]
extern "SQL" {
    fn touch() -> diesel::sql_types::Bool;
}
