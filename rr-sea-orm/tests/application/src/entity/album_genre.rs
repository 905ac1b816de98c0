use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "album_genre")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub album_id: i32,
    #[sea_orm(primary_key, auto_increment = false)]
    pub genre_id: i32,
    #[sea_orm(belongs_to, from = "album_id", to = "id", on_delete = "Cascade")]
    pub album: BelongsTo<super::album::Entity>,
    #[sea_orm(belongs_to, from = "genre_id", to = "id", on_delete = "Cascade")]
    pub genre: BelongsTo<super::genre::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
