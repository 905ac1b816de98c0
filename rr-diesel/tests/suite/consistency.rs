//! Nobody reads a state older than what was written through this router.

use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection, TransactionManager};
use futures_util::{StreamExt, TryStreamExt};
use rr_core::Session;
use rr_core::config::{AskPositions, ReadPreference, Unscoped};
use rr_core::tally::Step;
use rr_diesel::{RouteHints, RoutedPgConnection, RoutedPool};
use rr_tests::cluster::{Boundary, Cluster};

use crate::midway::Id;
use crate::support::{PATIENCE, Result, boot, config, note, patient, place, pool, until};

/// In which ways a handle writes.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Execute,
    Returning,
    Rows,
    Text,
    Transaction,
    Built,
    Kept,
    ByHand,
    Lent,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Execute,
        Self::Returning,
        Self::Rows,
        Self::Text,
        Self::Transaction,
        Self::Built,
        Self::Kept,
        Self::ByHand,
        Self::Lent,
    ];

    /// Writes once, and says how many rows that gave.
    async fn write(self, conn: &mut RoutedPgConnection) -> QueryResult<i64> {
        let insert = || diesel::insert_into(note::table).values(note::text.eq("x"));
        let inside = async |conn: &mut RoutedPgConnection| insert().execute(conn).await;
        match self {
            Self::Execute => {
                insert().execute(conn).await?;
            }
            Self::Returning => {
                let _: i32 = insert().returning(note::id).get_result(conn).await?;
            }
            Self::Rows => {
                let rows = [note::text.eq("x"), note::text.eq("y")];
                diesel::insert_into(note::table).values(&rows).execute(conn).await?;
                return Ok(2);
            }
            Self::Text => {
                let twice = "INSERT INTO note (text) VALUES ('x'); INSERT INTO note (text) VALUES ('y')";
                conn.batch_execute(twice).await?;
                return Ok(2);
            }
            Self::Transaction => {
                conn.transaction::<_, Error, _>(inside).await?;
            }
            Self::Built => {
                conn.build_transaction().serializable().run::<_, Error, _>(inside).await?;
            }
            Self::Kept => {
                sql_query("SET application_name = 'kept'").execute(conn).await?;
                insert().execute(conn).await?;
            }
            Self::ByHand => {
                sql_query("BEGIN").execute(conn).await?;
                insert().execute(conn).await?;
                sql_query("COMMIT").execute(conn).await?;
            }
            Self::Lent => {
                insert().execute(conn.primary().await?).await?;
                conn.reset_session();
            }
        }
        Ok(1)
    }
}

/// Takes both connections to the primary: none has a question behind a write under way any more.
async fn nothing_is_under_way(pool: &RoutedPool) -> QueryResult<()> {
    type Manager = <RoutedPgConnection as AsyncConnection>::TransactionManager;
    let (mut one, mut two) = (pool.handle(), pool.handle());
    Manager::begin_transaction(&mut one).await?;
    Manager::begin_transaction(&mut two).await?;
    Manager::rollback_transaction(&mut one).await?;
    Manager::rollback_transaction(&mut two).await
}

/// The replica has all that was written before each of them, so that nothing but this one write keeps a read off it: at first
/// because it is on its way into the registers, and then because it is there.
#[tokio::test]
async fn every_kind_of_write_is_seen_by_the_next_read_on_another_handle() -> Result {
    each_is_seen(AskPositions::Wanted).await
}

#[tokio::test]
async fn every_kind_of_write_is_seen_without_asking_where_it_ended() -> Result {
    each_is_seen(AskPositions::Never).await
}

async fn each_is_seen(ask: AskPositions) -> Result {
    let cluster = boot(1).await?;
    let settings = config(&cluster).with(|config| (config.pool.primary.max, config.ask_positions) = (2, ask));
    let pool = RoutedPool::start(settings.build()?).await?;
    let replica = cluster.replica(1)?;
    let count = async || note::table.count().get_result::<i64>(&mut pool.handle()).await;
    let (mut written, mut unseen) = (0, Vec::new());
    for kind in Kind::ALL {
        cluster.wait_caught_up(PATIENCE).await?;
        until("the replica to serve", async || Ok(place(&mut pool.handle()).await?.standby)).await?;
        replica.pause_replay().await?;
        assert_eq!(count().await?, written, "before {kind:?}");
        let mut conn = pool.handle();
        written += kind.write(&mut conn).await?;
        let at_once = count().await?;
        drop(conn);
        nothing_is_under_way(&pool).await?;
        if [at_once, count().await?] != [written; 2] {
            unseen.push(kind);
        }
        replica.resume_replay().await?;
    }
    assert!(unseen.is_empty(), "{unseen:?}");
    Ok(())
}

/// Diesel rolls back what has been committed by hand, and what was written behind that without a transaction.
#[tokio::test]
async fn what_a_transaction_commits_by_hand_is_seen_at_once() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    let conn = &mut pool.handle();
    until("the replica to serve", async || Ok(place(&mut pool.handle()).await?.standby)).await?;
    cluster.replica(1)?.pause_replay().await?;
    let count = async || note::table.count().get_result::<i64>(&mut pool.handle()).await;
    let insert = || diesel::insert_into(note::table).values(note::text.eq("x"));
    let mut seen = Vec::new();
    let ended = conn
        .transaction::<(), Error, _>(async |conn| {
            insert().execute(conn).await?;
            seen.push(count().await?);
            sql_query("COMMIT").execute(conn).await?;
            seen.push(count().await?);
            insert().execute(conn).await?;
            seen.push(count().await?);
            let _: i32 = insert().returning(note::id).get_result(conn).await?;
            seen.push(count().await?);
            conn.batch_execute("BEGIN; INSERT INTO note (text) VALUES ('x'); END").await?;
            seen.push(count().await?);
            Err(Error::RollbackTransaction)
        })
        .await;
    assert_eq!(ended, Err(Error::RollbackTransaction));
    seen.push(count().await?);
    assert_eq!(seen, [0, 1, 2, 3, 4, 4]);
    Ok(())
}

/// The handle is not used again, nor dropped.
#[tokio::test]
async fn what_is_written_on_a_lent_connection_is_seen_at_once() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    let (alone, within) = (&mut pool.handle(), &mut pool.handle());
    until("the replica to serve", async || Ok(place(&mut pool.handle()).await?.standby)).await?;
    cluster.replica(1)?.pause_replay().await?;
    let count = async || note::table.count().get_result::<i64>(&mut pool.handle()).await;
    let insert = || diesel::insert_into(note::table).values(note::text.eq("x"));
    let lent = alone.primary().await?;
    assert_eq!(note::table.count().get_result::<i64>(lent).await?, 0);
    assert!(place(&mut pool.handle()).await?.standby, "nothing was written");
    insert().execute(lent).await?;
    assert_eq!(count().await?, 1);
    let _: i32 = insert().returning(note::id).get_result(lent).await?;
    assert_eq!(count().await?, 2);
    lent.batch_execute("INSERT INTO note (text) VALUES ('x')").await?;
    assert_eq!(count().await?, 3);
    lent.transaction::<_, Error, _>(async |lent| insert().execute(lent).await).await?;
    assert_eq!(count().await?, 4);
    within.transaction::<_, Error, _>(async |conn| insert().execute(conn.primary().await?).await).await?;
    assert_eq!(count().await?, 5);
    Ok(())
}

#[tokio::test]
async fn an_explicit_session_sees_its_own_writes_and_others_need_not() -> Result {
    let cluster = boot(1).await?;
    let config = config(&cluster).with(|config| config.unscoped = Unscoped::Eventual).build()?;
    let pool = RoutedPool::start(config).await?;
    let replica = cluster.replica(1)?;
    replica.pause_replay().await?;
    let (mine, other) = (Session::new(), Session::new());
    let mut writer = pool.handle().with_session(&mine);
    diesel::insert_into(note::table).values(note::text.eq("mine")).execute(&mut writer).await?;
    until("the position that was asked for with the write", async || Ok(mine.last_write().is_some())).await?;
    let count = note::table.count();
    assert_eq!(count.get_result::<i64>(&mut pool.handle().with_session(&mine)).await?, 1);
    assert_eq!(count.get_result::<i64>(&mut pool.handle().with_session(&other)).await?, 0);
    assert_eq!(count.get_result::<i64>(&mut pool.handle()).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_transaction_that_only_reads_places_nothing() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    let mut conn = pool.handle();
    conn.transaction::<_, Error, _>(async |conn| note::table.count().get_result::<i64>(conn).await).await?;
    assert_eq!(pool.router().process_session().last_write(), None);
    Ok(())
}

/// Reads of a handle, and of two handles of one session that take turns.
#[tokio::test]
async fn nobody_goes_back_in_time_while_another_process_writes() -> Result {
    let cluster = boot(2).await?;
    let pool = pool(&cluster).await?;
    let session = Session::new();
    let mut own = pool.handle();
    let mut of_session = [pool.handle().with_session(&session), pool.handle().with_session(&session)];
    let mut newest = [0; 2];
    let mut by_replicas = 0;
    for round in 0..400 {
        match round {
            // From here on the two replicas differ, and one of them goes away in the middle.
            50 => cluster.replica(1)?.pause_replay().await?,
            200 => cluster.replica(2)?.kill9().await?,
            300 => cluster.replica(1)?.resume_replay().await?,
            _ => {}
        }
        cluster.primary().sql("INSERT INTO note (text) VALUES ('of another process')").await?;
        for (who, conn) in [(0, &mut own), (1, &mut of_session[round % 2])] {
            let (count, standby) = note::table
                .select((
                    diesel::dsl::count_star(),
                    diesel::dsl::sql::<diesel::sql_types::Bool>("on_standby()"),
                ))
                .get_result::<(i64, bool)>(conn)
                .await?;
            assert!(count >= newest[who], "round {round}: {count} after {}", newest[who]);
            newest[who] = count;
            by_replicas += usize::from(standby);
        }
    }
    assert!(by_replicas > 400, "{by_replicas} of 800 reads were served by replicas");
    Ok(())
}

/// Of a session, and of a handle that has none.
#[tokio::test]
async fn what_a_strong_read_saw_is_not_forgotten() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    cluster.replica(1)?.pause_replay().await?;
    cluster.primary().sql("INSERT INTO note (text) VALUES ('of another process')").await?;
    for mut conn in [pool.handle(), pool.handle().with_session(&Session::new())] {
        let strong = note::table.count().consistency(rr_core::Consistency::Strong);
        assert_eq!(strong.get_result::<i64>(&mut conn).await?, 1);
        assert_eq!(note::table.count().get_result::<i64>(&mut conn).await?, 1);
    }
    Ok(())
}

/// A replica would refuse it. The primary runs it, and nobody said that it writes.
#[tokio::test]
async fn a_function_that_writes_is_noticed_where_nobody_refuses_it() -> Result {
    let cluster = crate::promotions::boot_with_touch().await?;
    let pool = pool(&cluster).await?;
    cluster.replica(1)?.kill9().await?;
    let mut before = None;
    let mut noticed = async |how: &str| {
        until(how, async || {
            let now = pool.router().process_session().last_write();
            let grew = match (&before, &now) {
                (None, Some(_)) => true,
                (Some(before), Some(now)) => now.covers(before) && now != before,
                (_, None) => false,
            };
            if grew {
                before = now;
            }
            Ok(grew)
        })
        .await
    };
    let conn = &mut pool.handle();
    sql_query("SELECT touch()").execute(conn).await?;
    noticed("executed").await?;
    let _: bool = diesel::select(touch()).get_result(conn).await?;
    noticed("loaded").await?;
    let _: bool = diesel::select(touch()).get_result(conn).await?;
    noticed("loaded again, when its type is known").await?;
    conn.batch_execute("SELECT touch()").await?;
    noticed("batch").await?;
    conn.transaction::<_, Error, _>(async |conn| diesel::select(touch()).get_result::<bool>(conn).await)
        .await?;
    noticed("transaction").await?;
    sql_query("SET application_name = 'kept'").execute(conn).await?;
    let _: bool = diesel::select(touch()).get_result(conn).await?;
    noticed("kept connection").await?;
    assert_eq!(cluster.primary().query_text("SELECT count(*)::text FROM note").await?, "6", "once each");
    Ok(())
}

#[diesel::declare_sql_function]
extern "SQL" {
    fn touch() -> diesel::sql_types::Bool;
}

/// The log of an idle primary may end where a page begins: no replica ever gets behind the page's header.
#[tokio::test]
async fn a_write_that_ends_with_a_page_holds_no_reader_up() -> Result {
    let cluster = boot(1).await?;
    let settings = patient(&cluster).with(|config| config.read_preference = ReadPreference::Replica);
    let pool = RoutedPool::start(settings.build()?).await?;
    for boundary in [Boundary::Page, Boundary::Segment] {
        let session = Session::new();
        cluster.primary().commit_at_boundary("INSERT INTO note (text) VALUES ('last')", boundary).await?;
        // It changes nothing, so that the log still ends there when it is asked.
        let none = note::table.filter(note::id.lt(0));
        let conn = &mut pool.handle().with_session(&session);
        assert_eq!(diesel::update(none).set(note::stars.eq(1)).execute(conn).await?, 0);
        until("the write to be placed", async || Ok(session.last_write().is_some())).await?;
        assert!(place(conn).await?.standby, "{boundary:?}");
    }
    assert_eq!(pool.router().counted(Step::GaveUp), 0);
    Ok(())
}

#[tokio::test]
async fn a_write_that_was_meant_for_a_replica_counts_where_the_primary_ran_it() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    let session = Session::new();
    let conn = &mut pool.handle().with_session(&session);
    cluster.replica(1)?.pause_replay().await?;
    let insert = || diesel::insert_into(note::table).values(note::text.eq("x"));
    insert().execute(conn).await?;
    let first = session.last_write();
    // The replica lacks what the session has written, so that the primary serves.
    insert().execute(conn.use_replica()).await?;
    assert_ne!(session.last_write(), first, "the session knows of its write");
    Ok(())
}

/// The server has committed when it hands out the rows of a small statement.
#[tokio::test]
async fn what_a_stream_has_written_is_seen_while_it_is_held() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    let replica = cluster.replica(1)?;
    for (kept, before) in [(false, 0), (true, 2)] {
        cluster.wait_caught_up(PATIENCE).await?;
        until("the replica to serve", async || Ok(place(&mut pool.handle()).await?.standby)).await?;
        replica.pause_replay().await?;
        let session = Session::new();
        let mut conn = pool.handle().with_session(&session);
        if kept {
            sql_query("SET application_name = 'kept'").execute(&mut conn).await?;
        }
        let count =
            async || note::table.count().get_result::<i64>(&mut pool.handle().with_session(&session)).await;
        assert_eq!(count().await?, before);
        let two = [note::text.eq("a"), note::text.eq("b")];
        let insert = diesel::insert_into(note::table).values(two).returning(note::id);
        let mut rows = insert.load_stream::<i32>(&mut conn).await?;
        rows.next().await.ok_or("a row")??;
        assert_eq!(count().await?, before + 2, "kept: {kept}");
        assert!(rows.next().await.is_some() && rows.next().await.is_none());
        replica.resume_replay().await?;
    }
    Ok(())
}

/// A cluster whose replica serves.
async fn served() -> Result<(Cluster, RoutedPool)> {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    until("the replica to serve", async || Ok(place(&mut pool.handle()).await?.standby)).await?;
    Ok((cluster, pool))
}

/// Nobody reads the rows of a long result while its position is asked for: it is asked for without them, or not at all.
#[tokio::test]
async fn a_long_result_on_a_kept_connection_is_read_and_seen() -> Result {
    let (cluster, pool) = served().await?;
    cluster.replica(1)?.pause_replay().await?;
    let session = Session::new();
    let mut conn = pool.handle().with_session(&session);
    sql_query("SET application_name = 'kept'").execute(&mut conn).await?;
    let count =
        async || note::table.count().get_result::<i64>(&mut pool.handle().with_session(&session)).await;
    let mut expected = 0;
    for rows in [1, 999, 1000, 1001, 100_000] {
        let insert = format!(
            "INSERT INTO note (text) SELECT repeat('x', 300) FROM generate_series(1, {rows}) RETURNING id"
        );
        let load = async {
            let rows = sql_query(insert).load_stream::<Id>(&mut conn).await?;
            rows.try_fold(0, async |read, _| Ok(read + 1)).await
        };
        assert_eq!(tokio::time::timeout(PATIENCE, load).await??, rows);
        expected += i64::from(rows);
        assert_eq!(count().await?, expected, "{rows} rows more");
    }
    Ok(())
}

/// The server commits behind the last row that it has sent, and stops to send when nobody reads.
#[tokio::test]
async fn what_is_committed_long_after_its_first_row_is_seen() -> Result {
    let (cluster, pool) = served().await?;
    let session = Session::new();
    let handle = || pool.handle().with_session(&session);
    let insert =
        "INSERT INTO note (text) SELECT repeat('x', 300) FROM generate_series(1, 100000) RETURNING id, text";
    let mut conn = handle();
    let mut rows = sql_query(insert).load_stream::<Id>(&mut conn).await?;
    rows.next().await.ok_or("a row")??;
    // Somebody else's commit brings along what was written so far.
    cluster.primary().sql("CREATE TABLE other ()").await?;
    let answered = pool.router().now();
    let covers = || {
        let topology = pool.router().topology();
        let primary = topology.primary().ok()?;
        let end = primary.applied.as_ref().filter(|_| primary.sampled_at > Some(answered))?;
        let replica = topology.nodes().iter().find(|node| node.id != primary.id)?;
        Some(replica.applied.as_ref()?.covers(end))
    };
    until("the replica to have what is written so far", async || Ok(covers() == Some(true))).await?;
    cluster.replica(1)?.pause_replay().await?;
    while let Some(row) = rows.next().await {
        row?;
    }
    assert_eq!(note::table.count().get_result::<i64>(&mut handle()).await?, 100_000);
    Ok(())
}
