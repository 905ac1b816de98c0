// The same blog, written for Diesel's own connections. It is included under several meanings of `Conn` and `Pool`, and knows of none.
//
// Each chapter uses two handles: what one wrote the other must see.

use diesel::connection::{DefaultLoadingMode, LoadConnection, SimpleConnection, TransactionManager};
use diesel::dsl::{count, count_star, exists, max, not, sum};
use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_types::{Array, BigInt, Integer, Text};
use diesel::upsert::{excluded, on_constraint};
use diesel::{insert_into, sql_query};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use serde_json::json;

use crate::models::*;

type Whatever = Box<dyn std::error::Error + Send + Sync>;

/// How often the visits are counted: each time by one scan of their table.
pub(crate) const VISITS: i32 = 20;

/// Brings the database up to date, twice, as applications do when several of them start.
pub(crate) fn migrate(
    conn: &mut Conn,
    migrations: fn() -> EmbeddedMigrations,
) -> Result<[usize; 2], Whatever> {
    let first = conn.run_pending_migrations(migrations())?.len();
    let second = conn.run_pending_migrations(migrations())?.len();
    Ok([first, second])
}

/// Does what applications do, and writes down all that it saw.
pub(crate) fn story(pool: &Pool) -> Result<Story, Whatever> {
    let mut one = pool.get()?;
    let mut two = pool.get()?;
    let mut saw = Story::new();
    macro_rules! chapters {
        ($($chapter:ident),+ $(,)?) => {$(
            let told = $chapter(&mut one, &mut two).map_err(|error| format!("{}: {error}", stringify!($chapter)))?;
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
    let mut own = pool.get()?;
    saw.push(("session", session(&mut own)?));
    Ok(saw)
}

/// Whether a standby answers.
pub(crate) fn is_served_by_a_replica(pool: &Pool) -> Result<bool, Whatever> {
    let mut conn = pool.get()?;
    let flag: Flag = sql_query("SELECT on_standby() AS flag FROM visit LIMIT 1").get_result(&mut conn)?;
    Ok(flag.flag)
}

fn write_author(conn: &mut Conn, name: &str, mood: Mood) -> QueryResult<Author> {
    let new = NewAuthor {
        name,
        mood,
        moods: vec![Some(mood), None],
        wanted: None,
        profile: json!({ "name": name }),
    };
    insert_into(author::table).values(new).returning(Author::as_returning()).get_result(conn)
}

fn write_post(conn: &mut Conn, author_id: i32, title: &str) -> QueryResult<Post> {
    let new = NewPost { author_id, title: title.to_owned(), body: None };
    insert_into(post::table).values(&new).returning(Post::as_returning()).get_result(conn)
}

include!("blocking_story/rows.rs");
include!("blocking_story/statements.rs");
