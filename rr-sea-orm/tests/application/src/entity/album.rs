use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "album")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i32,
    pub artist_id: i32,
    pub title: String,
    pub year: i32,
    pub stock: i32,
    #[sea_orm(belongs_to, from = "artist_id", to = "id", on_delete = "Cascade")]
    pub artist: BelongsTo<super::artist::Entity>,
    #[sea_orm(has_many, via = "album_genre")]
    pub genres: HasMany<super::genre::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
