//! Pages, cursors and streams.

use futures_util::{StreamExt, TryStreamExt};
use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, QueryOrder, QuerySelect};

use super::database::DatabaseConnection;
use super::diary::Diary;
use super::entity::{label, track};

async fn seed(db: &DatabaseConnection) -> Result<i32, DbErr> {
    let label = label::ActiveModel { name: Set("Pages".to_owned()), ..Default::default() }.insert(db).await?;
    let tracks = (1..=23).map(|number| track::ActiveModel {
        label_id: Set(label.id),
        number: Set(number),
        title: Set(format!("track {number}")),
        plays: Set(i64::from(number % 5)),
    });
    track::Entity::insert_many(tracks).exec(db).await?;
    Ok(label.id)
}

fn numbers(tracks: Vec<track::Model>) -> Vec<i32> {
    tracks.into_iter().map(|track| track.number).collect()
}

pub async fn pages(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("pages");
    let other = db.clone();
    let id = seed(db).await?;
    let find =
        || track::Entity::find().filter(track::Column::LabelId.eq(id)).order_by_asc(track::Column::Number);
    let pages = find().paginate(&other, 5);
    let all = pages.num_items_and_pages().await?;
    diary.note("items and pages", (all.number_of_items, all.number_of_pages));
    diary.note("third", numbers(pages.fetch_page(2).await?));
    let mut pages = find().paginate(db, 10);
    while let Some(page) = pages.fetch_and_next().await? {
        diary.note("page", numbers(page));
    }
    let mut stream = find().paginate(&other, 7).into_stream();
    while let Some(page) = stream.try_next().await? {
        diary.note("streamed page", numbers(page));
    }
    let cursor =
        || track::Entity::find().filter(track::Column::LabelId.eq(id)).cursor_by(track::Column::Number);
    diary.note("first", numbers(cursor().first(4).all(&other).await?));
    diary.note("after", numbers(cursor().after(4).first(4).all(db).await?));
    diary.note("last before", numbers(cursor().before(20).last(3).all(&other).await?));
    let two = track::Entity::find().cursor_by((track::Column::LabelId, track::Column::Number));
    diary.note("by two", numbers({ two }.after((id, 21)).first(9).all(db).await?));
    let offset = find().limit(3).offset(6).all(&other).await?;
    diary.note("limit and offset", numbers(offset));
    diary.note("count", find().filter(track::Column::Plays.eq(0)).count(db).await?);
    Ok(diary)
}

pub async fn streams(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("streams");
    let find =
        || track::Entity::find().order_by_asc(track::Column::LabelId).order_by_asc(track::Column::Number);
    let other = db.clone();
    let streamed: Vec<track::Model> = find().stream(&other).await?.try_collect().await?;
    diary.note("all", numbers(streamed));
    let mut stream = find().filter(track::Column::Number.gt(5)).stream(db).await?;
    let mut sum = 0;
    while let Some(track) = stream.next().await {
        let track = track?;
        // Another statement while the stream is open.
        let same = track::Entity::find_by_id((track.label_id, track.number)).one(&other).await?;
        sum += same.map_or(0, |track| track.plays);
    }
    drop(stream);
    diary.note("plays", sum);
    let mut half = find().stream(db).await?;
    diary.note("one of many", half.try_next().await?.map(|track| track.number));
    drop(half);
    let names: Vec<String> = label::Entity::find()
        .filter(label::Column::Name.eq("Pages"))
        .select_only()
        .column(label::Column::Name)
        .into_tuple()
        .stream(&other)
        .await?
        .try_collect()
        .await?;
    diary.note("tuples", names);
    for plays in 10..15 {
        let all = track::Entity::update_many().col_expr(track::Column::Plays, Expr::value(plays));
        let rows = all.exec(db).await?.rows_affected;
        let streamed: Vec<track::Model> = find().stream(&other).await?.try_collect().await?;
        let same = streamed.iter().filter(|track| track.plays == plays).count();
        diary.note("after an update", (rows, same));
    }
    Ok(diary)
}
