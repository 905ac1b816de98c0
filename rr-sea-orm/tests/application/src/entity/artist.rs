use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "artist")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i32,
    #[sea_orm(unique)]
    pub name: String,
    pub born: Option<i32>,
    #[sea_orm(has_one)]
    pub biography: HasOne<super::biography::Entity>,
    #[sea_orm(has_many)]
    pub albums: HasMany<super::album::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
