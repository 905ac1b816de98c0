//! The whole story, in order.

use sea_orm::DbErr;

use super::database::DatabaseConnection;
use super::diary::Diary;
use super::{crowd, graph, paging, raw, reading, schema, transactions, types, writing};

/// Does what applications do, and says all that it saw. It begins with an empty database, whatever was there.
pub async fn story(db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let chapters = [
        schema::migrations(db).await?,
        schema::registry(db).await?,
        schema::sync(db).await?,
        schema::passing_tables(db).await?,
        writing::one_by_one(db).await?,
        writing::many(db).await?,
        writing::upserts(db).await?,
        writing::refusals(db).await?,
        reading::relations(db).await?,
        reading::loaders(db).await?,
        reading::links(db).await?,
        paging::pages(db).await?,
        paging::streams(db).await?,
        transactions::by_hand(db).await?,
        transactions::closures(db).await?,
        transactions::options(db).await?,
        transactions::in_turns(db).await?,
        graph::nested(db).await?,
        graph::cascades(db).await?,
        types::round_trips(db).await?,
        raw::statements(db).await?,
        raw::built(db).await?,
        crowd::tasks(db).await?,
        crowd::sessions(db).await?,
    ];
    Ok(chapters.into_iter().flat_map(Diary::lines).collect())
}
