//! Whole graphs of records, saved and deleted at once.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::{EntityLoaderTrait, IntoActiveModel, ModelTrait, QueryOrder};

use super::database::DatabaseConnection;
use super::diary::Diary;
use super::entity::{album, album_genre, artist, biography, genre};

pub async fn nested(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("nested");
    let other = db.clone();
    let jazz = genre::Entity::find_by_name("jazz").one(&other).await?.ok_or(DbErr::RecordNotInserted)?;
    let blues = album::ActiveModel::builder()
        .set_title("blues")
        .set_year(1999)
        .set_stock(1)
        .add_genre(jazz.clone().into_active_model())
        .add_genre(genre::ActiveModel::builder().set_name("blues"));
    let greens = album::ActiveModel::builder()
        .set_title("greens")
        .set_year(2001)
        .set_stock(2)
        .add_genre(jazz.into_active_model());
    let artist = artist::ActiveModel::builder()
        .set_name("Pia")
        .set_biography(biography::ActiveModel::builder().set_text("plays everything"))
        .add_album(blues)
        .add_album(greens)
        .save(db)
        .await?;
    let id = artist.id.clone().unwrap();
    let load = || {
        let load = artist::Entity::load().filter_by_id(id).with(biography::Entity);
        load.with((album::Entity, genre::Entity))
    };
    diary.note("saved", load().one(&other).await?);
    let mut artist = artist;
    artist.albums[0].title = Set("deep blues".to_owned());
    artist.biography.as_mut().ok_or(DbErr::RecordNotInserted)?.text = Set("plays nothing".to_owned());
    let mut artist = artist.save(&other).await?;
    diary.note("changed", load().one(db).await?);
    artist.albums.replace_all([album::ActiveModel::builder().set_title("reds").set_year(2002).set_stock(3)]);
    let artist = artist.save(db).await?;
    diary.note("replaced", load().one(&other).await?);
    diary.note(
        "links",
        album_genre::Entity::find().order_by_asc(album_genre::Column::AlbumId).count(&other).await?,
    );
    let links = genre::Entity::find_by_name("blues").find_with_related(album::Entity).all(db).await?;
    diary.note("without albums", links);
    diary.note("deleted", artist.delete(&other).await?.rows_affected);
    diary.note("gone", load().one(db).await?);
    diary.note(
        "their biography",
        biography::Entity::find().filter(biography::Column::ArtistId.eq(id)).count(&other).await?,
    );
    Ok(diary)
}

pub async fn cascades(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("cascades");
    let other = db.clone();
    for round in 0..5 {
        let saved = artist::ActiveModel::builder()
            .set_name(format!("Quinn {round}"))
            .set_biography(biography::ActiveModel::builder().set_text("short"))
            .add_album(album::ActiveModel::builder().set_title("only").set_year(round).set_stock(0))
            .save(db)
            .await?;
        let id = saved.id.clone().unwrap();
        let model = artist::Entity::find_by_id(id).one(&other).await?.ok_or(DbErr::RecordNotInserted)?;
        diary.note("theirs", model.find_related(album::Entity).all(db).await?.len());
        if round == 1 {
            diary.note("cascaded by its model", model.cascade_delete(&other).await?.rows_affected);
        } else if round % 2 == 0 {
            let loaded =
                artist::Entity::load().filter_by_id(id).one(&other).await?.ok_or(DbErr::RecordNotInserted)?;
            diary.note("cascaded by SeaORM", loaded.delete(db).await?.rows_affected);
        } else {
            diary.note("cascaded by the server", ModelTrait::delete(model, db).await?.rows_affected);
        }
        let left = album::Entity::find().filter(album::Column::ArtistId.eq(id)).count(&other).await?;
        diary.note("left", left);
    }
    Ok(diary)
}
