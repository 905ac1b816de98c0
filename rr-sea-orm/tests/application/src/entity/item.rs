use sea_orm::FromJsonQueryResult;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Enum", enum_name = "medium")]
pub enum Medium {
    #[sea_orm(string_value = "vinyl")]
    Vinyl,
    #[sea_orm(string_value = "tape")]
    Tape,
    #[sea_orm(string_value = "disc")]
    Disc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i32", db_type = "Integer")]
pub enum Grade {
    #[sea_orm(num_value = 1)]
    Mint,
    #[sea_orm(num_value = 2)]
    Good,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, FromJsonQueryResult)]
pub struct Size {
    pub width: i32,
    pub height: i32,
}

/// One of every type.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "item")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub medium: Medium,
    pub other: Option<Medium>,
    pub media: Vec<Medium>,
    pub grade: Grade,
    pub size: Size,
    #[sea_orm(column_type = "JsonBinary")]
    pub notes: Json,
    pub words: Vec<String>,
    pub numbers: Option<Vec<i32>>,
    #[sea_orm(column_type = "Decimal(Some((10, 2)))")]
    pub price: Decimal,
    pub bought: Date,
    pub at: Time,
    pub seen: DateTimeUtc,
    pub weight: f64,
    #[sea_orm(column_type = "VarBinary(StringLen::None)")]
    pub cover: Vec<u8>,
    pub big: i64,
    pub sold: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
