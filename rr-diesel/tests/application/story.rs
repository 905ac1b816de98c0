// A blog, written for diesel-async. It is included under several meanings of `Conn` and `Pool`, and knows of none.
//
// Each chapter uses two handles: what one wrote the other must see.

use diesel::dsl::{count, count_star, exists, max, not, sum};
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_types::{Array, BigInt, Integer, Text};
use diesel::upsert::{excluded, on_constraint};
use diesel::{insert_into, sql_query};
use diesel_async::{
    AsyncConnection, AsyncMigrationHarness, RunQueryDsl, SaveChangesDsl, SimpleAsyncConnection,
    TransactionManager,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::json;

use crate::models::*;

type Whatever = Box<dyn std::error::Error + Send + Sync>;

/// How often the visits are counted: each time by one scan of their table.
pub(crate) const VISITS: i32 = 20;

/// Brings the database up to date, twice, as applications do when several of them start.
pub(crate) async fn migrate(
    conn: Conn,
    migrations: fn() -> EmbeddedMigrations,
) -> Result<[usize; 2], Whatever> {
    let mut harness = AsyncMigrationHarness::new(conn);
    let first = harness.run_pending_migrations(migrations())?.len();
    let mut harness = AsyncMigrationHarness::new(harness.into_inner());
    let second = harness.run_pending_migrations(migrations())?.len();
    Ok([first, second])
}

/// Does what applications do, and writes down all that it saw.
pub(crate) async fn story(pool: &Pool) -> Result<Story, Whatever> {
    let mut one = pool.get().await?;
    let mut two = pool.get().await?;
    let mut saw = Story::new();
    macro_rules! chapters {
        ($($chapter:ident),+ $(,)?) => {$(
            let told = $chapter(&mut one, &mut two).await.map_err(|error| format!("{}: {error}", stringify!($chapter)))?;
            saw.push((stringify!($chapter), told));
        )+};
    }
    chapters!(
        crud,
        batches,
        joins,
        associations,
        upserts,
        saved_changes,
        enums,
        json_values,
        transactions,
        options,
        streams,
        raw_sql,
        pages,
        dynamic_queries,
        errors,
        generic,
        at_the_same_time,
        visits,
    );
    let mut own = pool.get().await?;
    saw.push(("session", session(&mut own).await?));
    Ok(saw)
}

/// Whether a standby answers.
pub(crate) async fn is_served_by_a_replica(pool: &Pool) -> Result<bool, Whatever> {
    let mut conn = pool.get().await?;
    let flag: Flag =
        sql_query("SELECT on_standby() AS flag FROM visit LIMIT 1").get_result(&mut conn).await?;
    Ok(flag.flag)
}

async fn write_author(conn: &mut Conn, name: &str, mood: Mood) -> QueryResult<Author> {
    let new = NewAuthor {
        name,
        mood,
        moods: vec![Some(mood), None],
        wanted: None,
        profile: json!({ "name": name }),
    };
    insert_into(author::table).values(new).returning(Author::as_returning()).get_result(conn).await
}

async fn write_post(conn: &mut Conn, author_id: i32, title: &str) -> QueryResult<Post> {
    let new = NewPost { author_id, title: title.to_owned(), body: None };
    insert_into(post::table).values(&new).returning(Post::as_returning()).get_result(conn).await
}

include!("story/rows.rs");
include!("story/statements.rs");
