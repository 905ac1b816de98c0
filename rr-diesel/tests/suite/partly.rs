//! Writes that commit on their way, and fail then.

use diesel::prelude::*;
use diesel::sql_query;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use rr_core::Session;
use rr_diesel::RoutedPgConnection;

use crate::support::{PATIENCE, Result, boot, note, place, pool, until};

pub(crate) const HALF: &str = "CREATE PROCEDURE half() LANGUAGE plpgsql AS \
     'BEGIN INSERT INTO note (text) VALUES (''kept''); COMMIT; RAISE ''no more''; END'";
pub(crate) const CALL: &str = "CALL half()";
pub(crate) const BLOCK: &str =
    "DO $$BEGIN INSERT INTO note (text) VALUES ('kept'); COMMIT; RAISE 'no more'; END$$";
pub(crate) const BY_HAND: &str = "BEGIN; INSERT INTO note (text) VALUES ('kept'); COMMIT; SELECT 1 / 0";
pub(crate) const SEVERAL: &str = "INSERT INTO note (text) VALUES ('kept'); COMMIT; SELECT 1 / 0";
const REFUSED: &str = "INSERT INTO note (text) VALUES (NULL) RETURNING id";

#[derive(Debug, QueryableByName)]
pub(crate) struct Nothing {
    #[diesel(sql_type = diesel::sql_types::Integer)]
    #[expect(dead_code, reason = "it is never loaded")]
    id: i32,
}

/// A call of a type of its own, which is not rendered anew each time.
#[derive(Clone, Copy, diesel::query_builder::QueryId)]
pub(crate) struct Call;

impl<DB: diesel::backend::Backend> diesel::query_builder::QueryFragment<DB> for Call {
    fn walk_ast<'b>(&'b self, mut out: diesel::query_builder::AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql(CALL);
        Ok(())
    }
}

impl<Conn> diesel::RunQueryDsl<Conn> for Call {}

/// In which ways a handle runs a text.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Execute,
    Load,
    Batch,
    Typed,
    Kept,
    KeptBatch,
}

impl Kind {
    async fn run(self, conn: &mut RoutedPgConnection, sql: &str) -> QueryResult<()> {
        match self {
            Self::Execute => sql_query(sql).execute(conn).await.map(drop),
            Self::Load => sql_query(sql).load::<Nothing>(conn).await.map(drop),
            Self::Batch => conn.batch_execute(sql).await,
            Self::Typed => RunQueryDsl::execute(Call, conn).await.map(drop),
            Self::Kept | Self::KeptBatch => {
                sql_query("SET application_name = 'kept'").execute(conn).await?;
                if matches!(self, Self::KeptBatch) {
                    return conn.batch_execute(sql).await;
                }
                sql_query(sql).execute(conn).await.map(drop)
            }
        }
    }
}

/// The replica has all that was written before each of them, so that nothing but this one write keeps a read off it.
#[tokio::test]
async fn what_was_committed_before_an_error_is_seen_by_the_next_read() -> Result {
    let cluster = boot(1).await?;
    cluster.primary().sql(HALF).await?;
    let pool = pool(&cluster).await?;
    let replica = cluster.replica(1)?;
    let mut unseen = Vec::new();
    let one = [Kind::Execute, Kind::Load, Kind::Batch, Kind::Kept, Kind::KeptBatch]
        .into_iter()
        .flat_map(|kind| [(kind, CALL), (kind, BLOCK)]);
    let several =
        [Kind::Batch, Kind::KeptBatch].into_iter().flat_map(|kind| [(kind, BY_HAND), (kind, SEVERAL)]);
    let typed = [(Kind::Typed, CALL); 2];
    for (number, (kind, sql)) in (1..).zip(one.chain(several).chain(typed)) {
        cluster.wait_caught_up(PATIENCE).await?;
        until("the replica to serve", async || Ok(place(&mut pool.handle()).await?.standby)).await?;
        replica.pause_replay().await?;
        let session = Session::new();
        let count =
            async || note::table.count().get_result::<i64>(&mut pool.handle().with_session(&session)).await;
        assert_eq!(count().await?, number - 1, "before {kind:?}: {sql}");
        let conn = &mut pool.handle().with_session(&session);
        assert!(kind.run(conn, sql).await.is_err(), "{kind:?}: {sql}");
        if count().await? != number {
            unseen.push((kind, sql));
        }
        replica.resume_replay().await?;
    }
    assert!(unseen.is_empty(), "{unseen:?}");
    Ok(())
}

/// One statement that was refused has written nothing, and asks nothing of reads.
#[tokio::test]
async fn a_single_statement_that_is_refused_demands_nothing() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    for kind in [Kind::Execute, Kind::Load, Kind::Batch] {
        let session = Session::new();
        let conn = &mut pool.handle().with_session(&session);
        assert!(kind.run(conn, REFUSED).await.is_err());
        assert_eq!((session.unplaced_since(), session.last_write()), (None, None), "{kind:?}");
    }
    let session = Session::new();
    let conn = &mut pool.handle().with_session(&session);
    let own_id = (note::id.eq(1), note::text.eq("x"));
    let insert = || diesel::insert_into(note::table).values(own_id);
    insert().execute(conn).await?;
    until("the write to be placed", async || Ok(session.unplaced_since().is_none())).await?;
    let first = session.last_write();
    assert!(insert().execute(conn).await.is_err(), "it is there already");
    assert_eq!((session.unplaced_since(), session.last_write()), (None, first));
    Ok(())
}
