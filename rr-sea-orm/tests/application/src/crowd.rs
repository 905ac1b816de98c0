//! Many at once, and what is kept in a session of the server.

use futures_util::future::try_join_all;
use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, IntoActiveModel, QueryOrder, Statement, TransactionTrait};

use super::database::DatabaseConnection;
use super::diary::Diary;
use super::entity::{album, artist};

/// Every task reads what it has just written, through another clone of the handle.
pub async fn tasks(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("tasks");
    let tasks = (0..12).map(|number| {
        let (one, two) = (db.clone(), db.clone());
        let busy = tokio::spawn(async move {
            let name = format!("busy {number}");
            let artist = artist::ActiveModel { name: Set(name), ..Default::default() }.insert(&one).await?;
            let mut right = 0;
            for born in 1..=10 {
                let change =
                    artist::ActiveModel { born: Set(Some(born)), ..artist.clone().into_active_model() };
                change.update(&one).await?;
                let read = artist::Entity::find_by_id(artist.id).one(&two).await?;
                right += u32::from(read.and_then(|artist| artist.born) == Some(born));
            }
            artist.delete(&one).await?;
            Ok::<u32, DbErr>(right)
        });
        async { busy.await.map_err(|error| DbErr::Custom(error.to_string()))? }
    });
    diary.note("right", try_join_all(tasks).await?);
    diary.note(
        "left",
        artist::Entity::find().filter(artist::Column::Name.starts_with("busy")).count(db).await?,
    );
    Ok(diary)
}

/// What a session of the server keeps, inside of a transaction, where it is one session.
pub async fn sessions(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("sessions");
    let backend = db.get_database_backend();
    let txn = db.begin().await?;
    txn.execute_unprepared("SET LOCAL application_name = 'teller'").await?;
    let name = txn.query_one_raw(Statement::from_string(backend, "SHOW application_name")).await?;
    diary.note("set", name.map(|row| row.try_get_by_index::<String>(0)));
    txn.execute_unprepared("CREATE TEMP TABLE mine (n int) ON COMMIT DROP; INSERT INTO mine VALUES (1), (2)")
        .await?;
    let mine = txn.query_all_raw(Statement::from_string(backend, "SELECT n FROM mine")).await?;
    diary.note("temporary", mine.len());
    txn.query_one_raw(Statement::from_string(backend, "SELECT pg_advisory_xact_lock(42)")).await?;
    let locked = "SELECT pg_try_advisory_xact_lock(42) AS got";
    let got = db.query_one_raw(Statement::from_string(backend, locked)).await?;
    diary.note("locked for others", got.map(|row| row.try_get::<bool>("", "got")));
    txn.execute_unprepared("CREATE SEQUENCE counting").await?;
    txn.query_one_raw(Statement::from_string(backend, "SELECT nextval('counting')")).await?;
    let current = txn.query_one_raw(Statement::from_string(backend, "SELECT currval('counting')")).await?;
    diary.note("current", current.map(|row| row.try_get_by_index::<i64>(0)));
    txn.rollback().await?;
    let got = db.query_one_raw(Statement::from_string(backend, locked)).await?;
    diary.note("free for others", got.map(|row| row.try_get::<bool>("", "got")));
    diary.note("no sequence", db.execute_unprepared("SELECT nextval('counting')").await.is_err());
    Ok(diary)
}

/// Two connections of one process: what is written through one of them is read through the other.
pub async fn two_connections(
    one: &DatabaseConnection,
    two: &DatabaseConnection,
) -> Result<Vec<String>, DbErr> {
    let mut diary = Diary::chapter("two connections");
    let artist =
        artist::ActiveModel { name: Set("Una".to_owned()), ..Default::default() }.insert(one).await?;
    for (year, (writer, reader)) in (0..20).zip([(one, two), (two, one)].into_iter().cycle()) {
        let album = album::ActiveModel {
            artist_id: Set(artist.id),
            title: Set(format!("album {year}")),
            year: Set(year),
            stock: Set(0),
            ..Default::default()
        };
        let album = album.insert(writer).await?;
        diary.note("found", album::Entity::find_by_id(album.id).one(reader).await?.map(|album| album.year));
        let all = artist.find_related(album::Entity).order_by_desc(album::Column::Year).all(reader).await?;
        diary.note("in all", all.len());
    }
    diary.note("deleted", artist.delete(two).await?.rows_affected);
    diary.note("gone", artist::Entity::find_by_name("Una").count(one).await?);
    Ok(diary.lines())
}
