// A blog, written for diesel-async alone; included under several meanings of that name.

use diesel::dsl::{count_star, exists};
use diesel::prelude::*;
use diesel::upsert::excluded;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::{bb8, deadpool};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl, SaveChangesDsl,
    SimpleAsyncConnection, TransactionManager,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use futures_util::TryStreamExt;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("tests/migrations");

diesel::table! {
    post (id) {
        id -> Integer,
        title -> Text,
        likes -> Integer,
    }
}
diesel::table! {
    comment (id) {
        id -> Integer,
        post_id -> Integer,
        text -> Text,
    }
}
diesel::joinable!(comment -> post (post_id));
diesel::allow_tables_to_appear_in_same_query!(post, comment);

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Identifiable, Selectable, AsChangeset)]
#[diesel(table_name = post)]
struct Post {
    id: i32,
    title: String,
    likes: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Identifiable, Selectable, Associations)]
#[diesel(table_name = comment, belongs_to(Post))]
struct Comment {
    id: i32,
    post_id: i32,
    text: String,
}

#[derive(Debug, QueryableByName)]
struct Flag {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    flag: bool,
}

type Error = Box<dyn std::error::Error>;

async fn publish(conn: &mut AsyncPgConnection, title: &str) -> QueryResult<Post> {
    diesel::insert_into(post::table)
        .values(post::title.eq(title))
        .returning(Post::as_returning())
        .get_result(conn)
        .await
}

async fn like(conn: &mut AsyncPgConnection, id: i32) -> QueryResult<i32> {
    conn.transaction(async |conn| {
        let likes: i32 = post::table.find(id).select(post::likes).for_update().first(conn).await?;
        diesel::update(post::table.find(id)).set(post::likes.eq(likes + 1)).execute(conn).await?;
        post::table.find(id).select(post::likes).first(conn).await
    })
    .await
}

async fn page(conn: &mut AsyncPgConnection, page: i64) -> QueryResult<Vec<String>> {
    post::table.order(post::id).select(post::title).limit(2).offset(2 * page).load(conn).await
}

/// Does what applications do, and writes down all that it saw.
pub(crate) async fn story(url: &str) -> Result<Vec<String>, Error> {
    let mut saw = Vec::new();
    let mut harness = AsyncMigrationHarness::new(AsyncPgConnection::establish(url).await?);
    let ran = harness.run_pending_migrations(MIGRATIONS).map_err(|error| error.to_string())?.len();
    saw.push(format!("{ran} migrations"));
    let mut conn = harness.into_inner();
    let mut first = publish(&mut conn, "first").await?;
    let bb8: bb8::Pool<AsyncPgConnection> =
        bb8::Pool::builder().build(AsyncDieselConnectionManager::<AsyncPgConnection>::new(url)).await?;
    let deadpool: deadpool::Pool<AsyncPgConnection> =
        deadpool::Pool::builder(AsyncDieselConnectionManager::new(url)).build()?;
    let mut one = bb8.get().await?;
    let mut two = deadpool.get().await?;
    for number in 0..5 {
        let written = publish(&mut one, &format!("post {number}")).await?;
        let read: Post = post::table.find(written.id).select(Post::as_select()).first(&mut two).await?;
        saw.push(format!("{read:?}"));
        saw.push(format!("{} likes", like(&mut two, written.id).await?));
        let found: i32 = post::table.find(written.id).select(post::likes).first(&mut one).await?;
        saw.push(format!("{found} found"));
    }
    let twice = publish(&mut one, "first").await;
    saw.push(format!("{twice:?}"));
    first.likes = 40;
    let saved: Post = (&first).save_changes(&mut *two).await?;
    saw.push(format!("{saved:?}"));
    let comments: Vec<_> =
        (0..3).map(|n| (comment::post_id.eq(first.id), comment::text.eq(format!("c{n}")))).collect();
    saw.push(format!("{:?}", diesel::insert_into(comment::table).values(&comments).execute(&mut one).await?));
    let theirs: Vec<Comment> =
        Comment::belonging_to(&first).select(Comment::as_select()).order(comment::id).load(&mut two).await?;
    saw.push(format!("{theirs:?}"));
    let joined: Vec<(String, Option<String>)> = post::table
        .left_join(comment::table)
        .select((post::title, comment::text.nullable()))
        .order((post::id, comment::id))
        .load(&mut one)
        .await?;
    saw.push(format!("{joined:?}"));
    let upserted: Post = diesel::insert_into(post::table)
        .values((post::title.eq("first"), post::likes.eq(7)))
        .on_conflict(post::title)
        .do_update()
        .set(post::likes.eq(excluded(post::likes)))
        .returning(Post::as_returning())
        .get_result(&mut one)
        .await?;
    saw.push(format!("{} {}", upserted.title, upserted.likes));
    for number in 0..4 {
        saw.push(format!("{:?}", page(&mut two, number).await?));
    }
    let counts: Vec<(i32, i64)> = comment::table
        .group_by(comment::post_id)
        .select((comment::post_id, count_star()))
        .load(&mut one)
        .await?;
    saw.push(format!("{counts:?}"));
    let nested = one
        .transaction::<_, diesel::result::Error, _>(async |conn| {
            diesel::delete(comment::table).execute(conn).await?;
            let inner = conn
                .transaction::<(), diesel::result::Error, _>(async |conn| {
                    diesel::update(post::table).set(post::likes.eq(0)).execute(conn).await?;
                    Err(diesel::result::Error::RollbackTransaction)
                })
                .await;
            let likes: i64 = post::table.filter(post::likes.gt(0)).count().get_result(conn).await?;
            Ok((inner, likes))
        })
        .await?;
    saw.push(format!("{nested:?}"));
    let left: bool = diesel::select(exists(comment::table.select(comment::id))).get_result(&mut two).await?;
    saw.push(format!("{left} left"));
    AnsiTransactionManager::begin_transaction(&mut conn).await?;
    publish(&mut conn, "by hand").await?;
    AnsiTransactionManager::commit_transaction(&mut conn).await?;
    let strict = conn.build_transaction().serializable().read_only().deferrable().run(async |conn| page(conn, 3).await).await;
    saw.push(format!("{strict:?}"));
    let streamed: Vec<String> =
        post::table.select(post::title).order(post::title).load_stream(&mut one).await?.try_collect().await?;
    saw.push(format!("{streamed:?}"));
    conn.batch_execute("UPDATE post SET likes = likes + 1; UPDATE post SET likes = likes + 1").await?;
    let sum: Option<i64> = post::table.select(diesel::dsl::sum(post::likes)).first(&mut two).await?;
    saw.push(format!("{sum:?}"));
    let raw: Flag = diesel::sql_query("SELECT bool_or(mood = 'calm') AS flag FROM post").get_result(&mut two).await?;
    saw.push(format!("{}", raw.flag));
    conn.test_transaction::<_, diesel::result::Error, _>(async |conn| {
        publish(conn, "never").await?;
        Ok(())
    })
    .await;
    let all: i64 = post::table.count().get_result(&mut one).await?;
    saw.push(format!("{all} posts"));
    Ok(saw)
}

/// Whether a standby answers.
pub(crate) async fn where_am_i(url: &str) -> Result<bool, Error> {
    let pool: bb8::Pool<AsyncPgConnection> =
        bb8::Pool::builder().build(AsyncDieselConnectionManager::new(url)).await?;
    let flag: Flag =
        diesel::sql_query("SELECT on_standby() AS flag FROM post").get_result(&mut pool.get().await?).await?;
    Ok(flag.flag)
}
