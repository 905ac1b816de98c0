//! Writes that commit on their way, and fail then.

use diesel::connection::SimpleConnection;
use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;
use diesel::sql_query;
use rr_core::Session;

use super::{RoutedConnection, place, pool};
use crate::partly::{BLOCK, BY_HAND, CALL, Call, HALF, Nothing, SEVERAL};
use crate::support::{PATIENCE, Result, boot, note, until};

/// In which ways a handle runs a text.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Execute,
    Load,
    RowByRow,
    Batch,
    Typed,
    Kept,
    KeptRows,
    KeptBatch,
}

impl Kind {
    fn run(self, conn: &mut RoutedConnection, sql: &str) -> QueryResult<()> {
        let row_by_row = |conn: &mut RoutedConnection| {
            let mut rows = sql_query(sql).load_iter::<Nothing, PgRowByRowLoadingMode>(conn)?;
            rows.try_for_each(|row| row.map(drop))
        };
        let keep = |conn: &mut RoutedConnection| sql_query("SET application_name = 'kept'").execute(conn);
        match self {
            Self::Execute => sql_query(sql).execute(conn).map(drop),
            Self::Load => sql_query(sql).load::<Nothing>(conn).map(drop),
            Self::RowByRow => row_by_row(conn),
            Self::Batch => conn.batch_execute(sql),
            Self::Typed => RunQueryDsl::execute(Call, conn).map(drop),
            Self::Kept => {
                keep(conn)?;
                sql_query(sql).execute(conn).map(drop)
            }
            Self::KeptRows => {
                keep(conn)?;
                row_by_row(conn)
            }
            Self::KeptBatch => {
                keep(conn)?;
                conn.batch_execute(sql)
            }
        }
    }
}

/// The replica has all that was written before each of them, so that nothing but this one write keeps a read off it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_before_an_error_is_seen_by_the_next_read() -> Result {
    let cluster = boot(1).await?;
    cluster.primary().sql(HALF).await?;
    let pool = pool(&cluster)?;
    let replica = cluster.replica(1)?;
    let mut unseen = Vec::new();
    let all =
        [Kind::Execute, Kind::Load, Kind::RowByRow, Kind::Batch, Kind::Kept, Kind::KeptRows, Kind::KeptBatch];
    let one = all.into_iter().flat_map(|kind| [(kind, CALL), (kind, BLOCK)]);
    let several =
        [Kind::Batch, Kind::KeptBatch].into_iter().flat_map(|kind| [(kind, BY_HAND), (kind, SEVERAL)]);
    // The second one's type is known.
    let typed = [(Kind::Typed, CALL); 2];
    for (number, (kind, sql)) in (1..).zip(one.chain(several).chain(typed)) {
        cluster.wait_caught_up(PATIENCE).await?;
        until("the replica to serve", async || Ok(place(&mut pool.handle())?.standby)).await?;
        replica.pause_replay().await?;
        let session = Session::new();
        let count = || note::table.count().get_result::<i64>(&mut pool.handle().with_session(&session));
        assert_eq!(count()?, number - 1, "before {kind:?}: {sql}");
        let conn = &mut pool.handle().with_session(&session);
        assert!(kind.run(conn, sql).is_err(), "{kind:?}: {sql}");
        if count()? != number {
            unseen.push((kind, sql));
        }
        replica.resume_replay().await?;
    }
    assert!(unseen.is_empty(), "{unseen:?}");
    Ok(())
}

/// One statement that was refused has written nothing, and asks nothing of reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_single_statement_that_is_refused_demands_nothing() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    for kind in [Kind::Execute, Kind::Load, Kind::RowByRow, Kind::Batch] {
        let session = Session::new();
        let conn = &mut pool.handle().with_session(&session);
        assert!(kind.run(conn, "INSERT INTO note (text) VALUES (NULL) RETURNING id").is_err());
        assert_eq!((session.unplaced_since(), session.last_write()), (None, None), "{kind:?}");
    }
    let session = Session::new();
    let conn = &mut pool.handle().with_session(&session);
    let insert = || diesel::insert_into(note::table).values((note::id.eq(1), note::text.eq("x")));
    insert().execute(conn)?;
    let first = session.last_write();
    for _ in 0..2 {
        assert!(insert().execute(conn).is_err(), "it is there already");
        assert_eq!((session.unplaced_since(), session.last_write()), (None, first.clone()));
    }
    Ok(())
}
