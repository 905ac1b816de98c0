//! Writes that commit on their way, and fail then.

use futures_util::TryStreamExt;
use rr_core::Session;
use rr_seaorm::RoutedConnection;
use sea_orm::{ConnectionTrait, StreamTrait};

use crate::support::{PATIENCE, Result, boot, connect, notes, raw, standby_serves};

const HALF: &str = "CREATE PROCEDURE half() LANGUAGE plpgsql AS \
                    'BEGIN INSERT INTO note (text) VALUES (''kept''); COMMIT; RAISE ''no more''; END'";
const CALL: &str = "CALL half()";
const BLOCK: &str = "DO $$BEGIN INSERT INTO note (text) VALUES ('kept'); COMMIT; RAISE 'no more'; END$$";
const BY_HAND: &str = "BEGIN; INSERT INTO note (text) VALUES ('kept'); COMMIT; SELECT 1 / 0";
const SEVERAL: &str = "INSERT INTO note (text) VALUES ('kept'); COMMIT; SELECT 1 / 0";

/// In which ways a handle runs a text.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Prepared,
    Unprepared,
    One,
    All,
    Stream,
}

impl Kind {
    async fn run(self, db: &RoutedConnection, sql: &str) -> std::result::Result<(), sea_orm::DbErr> {
        match self {
            Self::Prepared => db.execute_raw(raw(sql)).await.map(drop),
            Self::Unprepared => db.execute_unprepared(sql).await.map(drop),
            Self::One => db.query_one_raw(raw(sql)).await.map(drop),
            Self::All => db.query_all_raw(raw(sql)).await.map(drop),
            Self::Stream => db.stream_raw(raw(sql)).await?.try_collect::<Vec<_>>().await.map(drop),
        }
    }
}

/// The replica has all that was written before each of them, so that nothing but this one write keeps a read off it.
#[tokio::test]
async fn what_was_committed_before_an_error_is_seen_by_the_next_read() -> Result {
    let cluster = boot(1).await?;
    cluster.primary().sql(HALF).await?;
    let db = connect(&cluster).await?;
    let replica = cluster.replica(1)?;
    let mut unseen = Vec::new();
    let all = [Kind::Prepared, Kind::Unprepared, Kind::One, Kind::All, Kind::Stream];
    let one = all.into_iter().flat_map(|kind| [(kind, CALL), (kind, BLOCK)]);
    let several = [BY_HAND, SEVERAL].map(|sql| (Kind::Unprepared, sql));
    for (number, (kind, sql)) in (1..).zip(one.chain(several)) {
        cluster.wait_caught_up(PATIENCE).await?;
        standby_serves(&db).await?;
        replica.pause_replay().await?;
        let db = db.with_session(&Session::new());
        assert_eq!(notes(&db).await?, number - 1, "before {kind:?}: {sql}");
        assert!(kind.run(&db, sql).await.is_err(), "{kind:?}: {sql}");
        if notes(&db).await? != number {
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
    let session = Session::new();
    let db = connect(&cluster).await?.with_session(&session);
    for kind in [Kind::Prepared, Kind::Unprepared, Kind::One, Kind::All] {
        assert!(kind.run(&db, "INSERT INTO note (text) VALUES (NULL) RETURNING id").await.is_err());
        assert_eq!((session.unplaced_since(), session.last_write()), (None, None), "{kind:?}");
    }
    Ok(())
}
