//! Rows one by one.

use futures_util::{StreamExt, TryStreamExt};
use sea_orm::{EntityTrait, StreamTrait};

use rr_core::Session;

use crate::support::{
    Result, ask, boot, config, connect, in_flight, note, notes, on_standby, raw, seen, until,
};

#[tokio::test]
async fn a_stream_owns_its_connection() -> Result {
    let cluster = boot(1).await?;
    let settings = config(&cluster).with(|config| config.pool.replica.max = 2);
    let db = crate::support::started(settings).await?;
    let mut rows = {
        let gone = db.clone();
        gone.stream_raw(raw("SELECT generate_series(1, 3) AS n")).await?
    };
    assert_eq!(in_flight(&db), [Some(0), Some(1)]);
    assert_eq!(ask::<i32>(&db, "SELECT 1").await?, 1, "others work meanwhile");
    for expected in 1..=3 {
        let row = rows.next().await.transpose()?.ok_or("a row")?;
        assert_eq!(row.try_get::<i32>("", "n")?, expected);
    }
    assert!(rows.next().await.is_none());
    assert_eq!(in_flight(&db), [Some(0); 2]);
    assert!(rows.next().await.is_none(), "it has ended for good");
    let none = db.stream_raw(raw("SELECT 1 WHERE false")).await?;
    assert_eq!(none.try_collect::<Vec<_>>().await?.len(), 0);
    let models = seen::Entity::find().stream(&db).await?.try_collect::<Vec<_>>().await?;
    assert_eq!(models.len(), 2, "a standby's");
    Ok(())
}

#[tokio::test]
async fn a_stream_that_is_dropped_early_gives_its_connection_up() -> Result {
    let cluster = boot(1).await?;
    let settings = config(&cluster).with(|config| config.pool.replica.max = 1);
    let db = crate::support::started(settings).await?;
    for _ in 0..5 {
        let mut rows = db.stream_raw(raw("SELECT generate_series(1, 100000) AS n")).await?;
        assert_eq!(rows.next().await.transpose()?.ok_or("a row")?.try_get::<i32>("", "n")?, 1);
        drop(rows);
        assert_eq!(in_flight(&db), [Some(0); 2]);
        assert_eq!(ask::<i32>(&db, "SELECT 7").await?, 7);
    }
    Ok(())
}

#[tokio::test]
async fn errors_come_where_they_belong() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    let early = db.stream_raw(raw("SELECT 1 / 0")).await;
    assert!(early.unwrap_err().to_string().contains("division by zero"));
    let late = "SELECT 1 / (3 - n) FROM generate_series(1, 4) n";
    let mut rows = db.stream_raw(raw(late)).await?;
    let mut good = 0;
    let error = loop {
        match rows.next().await.ok_or("an error")? {
            Ok(_) => good += 1,
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("division by zero"));
    assert_eq!(good, 2);
    assert!(rows.next().await.is_none());
    assert_eq!(in_flight(&db), [Some(0); 2]);
    assert_eq!(ask::<i32>(&db, "SELECT 1").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_stream_that_writes_begins_when_it_is_polled() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    let insert = || raw("INSERT INTO note (text) VALUES ('a'), ('b') RETURNING *");
    drop(db.stream_raw(insert()).await?);
    assert_eq!(notes(&db).await?, 0);
    let rows: Vec<_> = db.stream_raw(insert()).await?.try_collect().await?;
    assert_eq!(rows.len(), 2);
    assert_eq!(notes(&db).await?, 2);
    assert_eq!(note::Entity::find().stream(&db).await?.try_collect::<Vec<_>>().await?.len(), 2);
    Ok(())
}

/// The server has committed when it hands out the rows of a small statement.
#[tokio::test]
async fn what_a_stream_has_written_is_seen_while_it_is_held() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?.with_session(&Session::new());
    cluster.replica(1)?.pause_replay().await?;
    let mut rows = db.stream_raw(raw("INSERT INTO note (text) VALUES ('a'), ('b') RETURNING id")).await?;
    assert_eq!(notes(&db).await?, 0, "it has not begun");
    rows.next().await.ok_or("a row")??;
    assert_eq!(notes(&db).await?, 2);
    assert!(rows.next().await.is_some());
    assert!(rows.next().await.is_none());
    assert_eq!(notes(&db).await?, 2);
    Ok(())
}

/// Rows that are far more than fits between the server and its client: the server commits when it has sent the last one, long after
/// the first was read.
#[tokio::test]
async fn what_a_long_stream_commits_on_its_way_is_seen_after_its_next_row() -> Result {
    let cluster = boot(1).await?;
    let session = Session::new();
    let db = connect(&cluster).await?.with_session(&session);
    let insert =
        "INSERT INTO note (text) SELECT repeat('x', 300) FROM generate_series(1, 100000) RETURNING *";
    let mut rows = db.stream_raw(raw(insert)).await?;
    rows.next().await.ok_or("a row")??;
    // The log of a statement under way reaches replicas with the next commit of somebody else.
    cluster.primary().sql("CREATE TABLE other ()").await?;
    until("what was there at the first row to be on the replica", async || {
        Ok(on_standby(&db).await? && session.unplaced_since().is_none())
    })
    .await?;
    cluster.replica(1)?.pause_replay().await?;
    assert_eq!(notes(&db).await?, 0, "it is not committed");
    let committed = async || {
        Ok::<_, Box<dyn std::error::Error>>(
            cluster.primary().query_text("SELECT count(*)::text FROM note").await? != "0",
        )
    };
    let mut read = 0;
    while read % 1000 > 0 || !committed().await? {
        rows.next().await.ok_or("a row before the commit")??;
        read += 1;
    }
    rows.next().await.ok_or("a row behind the commit")??;
    assert_eq!(notes(&db).await?, 100_000, "after {read} rows");
    Ok(())
}
