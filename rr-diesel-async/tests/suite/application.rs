// An application that was written for diesel-async alone, with its names in every place where one can stand; included
// under several meanings of that name.

use diesel::prelude::*;
use diesel_async::pg::TransactionBuilder;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::{bb8, deadpool};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection, TransactionManager,
};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use crate::models::{Flag, author};

/// The blog that rr-diesel's tests know under other types.
mod blog {
    use super::diesel_async;

    type Conn = diesel_async::AsyncPgConnection;
    type Pool = diesel_async::pooled_connection::bb8::Pool<Conn>;

    include!("../../../rr-diesel/tests/application/story.rs");
}

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../rr-diesel/tests/application/migrations");

type Error = Box<dyn std::error::Error + Send + Sync>;

async fn visits(conn: &mut AsyncPgConnection, name: &str) -> QueryResult<i32> {
    author::table.filter(author::name.eq(name)).select(author::visits).first(conn).await
}

async fn by_hand(one: &mut AsyncPgConnection, two: &mut AsyncPgConnection) -> QueryResult<Vec<i32>> {
    let add = |visits: i32| {
        diesel::update(author::table.filter(author::name.eq("Ann"))).set(author::visits.eq(author::visits + visits))
    };
    let mut saw = vec![visits(two, "Ann").await?];
    AnsiTransactionManager::begin_transaction(one).await?;
    add(100).execute(one).await?;
    saw.push(visits(two, "Ann").await?);
    AnsiTransactionManager::commit_transaction(one).await?;
    saw.push(visits(two, "Ann").await?);
    two.batch_execute("UPDATE author SET visits = visits + 1; UPDATE author SET visits = visits + 1").await?;
    saw.push(visits(one, "Ann").await?);
    let mut reading: TransactionBuilder<'_, AsyncPgConnection> = two.build_transaction().read_only();
    saw.push(reading.run(async |conn| visits(conn, "Ann").await).await?);
    Ok(saw)
}

/// Does what applications do, and writes down all that it saw.
pub(crate) async fn story(url: &str) -> Result<Vec<(&'static str, String)>, Error> {
    let migrated = blog::migrate(AsyncPgConnection::establish(url).await?, || MIGRATIONS).await?;
    let bb8: bb8::Pool<AsyncPgConnection> =
        bb8::Pool::builder().build(AsyncDieselConnectionManager::<AsyncPgConnection>::new(url)).await?;
    let mut saw = blog::story(&bb8).await?;
    let deadpool: deadpool::Pool<AsyncPgConnection> =
        deadpool::Pool::builder(AsyncDieselConnectionManager::new(url)).build()?;
    let by_hand = by_hand(&mut *bb8.get().await?, &mut *deadpool.get().await?).await?;
    saw.push(("by hand", format!("{migrated:?} {by_hand:?} {}", blog::VISITS)));
    Ok(saw)
}

/// Whether a standby answers.
pub(crate) async fn where_am_i(url: &str) -> Result<bool, Error> {
    let pool: bb8::Pool<AsyncPgConnection> =
        bb8::Pool::builder().build(AsyncDieselConnectionManager::new(url)).await?;
    let one = diesel::sql_query("SELECT on_standby() AS flag").get_result::<Flag>(&mut pool.get().await?).await?;
    Ok(one.flag && blog::is_served_by_a_replica(&pool).await?)
}
