//! Every way to write, and what is read after it through another clone of the handle.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveValue::{NotSet, Set, Unchanged},
    ExprTrait, IntoActiveModel, QueryOrder, QueryTrait, TryInsertResult,
};

use super::database::DatabaseConnection;
use super::diary::Diary;
use super::entity::{artist, genre, label, track};

fn artist(name: &str, born: impl Into<Option<i32>>) -> artist::ActiveModel {
    artist::ActiveModel { name: Set(name.to_owned()), born: Set(born.into()), ..Default::default() }
}

pub async fn one_by_one(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("one by one");
    let other = db.clone();
    for number in 0..10 {
        let made = artist(&format!("artist {number}"), 1900 + number).insert(db).await?;
        diary.note("inserted", artist::Entity::find_by_id(made.id).one(&other).await?);
        let mut changing = made.clone().into_active_model();
        changing.born = Set(None);
        let changed = changing.update(&other).await?;
        diary.note("updated", &changed);
        diary.note("read", artist::Entity::find_by_id(made.id).one(db).await?);
        let saved =
            artist::ActiveModel { born: Set(Some(number)), ..changed.into_active_model() }.save(db).await?;
        diary.note("saved", &saved);
        diary.note(
            "found",
            artist::Entity::find().filter(artist::Column::Born.eq(number)).count(&other).await?,
        );
        if number % 2 == 0 {
            diary.note("deleted", saved.delete(&other).await?.rows_affected);
            diary.note("gone", artist::Entity::find_by_id(made.id).one(db).await?);
        }
    }
    let found =
        artist::Entity::find_by_name("artist 3").one(&other).await?.ok_or(DbErr::RecordNotInserted)?;
    diary.note("by its unique name", &found);
    diary.note("deleted", found.delete(db).await?.rows_affected);
    diary.note("by its id", artist::Entity::delete_by_id(2).exec(db).await?.rows_affected);
    diary.note("left", artist::Entity::find().order_by_asc(artist::Column::Id).all(&other).await?);
    Ok(diary)
}

pub async fn many(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("many");
    let other = db.clone();
    let result = artist::Entity::insert_many([artist("Ann", 1), artist("Bob", 2)]).exec(db).await?;
    diary.note("last id", result.last_insert_id);
    diary.note(
        "all",
        artist::Entity::find().filter(artist::Column::Name.is_in(["Ann", "Bob"])).all(&other).await?,
    );
    let models =
        artist::Entity::insert_many([artist("Cid", 3), artist("Dan", None)]).exec_with_returning(db).await?;
    diary.note("returned", &models);
    let keys = artist::Entity::insert_many([artist("Eve", 5), artist("Fay", 6)])
        .exec_with_returning_keys(&other)
        .await?;
    diary.note("keys", &keys);
    diary.note("by key", artist::Entity::find_by_id(keys[1]).one(db).await?);
    let none = artist::Entity::insert_many::<artist::ActiveModel, _>([]).exec_with_returning(db).await?;
    diary.note("nothing", none);
    let count = artist::Entity::insert(artist("Gus", 7)).exec_without_returning(db).await?;
    diary.note("without returning", count);
    let update = artist::Entity::update_many()
        .col_expr(artist::Column::Born, Expr::col(artist::Column::Born).add(1900))
        .filter(artist::Column::Born.is_in([1, 2, 3]));
    diary.note("updated", update.exec(db).await?.rows_affected);
    let update = artist::Entity::update_many()
        .col_expr(artist::Column::Name, Expr::cust("upper(name)"))
        .filter(artist::Column::Born.gt(1900));
    let mut names = update.exec_with_returning(db).await?;
    names.sort_by_key(|artist| artist.id);
    diary.note("returned", names);
    diary.note("upper", artist::Entity::find().filter(artist::Column::Name.eq("ANN")).one(&other).await?);
    let gone = artist::Entity::delete_many()
        .filter(artist::Column::Born.is_null())
        .exec_with_returning(&other)
        .await?;
    diary.note("deleted", gone);
    diary.note("left", artist::Entity::find().count(db).await?);
    let one = artist::Entity::delete(artist::ActiveModel { id: Unchanged(keys[0]), ..Default::default() });
    diary.note("one more", one.exec_with_returning(db).await?);
    let left: Vec<String> = artist::Entity::find()
        .order_by_asc(artist::Column::Name)
        .all(&other)
        .await?
        .into_iter()
        .map(|a| a.name)
        .collect();
    diary.note("left", left);
    Ok(diary)
}

pub async fn upserts(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("upserts");
    let other = db.clone();
    let genre = |name: &str| genre::ActiveModel { id: NotSet, name: Set(name.to_owned()) };
    let nothing = OnConflict::column(genre::Column::Name).do_nothing().to_owned();
    let twice = genre::Entity::insert(genre("jazz")).on_conflict(nothing.clone()).exec(db).await;
    diary.note("nothing to do", twice.err());
    let tried = genre::Entity::insert(genre("jazz"))
        .on_conflict_do_nothing_on([genre::Column::Name])
        .exec(db)
        .await?;
    diary.note("tried", matches!(tried, TryInsertResult::Conflicted));
    let tried = genre::Entity::insert_many([genre("jazz"), genre("punk")])
        .on_conflict(nothing)
        .exec_without_returning(db);
    diary.note("one of two", tried.await?);
    diary.note("punk", genre::Entity::find_by_name("punk").count(&other).await?);
    let label = label::ActiveModel { name: Set("Blue".to_owned()), ..Default::default() }.insert(db).await?;
    for plays in [3, 4, 5] {
        let track = track::ActiveModel {
            label_id: Set(label.id),
            number: Set(1),
            title: Set(format!("title {plays}")),
            plays: Set(plays),
        };
        let add = OnConflict::columns([track::Column::LabelId, track::Column::Number])
            .update_column(track::Column::Title)
            .value(
                track::Column::Plays,
                Expr::col((track::Entity, track::Column::Plays)).add(Expr::cust("excluded.plays")),
            )
            .to_owned();
        let upserted = track::Entity::insert(track).on_conflict(add).exec_with_returning(db).await?;
        diary.note("upserted", &upserted);
        diary.note("read", track::Entity::find_by_id((label.id, 1)).one(&other).await?);
    }
    diary.note("statement", genre::Entity::insert(genre("x")).build(db.get_database_backend()).to_string());
    Ok(diary)
}

/// Errors are SeaORM's own, and what an application's behaviour asks for is up to date.
pub async fn refusals(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("refusals");
    let other = db.clone();
    artist("Zoe", 1).insert(db).await?;
    diary.note("twice", artist("Zoe", 2).insert(&other).await.unwrap_err().sql_err());
    let orphan =
        track::ActiveModel { label_id: Set(9999), number: Set(1), title: Set("x".to_owned()), plays: Set(0) };
    diary.note("an orphan", orphan.insert(db).await.unwrap_err().sql_err());
    let nobody = artist::ActiveModel { id: Unchanged(9999), name: Set("x".to_owned()), ..Default::default() };
    diary.note("nobody", nobody.update(db).await);
    for name in ["Red", "Green", "Red"] {
        let made = label::ActiveModel { name: Set(name.to_owned()), ..Default::default() }.insert(db).await;
        diary.note(name, made.map(|label| (label.name, label.saved)));
    }
    let red = label::Entity::find().filter(label::Column::Name.eq("Red")).one(&other).await?;
    let mut red = red.ok_or(DbErr::RecordNotInserted)?.into_active_model();
    red.name = Set("Crimson".to_owned());
    diary.note("behaved", red.update(&other).await?.saved);
    Ok(diary)
}
