//! Nobody reads a state older than what was written through this router.

use diesel::connection::SimpleConnection;
use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;
use rr_core::Session;
use rr_core::config::{AskPositions, Unscoped};

use super::{RoutedConnection, RoutedPool, place, pool};
use crate::support::{PATIENCE, Result, boot, config, note, until};

#[derive(Insertable)]
#[diesel(table_name = note, treat_none_as_default_value = false)]
struct New {
    text: &'static str,
    stars: i32,
}

/// In which ways a handle writes.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Execute,
    Returning,
    Rows,
    RowByRow,
    Text,
    Transaction,
    Built,
    Copy,
    CopyInside,
    Kept,
    KeptRows,
    ByHand,
    Lent,
}

impl Kind {
    const ALL: [Self; 13] = [
        Self::Execute,
        Self::Returning,
        Self::Rows,
        Self::RowByRow,
        Self::Text,
        Self::Transaction,
        Self::Built,
        Self::Copy,
        Self::CopyInside,
        Self::Kept,
        Self::KeptRows,
        Self::ByHand,
        Self::Lent,
    ];

    /// Writes once, and says how many rows that gave.
    fn write(self, conn: &mut RoutedConnection) -> QueryResult<usize> {
        let insert = || diesel::insert_into(note::table).values(note::text.eq("x"));
        let inside = |conn: &mut RoutedConnection| insert().execute(conn);
        let one_by_one = |conn: &mut RoutedConnection| {
            let rows = insert().returning(note::id).load_iter::<i32, PgRowByRowLoadingMode>(conn)?;
            QueryResult::Ok(rows.collect::<QueryResult<Vec<_>>>()?.len())
        };
        let copy = |conn: &mut RoutedConnection| {
            diesel::copy_from(note::table).from_insertable(vec![New { text: "x", stars: 2 }]).execute(conn)
        };
        let keep = |conn: &mut RoutedConnection| sql_query("SET application_name = 'kept'").execute(conn);
        match self {
            Self::Execute => insert().execute(conn),
            Self::Returning => insert().returning(note::id).get_results::<i32>(conn).map(|rows| rows.len()),
            Self::Rows => {
                let rows = [note::text.eq("x"), note::text.eq("y")];
                diesel::insert_into(note::table).values(&rows).execute(conn)
            }
            Self::RowByRow => one_by_one(conn),
            Self::Text => {
                conn.batch_execute(
                    "INSERT INTO note (text) VALUES ('x'); INSERT INTO note (text) VALUES ('y')",
                )?;
                Ok(2)
            }
            Self::Transaction => conn.transaction(inside),
            Self::Built => conn.build_transaction().serializable().run(inside),
            Self::Copy => copy(conn),
            Self::CopyInside => conn.transaction(copy),
            Self::Kept => {
                keep(conn)?;
                insert().execute(conn)
            }
            Self::KeptRows => {
                keep(conn)?;
                one_by_one(conn)
            }
            Self::ByHand => {
                sql_query("BEGIN").execute(conn)?;
                let rows = insert().execute(conn)?;
                sql_query("COMMIT").execute(conn)?;
                Ok(rows)
            }
            Self::Lent => {
                let rows = insert().execute(conn.primary()?)?;
                conn.reset_session();
                Ok(rows)
            }
        }
    }
}

/// The replica has all that was written before each of them, so that nothing but this one write keeps a read off it.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_write_is_seen_by_the_next_read_on_another_handle() -> Result {
    each_is_seen(AskPositions::Wanted).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_write_is_seen_without_asking_where_it_ended() -> Result {
    each_is_seen(AskPositions::Never).await
}

async fn each_is_seen(ask: AskPositions) -> Result {
    let cluster = boot(1).await?;
    let pool = RoutedPool::start(config(&cluster).with(|config| config.ask_positions = ask).build()?)?;
    let replica = cluster.replica(1)?;
    let count = || note::table.count().get_result::<i64>(&mut pool.handle());
    let (mut written, mut unseen) = (0, Vec::new());
    for kind in Kind::ALL {
        cluster.wait_caught_up(PATIENCE).await?;
        until("the replica to serve", async || Ok(place(&mut pool.handle())?.standby)).await?;
        replica.pause_replay().await?;
        assert_eq!(count()?, written, "before {kind:?}");
        let conn = &mut pool.handle();
        written += i64::try_from(kind.write(conn)?)?;
        if count()? != written {
            unseen.push(kind);
        }
        replica.resume_replay().await?;
    }
    assert!(unseen.is_empty(), "{unseen:?}");
    Ok(())
}

/// Nothing is left to roll back, and what is written behind it is committed at once.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_transaction_commits_by_hand_is_seen_at_once() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    let conn = &mut pool.handle();
    until("the replica to serve", async || Ok(place(&mut pool.handle())?.standby)).await?;
    cluster.replica(1)?.pause_replay().await?;
    let count = || note::table.count().get_result::<i64>(&mut pool.handle());
    let insert = || diesel::insert_into(note::table).values(note::text.eq("x"));
    let mut seen = Vec::new();
    let ended = conn.transaction::<(), Error, _>(|conn| {
        insert().execute(conn)?;
        seen.push(count()?);
        sql_query("COMMIT").execute(conn)?;
        seen.push(count()?);
        insert().execute(conn)?;
        seen.push(count()?);
        let _: i32 = insert().returning(note::id).get_result(conn)?;
        seen.push(count()?);
        conn.batch_execute("BEGIN; INSERT INTO note (text) VALUES ('x'); END")?;
        seen.push(count()?);
        Err(Error::RollbackTransaction)
    });
    assert!(matches!(ended, Err(Error::NotInTransaction)), "unlike a plain connection's: {ended:?}");
    seen.push(count()?);
    assert_eq!(seen, [0, 1, 2, 3, 4, 4]);
    Ok(())
}

/// The handle is not used again, nor dropped.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_on_a_lent_connection_is_seen_at_once() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    let (alone, within) = (&mut pool.handle(), &mut pool.handle());
    until("the replica to serve", async || Ok(place(&mut pool.handle())?.standby)).await?;
    cluster.replica(1)?.pause_replay().await?;
    let count = || note::table.count().get_result::<i64>(&mut pool.handle());
    let insert = || diesel::insert_into(note::table).values(note::text.eq("x"));
    let lent = alone.primary()?;
    assert_eq!(note::table.count().get_result::<i64>(lent)?, 0);
    assert!(place(&mut pool.handle())?.standby, "nothing was written");
    insert().execute(lent)?;
    assert_eq!(count()?, 1);
    let _: i32 = insert().returning(note::id).get_result(lent)?;
    assert_eq!(count()?, 2);
    lent.batch_execute("INSERT INTO note (text) VALUES ('x')")?;
    assert_eq!(count()?, 3);
    lent.transaction(|lent| insert().execute(lent))?;
    assert_eq!(count()?, 4);
    within.transaction(|conn| insert().execute(conn.primary()?))?;
    assert_eq!(count()?, 5);
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

/// At first somebody may want to know. When so many writes were not read, nobody is expected to, until somebody does.
#[tokio::test(flavor = "multi_thread")]
async fn where_a_write_has_ended_is_asked_while_somebody_wants_to_know() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    until("the replica to serve", async || Ok(place(&mut pool.handle())?.standby)).await?;
    cluster.replica(1)?.pause_replay().await?;
    let session = Session::new();
    let mut conn = pool.handle().with_session(&session);
    let mut asked = || {
        diesel::insert_into(note::table).values(note::text.eq("x")).execute(&mut conn)?;
        QueryResult::Ok(session.unplaced_since().is_none())
    };
    for number in 0..1000 {
        assert!(asked()?, "{number}");
    }
    assert!(!asked()?);
    let mut reader = pool.handle().with_session(&session);
    let mut written = 1001;
    // Whoever reads at once has to know. A moment later a sample has told.
    let asked = async || {
        assert_eq!(note::table.count().get_result::<i64>(&mut reader)?, written);
        written += 1;
        Ok(asked()?)
    };
    until("it to be asked again", asked).await
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

/// The server has committed when it hands out the rows of a small statement.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_seen_while_its_rows_are_read() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    let replica = cluster.replica(1)?;
    for (kept, before) in [(false, 0), (true, 2)] {
        cluster.wait_caught_up(PATIENCE).await?;
        until("the replica to serve", async || Ok(place(&mut pool.handle())?.standby)).await?;
        replica.pause_replay().await?;
        let session = Session::new();
        let mut conn = pool.handle().with_session(&session);
        if kept {
            sql_query("SET application_name = 'kept'").execute(&mut conn)?;
        }
        let count = || note::table.count().get_result::<i64>(&mut pool.handle().with_session(&session));
        assert_eq!(count()?, before);
        let two = [note::text.eq("a"), note::text.eq("b")];
        let insert = diesel::insert_into(note::table).values(&two).returning(note::id);
        let mut rows = insert.load_iter::<i32, PgRowByRowLoadingMode>(&mut conn)?;
        rows.next().ok_or("a row")??;
        assert_eq!(count()?, before + 2, "kept: {kept}");
        assert!(rows.next().is_some() && rows.next().is_none());
        drop(rows);
        replica.resume_replay().await?;
    }
    Ok(())
}
