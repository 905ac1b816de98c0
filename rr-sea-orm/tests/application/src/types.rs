//! JSON, enums, arrays and the rest, there and back.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::extension::postgres::PgExpr;
use sea_orm::{IntoActiveModel, QueryOrder, QuerySelect};
use serde_json::json;

use super::database::DatabaseConnection;
use super::diary::Diary;
use super::entity::item::{ActiveModel, Column, Entity, Grade, Medium, Model, Size};

fn item(number: u128) -> Option<Model> {
    let day = Date::from_ymd_opt(2024, 2, 29)?;
    let at = Time::from_hms_milli_opt(23, 59, 58, 123)?;
    Some(Model {
        id: Uuid::from_u128(number),
        medium: Medium::Vinyl,
        other: number.is_multiple_of(2).then_some(Medium::Tape),
        media: vec![Medium::Disc, Medium::Vinyl],
        grade: Grade::Good,
        size: Size { width: 3, height: 4 },
        notes: json!({ "number": number.to_string(), "tags": ["ä", "\"quoted\"", null], "deep": { "er": 1.5 } }),
        words: vec!["one".to_owned(), "two, three".to_owned(), "{four}".to_owned()],
        numbers: number.is_multiple_of(3).then(|| vec![1, 2, 3]),
        price: Decimal::new(12345, 2),
        bought: day,
        at,
        seen: day.and_time(at).and_utc(),
        weight: 0.1 + 0.2,
        cover: vec![0, 255, 39, 92],
        big: i64::MAX,
        sold: number % 2 == 1,
    })
}

pub async fn round_trips(db: &DatabaseConnection) -> Result<Diary, DbErr> {
    let mut diary = Diary::chapter("types");
    let other = db.clone();
    for number in 0..4 {
        let item = item(number).ok_or(DbErr::RecordNotInserted)?;
        let inserted = item.clone().into_active_model().insert(db).await?;
        diary.note("as it was", inserted == item);
        let read = Entity::find_by_id(item.id).one(&other).await?;
        diary.note("read again", read.as_ref() == Some(&item));
        diary.note("all of it", read);
    }
    let find = || Entity::find().order_by_asc(Column::Id);
    diary.note("by enum", find().filter(Column::Medium.eq(Medium::Vinyl)).count(db).await?);
    diary.note("by another", find().filter(Column::Other.eq(Medium::Tape)).count(&other).await?);
    diary
        .note("in enums", find().filter(Column::Medium.is_in([Medium::Tape, Medium::Disc])).count(db).await?);
    diary.note("by grade", find().filter(Column::Grade.eq(Grade::Good)).count(&other).await?);
    let words = Expr::col(Column::Words).contains(vec!["one".to_owned()]);
    diary.note("by array", find().filter(words).count(db).await?);
    let json = Expr::cust_with_values("notes @> $1::jsonb", [json!({ "number": "2" })]);
    diary.note("by JSON", find().filter(json).all(&other).await?.len());
    let media: Vec<(Medium, Vec<Medium>)> =
        find().select_only().column(Column::Medium).column(Column::Media).into_tuple().all(db).await?;
    diary.note("tuples of enums", media);
    let change = ActiveModel {
        id: Set(Uuid::from_u128(1)),
        medium: Set(Medium::Disc),
        media: Set(vec![]),
        size: Set(Size { width: 5, height: 6 }),
        notes: Set(json!([1, 2])),
        numbers: Set(None),
        price: Set(Decimal::new(-1, 2)),
        ..Default::default()
    };
    diary.note("changed", change.update(&other).await?);
    diary.note("read", find().filter(Column::Medium.eq(Medium::Disc)).all(db).await?);
    let many = Entity::update_many().col_expr(Column::Other, Column::Other.save_as(Expr::val(Medium::Disc)));
    diary.note("all of them", many.exec(db).await?.rows_affected);
    diary.note("read", find().filter(Column::Other.eq(Medium::Disc)).count(&other).await?);
    Ok(diary)
}
