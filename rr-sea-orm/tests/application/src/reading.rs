//! Relations, joins and loaders.

use sea_orm::entity::prelude::*;
use sea_orm::{
    ActiveValue::Set, DerivePartialModel, FromQueryResult, JoinType, QueryOrder, QuerySelect, RelationTrait,
};

use super::database::DatabaseConnection;
use super::diary::Diary;
use super::entity::{album, album_genre, artist, biography, genre, label, track};

#[derive(Debug, DerivePartialModel)]
#[sea_orm(entity = "artist::Entity")]
pub struct Named {
    pub name: String,
}

#[derive(Debug, DerivePartialModel)]
#[sea_orm(entity = "album::Entity", from_query_result)]
pub struct Titled {
    pub title: String,
    #[sea_orm(nested)]
    pub artist: Option<Named>,
}

#[derive(Debug, FromQueryResult)]
pub struct Stock {
    pub name: String,
    pub albums: i64,
    pub stock: Option<i64>,
}

async fn seed(db: &DatabaseConnection) -> Result<Vec<artist::Model>, DbErr> {
    let artists = ["Holly", "Ivy", "Joan"];
    let artists =
        artists.map(|name| artist::ActiveModel { name: Set(name.to_owned()), ..Default::default() });
    let artists = artist::Entity::insert_many(artists).exec_with_returning(db).await?;
    let text = Set("born by the sea".to_owned());
    biography::ActiveModel { text, artist_id: Set(artists[0].id), ..Default::default() }.insert(db).await?;
    let genres = genre::Entity::find().order_by_asc(genre::Column::Id).all(db).await?;
    for (index, artist) in [&artists[0], &artists[0], &artists[1]].into_iter().enumerate() {
        let number = i32::try_from(index).unwrap_or_default();
        let album = album::ActiveModel {
            artist_id: Set(artist.id),
            title: Set(format!("{} {number}", artist.name)),
            year: Set(1970 + number),
            stock: Set(number * 10),
            ..Default::default()
        };
        let album = album.insert(db).await?;
        let links = genres[..=index].iter();
        let links =
            links.map(|genre| album_genre::ActiveModel { album_id: Set(album.id), genre_id: Set(genre.id) });
        album_genre::Entity::insert_many(links).exec(db).await?;
    }
    Ok(artists)
}

pub async fn relations(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("relations");
    let other = db.clone();
    let artists = seed(db).await?;
    let ids = || artist::Column::Id.is_in(artists.iter().map(|artist| artist.id));
    let find = || artist::Entity::find().filter(ids()).order_by_asc(artist::Column::Id);
    diary.note(
        "albums of one",
        artists[0].find_related(album::Entity).order_by_asc(album::Column::Id).all(&other).await?,
    );
    diary.note("also", find().find_also_related(biography::Entity).all(&other).await?);
    diary
        .note("with", find().find_with_related(album::Entity).order_by_asc(album::Column::Id).all(db).await?);
    let many = album::Entity::find().order_by_asc(album::Column::Id).find_with_related(genre::Entity);
    diary.note("many to many", many.order_by_asc(genre::Column::Id).all(&other).await?);
    let both = find().left_join(album::Entity).select_also(album::Entity).order_by_asc(album::Column::Id);
    diary.note("joined", both.all(db).await?);
    let stock = find()
        .select_only()
        .column(artist::Column::Name)
        .column_as(album::Column::Id.count(), "albums")
        .column_as(album::Column::Stock.sum(), "stock")
        .join(JoinType::LeftJoin, artist::Relation::Album.def())
        .group_by(artist::Column::Id);
    diary.note("counted", stock.into_model::<Stock>().all(&other).await?);
    let titled = album::Entity::find().left_join(artist::Entity).order_by_asc(album::Column::Title);
    diary.note("partly", titled.into_partial_model::<Titled>().all(db).await?);
    let tuples: Vec<(i32, String)> = find()
        .select_only()
        .columns([artist::Column::Id, artist::Column::Name])
        .into_tuple()
        .all(&other)
        .await?;
    diary.note("tuples", tuples.len());
    diary.note("as JSON", find().into_json().all(db).await?);
    diary.note("exists", find().filter(artist::Column::Name.eq("Ivy")).exists(&other).await?);
    diary.note("lazily", artists[1].find_related(biography::Entity).one(&other).await?);
    Ok(diary)
}

pub async fn loaders(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("loaders");
    let other = db.clone();
    let artists = artist::Entity::find().order_by_asc(artist::Column::Id).all(&other).await?;
    diary.note("one", artists.load_one(biography::Entity, db).await?);
    let albums = artists.load_many(album::Entity::find().order_by_asc(album::Column::Id), &other).await?;
    diary.note("many", &albums);
    let albums: Vec<album::Model> = albums.into_iter().flatten().collect();
    diary.note("back", albums.load_one(artist::Entity, db).await?);
    let genres = genre::Entity::find().order_by_asc(genre::Column::Id);
    diary.note("many to many", albums.load_many_to_many(genres, album_genre::Entity, &other).await?);
    let smart = artist::Entity::load()
        .with(biography::Entity)
        .with((album::Entity, genre::Entity))
        .order_by_asc(artist::COLUMN.id)
        .all(db)
        .await?;
    diary.note("smart", smart);
    Ok(diary)
}

pub async fn links(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("links");
    let other = db.clone();
    let label = |name: &str, parent: Option<i32>| label::ActiveModel {
        name: Set(name.to_owned()),
        parent_id: Set(parent),
        ..Default::default()
    };
    let owner = label("Owner", None).insert(db).await?;
    let owned = label("Owned", Some(owner.id)).insert(&other).await?;
    diary.note("linked", owned.find_linked(label::Owner).one(db).await?);
    let tracks = (1..=3).map(|number| track::ActiveModel {
        label_id: Set(owned.id),
        number: Set(number),
        title: Set(format!("track {number}")),
        plays: Set(i64::from(number) * 100),
    });
    track::Entity::insert_many(tracks).exec(db).await?;
    let both = label::Entity::find_by_id(owned.id).find_with_related(track::Entity);
    diary.note("tracks", both.order_by_asc(track::Column::Number).all(&other).await?);
    let also = label::Entity::find_by_id(owned.id).find_also_linked(label::Owner).one(&other).await?;
    diary.note("also linked", also);
    diary.note("by a key of two", track::Entity::find_by_id((owned.id, 2)).one(db).await?);
    label::Entity::delete_by_id(owned.id).exec(db).await?;
    diary.note(
        "cascaded",
        track::Entity::find().filter(track::Column::LabelId.eq(owned.id)).count(&other).await?,
    );
    Ok(diary)
}
