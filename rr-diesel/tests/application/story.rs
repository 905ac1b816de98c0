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
    AsyncConnection, AsyncMigrationHarness, RunQueryDsl, SaveChangesDsl, SimpleAsyncConnection, TransactionManager,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::json;

use crate::models::*;

type Whatever = Box<dyn std::error::Error + Send + Sync>;

/// How often the visits are counted: each time by one scan of their table.
pub(crate) const VISITS: i32 = 20;

/// Brings the database up to date, twice, as applications do when several of them start.
pub(crate) async fn migrate(conn: Conn, migrations: fn() -> EmbeddedMigrations) -> Result<[usize; 2], Whatever> {
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
        crud, batches, joins, associations, upserts, saved_changes, enums, json_values, transactions, options, streams,
        raw_sql, pages, dynamic_queries, errors, generic, at_the_same_time, visits,
    );
    let mut own = pool.get().await?;
    saw.push(("session", session(&mut own).await?));
    Ok(saw)
}

/// Whether a standby answers.
pub(crate) async fn is_served_by_a_replica(pool: &Pool) -> Result<bool, Whatever> {
    let mut conn = pool.get().await?;
    let flag: Flag = sql_query("SELECT on_standby() AS flag FROM visit LIMIT 1").get_result(&mut conn).await?;
    Ok(flag.flag)
}

async fn write_author(conn: &mut Conn, name: &str, mood: Mood) -> QueryResult<Author> {
    let new = NewAuthor { name, mood, moods: vec![Some(mood), None], wanted: None, profile: json!({ "name": name }) };
    insert_into(author::table).values(new).returning(Author::as_returning()).get_result(conn).await
}

async fn write_post(conn: &mut Conn, author_id: i32, title: &str) -> QueryResult<Post> {
    let new = NewPost { author_id, title: title.to_owned(), body: None };
    insert_into(post::table).values(&new).returning(Post::as_returning()).get_result(conn).await
}

async fn crud(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let mut saw = Vec::new();
    let ann = write_author(one, "Ann", Mood::Calm).await?;
    let found: Author = author::table.find(ann.id).select(Author::as_select()).first(two).await?;
    saw.push(format!("{}", ann == found));
    for round in 0..5 {
        let changed =
            diesel::update(author::table.find(ann.id)).set(author::visits.eq(author::visits + 1)).execute(two).await?;
        let visits: i32 = author::table.find(ann.id).select(author::visits).first(one).await?;
        saw.push(format!("{round}: {changed} {visits}"));
    }
    let post = write_post(two, ann.id, "crud").await?;
    let body: Option<String> = post::table.find(post.id).select(post::body).get_result(one).await?;
    saw.push(format!("{post:?} {body:?}"));
    let gone: Post = diesel::delete(post::table.find(post.id)).returning(Post::as_returning()).get_result(one).await?;
    let after: Option<Post> = post::table.find(gone.id).select(Post::as_select()).first(two).await.optional()?;
    saw.push(format!("{gone:?} {after:?}"));
    saw.push(format!("{:?}", author::table.count().get_result::<i64>(two).await?));
    saw.push(told(author::table.find(-1).select(author::name).first::<String>(two).await));
    Ok(saw.join("\n"))
}

async fn batches(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let bob = write_author(one, "Bob", Mood::Wild).await?.id;
    let posts: Vec<_> = (0..40)
        .map(|n| NewPost { author_id: bob, title: format!("batch {n}"), body: (n % 3 == 0).then(|| format!("text {n}")) })
        .collect();
    let ids: Vec<i32> = insert_into(post::table).values(&posts).returning(post::id).get_results(one).await?;
    let theirs = post::table.filter(post::author_id.eq(bob));
    let read: Vec<(i32, String, Option<String>)> =
        theirs.select((post::id, post::title, post::body)).order(post::id).load(two).await?;
    let touched = diesel::update(theirs.filter(post::body.is_null())).set(post::likes.eq(1)).execute(two).await?;
    let likes: Option<i64> = theirs.select(sum(post::likes)).first(one).await?;
    let copied = insert_into(comment::table)
        .values(theirs.filter(post::likes.eq(0)).select((post::id, post::title)))
        .into_columns((comment::post_id, comment::text))
        .execute(two)
        .await?;
    let comments: Vec<Comment> = comment::table.select(Comment::as_select()).order(comment::id).load(one).await?;
    let removed = diesel::delete(comment::table.filter(comment::id.gt(3))).execute(one).await?;
    let left: Vec<i32> = comment::table.select(comment::id).order(comment::id).load(two).await?;
    let none = insert_into(post::table).values(&Vec::<NewPost>::new()).execute(one).await?;
    Ok(format!("{ids:?} {read:?} {touched} {likes:?} {copied} {comments:?} {removed} {left:?} {none}"))
}

async fn joins(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let eve = write_author(two, "Eve", Mood::Tired).await?.id;
    let first = write_post(one, eve, "joined").await?.id;
    write_post(two, eve, "lonely").await?;
    insert_into(comment::table)
        .values(&[(comment::post_id.eq(first), comment::text.eq("a")), (comment::post_id.eq(first), comment::text.eq("b"))])
        .execute(one)
        .await?;
    let inner: Vec<(String, String, String)> = comment::table
        .inner_join(post::table.inner_join(author::table))
        .filter(author::id.eq(eve))
        .select((author::name, post::title, comment::text))
        .order(comment::id)
        .load(two)
        .await?;
    let left: Vec<(Post, Option<Comment>)> = post::table
        .left_join(comment::table)
        .filter(post::author_id.eq(eve))
        .select((Post::as_select(), Option::<Comment>::as_select()))
        .order((post::id, comment::id))
        .load(one)
        .await?;
    let counted: Vec<(String, i64, Option<i32>)> = author::table
        .left_join(post::table)
        .group_by(author::id)
        .having(count(post::id.nullable()).gt(0))
        .select((author::name, count(post::id.nullable()), max(post::likes.nullable())))
        .order(author::id)
        .load(two)
        .await?;
    let (mine, theirs) = diesel::alias!(post as mine, post as theirs);
    let pairs: Vec<(String, String)> = mine
        .inner_join(theirs.on(mine.field(post::author_id).eq(theirs.field(post::author_id))))
        .filter(mine.field(post::author_id).eq(eve))
        .filter(mine.field(post::id).lt(theirs.field(post::id)))
        .select((mine.field(post::title), theirs.field(post::title)))
        .load(one)
        .await?;
    Ok(format!("{inner:?} {left:?} {counted:?} {pairs:?}"))
}

async fn associations(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let eve: Author = author::table.filter(author::name.eq("Eve")).select(Author::as_select()).first(one).await?;
    let posts: Vec<Post> = Post::belonging_to(&eve).select(Post::as_select()).order(post::id).load(two).await?;
    let comments: Vec<Comment> =
        Comment::belonging_to(&posts).select(Comment::as_select()).order(comment::id).load(one).await?;
    let grouped: Vec<(Post, Vec<Comment>)> =
        comments.grouped_by(&posts).into_iter().zip(posts).map(|(comments, post)| (post, comments)).collect();
    let added: Comment = insert_into(comment::table)
        .values((comment::post_id.eq(grouped[1].0.id), comment::text.eq("not lonely")))
        .returning(Comment::as_returning())
        .get_result(one)
        .await?;
    let there: Vec<String> = Comment::belonging_to(&grouped[1].0).select(comment::text).load(two).await?;
    Ok(format!("{grouped:?} {added:?} {there:?}"))
}

async fn upserts(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let id = write_author(one, "Una", Mood::Calm).await?.id;
    let mut saw = Vec::new();
    for round in 1..=4 {
        let upserted: Post = insert_into(post::table)
            .values((post::author_id.eq(id), post::title.eq("upserted"), post::likes.eq(round)))
            .on_conflict(post::title)
            .do_update()
            .set(post::likes.eq(post::likes * 10 + excluded(post::likes)))
            .returning(Post::as_returning())
            .get_result(one)
            .await?;
        let likes: i32 = post::table.find(upserted.id).select(post::likes).first(two).await?;
        saw.push(format!("{upserted:?} {likes}"));
    }
    let ignored = insert_into(author::table)
        .values((author::name.eq("Una"), author::profile.eq(json!(1))))
        .on_conflict_do_nothing()
        .execute(two)
        .await?;
    let constrained = insert_into(author::table)
        .values((author::name.eq("Una"), author::visits.eq(7)))
        .on_conflict(on_constraint("author_name_key"))
        .do_update()
        .set((author::visits.eq(excluded(author::visits)), author::mood.eq(Mood::Wild)))
        .execute(two)
        .await?;
    let una: Author = author::table.find(id).select(Author::as_select()).first(one).await?;
    Ok(format!("{saw:?} {ignored} {constrained} {una:?}"))
}

async fn saved_changes(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let una: Author = author::table.filter(author::name.eq("Una")).select(Author::as_select()).first(two).await?;
    let written = write_post(one, una.id, "draft").await?;
    let edit = Edit { id: written.id, title: None, body: Some(Some("text".to_owned())) };
    let first: Post = (&edit).save_changes(two).await?;
    let edit = Edit { id: written.id, title: Some("final".to_owned()), body: None };
    let second: Post = (&edit).save_changes(two).await?;
    let edit = Edit { id: written.id, title: None, body: Some(None) };
    let third: Post = (&edit).save_changes(one).await?;
    let read: Post = post::table.find(written.id).select(Post::as_select()).first(two).await?;
    let changed = Author { visits: 70, wanted: Some(Mood::Tired), ..una };
    let saved: Author = diesel::update(&changed).set(&changed).returning(Author::as_returning()).get_result(one).await?;
    let again: Author = author::table.find(saved.id).select(Author::as_select()).first(two).await?;
    Ok(format!("{first:?} {second:?} {third:?} {read:?} {saved:?} {}", again == saved))
}

async fn enums(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let mut saw = Vec::new();
    for (number, mood) in [Mood::Calm, Mood::Wild, Mood::Tired].into_iter().enumerate() {
        let written = write_author(one, &format!("enum {number}"), mood).await?;
        let moods = vec![Some(mood), None, Some(Mood::Calm)];
        let changed: (Vec<Option<Mood>>, Option<Mood>) = diesel::update(author::table.find(written.id))
            .set((author::moods.eq(&moods), author::wanted.eq(Some(mood))))
            .returning((author::moods, author::wanted))
            .get_result(two)
            .await?;
        let read: (Mood, Vec<Option<Mood>>, Option<Mood>) =
            author::table.find(written.id).select((author::mood, author::moods, author::wanted)).first(one).await?;
        saw.push(format!("{changed:?} {read:?}"));
    }
    let named = || author::table.filter(author::name.like("enum%")).select(author::name);
    let calm: Vec<String> = named().filter(author::mood.eq(Mood::Calm)).load(two).await?;
    let any: Vec<String> =
        named().filter(author::mood.eq_any([Mood::Wild, Mood::Tired])).order(author::mood.desc()).load(one).await?;
    let holds: Vec<String> =
        named().filter(author::moods.contains(vec![Some(Mood::Wild)])).order(author::id).load(two).await?;
    let overlaps: i64 = named()
        .filter(author::moods.overlaps_with(vec![Some(Mood::Wild), Some(Mood::Tired)]))
        .count()
        .get_result(one)
        .await?;
    let wanted: Vec<Option<Mood>> =
        author::table.filter(author::wanted.is_not_null()).select(author::wanted).order(author::id).load(two).await?;
    let bound: Vec<Word> = sql_query("SELECT name AS word FROM author WHERE mood = $1 AND name LIKE 'enum%' ORDER BY id")
        .bind::<MoodType, _>(Mood::Tired)
        .load(one)
        .await?;
    let listed: Vec<Word> = sql_query("SELECT unnest($1)::text AS word")
        .bind::<Array<MoodType>, _>(vec![Mood::Wild, Mood::Calm])
        .load(two)
        .await?;
    let most: Option<Mood> = author::table.select(max(author::mood)).first(one).await?;
    Ok(format!("{saw:?} {calm:?} {any:?} {holds:?} {overlaps} {wanted:?} {bound:?} {listed:?} {most:?}"))
}

async fn json_values(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let id = write_author(two, "Jay", Mood::Calm).await?.id;
    let profile = json!({ "langs": ["en", "it's"], "age": 7, "deep": { "x": null }, "float": 1.5 });
    diesel::update(author::table.find(id)).set(author::profile.eq(&profile)).execute(one).await?;
    let read: serde_json::Value = author::table.find(id).select(author::profile).first(two).await?;
    let holds: Vec<String> = author::table
        .filter(author::profile.contains(json!({ "langs": ["en"] })))
        .select(author::name)
        .load(two)
        .await?;
    let keyed: Vec<i32> =
        author::table.filter(author::profile.has_key("age")).select(author::visits).load(one).await?;
    let deep: Vec<Option<String>> = author::table
        .filter(author::id.eq(id))
        .select(author::profile.retrieve_as_text("age").nullable())
        .load(two)
        .await?;
    let inner: serde_json::Value =
        author::table.find(id).select(author::profile.retrieve_by_path_as_object(vec!["deep", "x"])).first(one).await?;
    Ok(format!("{} {read} {holds:?} {keyed:?} {deep:?} {inner}", read == profile))
}

async fn transactions(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let id = write_author(one, "Tom", Mood::Calm).await?.id;
    let visits = || author::table.find(id).select(author::visits);
    let add = |n: i32| diesel::update(author::table.find(id)).set(author::visits.eq(author::visits + n));
    let mut saw = Vec::new();
    let committed = one
        .transaction::<_, Error, _>(async |conn| {
            let before: i32 = visits().for_update().first(conn).await?;
            add(1).execute(conn).await?;
            let rolled_back = conn
                .transaction::<(), Error, _>(async |conn| {
                    add(10).execute(conn).await?;
                    let deeper =
                        conn.transaction::<_, Error, _>(async |conn| add(100).execute(conn).await).await?;
                    let inside: i32 = visits().first(conn).await?;
                    assert_eq!((deeper, inside), (1, before + 111));
                    Err(Error::RollbackTransaction)
                })
                .await;
            let failed = conn
                .transaction::<_, Error, _>(async |conn| {
                    insert_into(author::table).values((author::id.eq(id), author::name.eq("x"))).execute(conn).await
                })
                .await;
            let kept = conn.transaction::<_, Error, _>(async |conn| add(2).execute(conn).await).await?;
            let inside: i32 = visits().first(conn).await?;
            Ok(format!("{before} {rolled_back:?} {} {kept} {inside}", told(failed)))
        })
        .await?;
    saw.push(committed);
    saw.push(format!("{}", visits().first::<i32>(two).await?));
    let rolled_back = two
        .transaction::<(), Error, _>(async |conn| {
            add(1000).execute(conn).await?;
            Err(Error::RollbackTransaction)
        })
        .await;
    saw.push(format!("{rolled_back:?} {}", visits().first::<i32>(one).await?));
    let aborted = one
        .transaction::<i32, Error, _>(async |conn| {
            add(1000).execute(conn).await?;
            let refused = add(-10_000).execute(conn).await;
            assert!(refused.is_err());
            visits().first(conn).await
        })
        .await;
    saw.push(format!("{} {}", told(aborted), visits().first::<i32>(two).await?));
    one.test_transaction::<_, Error, _>(async |conn| {
        add(1000).execute(conn).await?;
        Ok(())
    })
    .await;
    saw.push(format!("{}", visits().first::<i32>(two).await?));
    type Manager = <Conn as AsyncConnection>::TransactionManager;
    Manager::begin_transaction(two).await?;
    add(5).execute(two).await?;
    Manager::begin_transaction(two).await?;
    add(50).execute(two).await?;
    Manager::rollback_transaction(two).await?;
    Manager::commit_transaction(two).await?;
    saw.push(format!("{} {}", visits().first::<i32>(one).await?, told(Manager::commit_transaction(one).await)));
    Ok(saw.join("\n"))
}

async fn options(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let mut saw = Vec::new();
    write_author(two, "Opt", Mood::Calm).await?;
    let named = || author::table.filter(author::name.like("Opt%")).select(author::name).order(author::id);
    let read = async |conn: &mut Conn| named().load::<String>(conn).await;
    saw.push(format!("{:?}", one.build_transaction().read_only().run(read).await?));
    let read = async |conn: &mut Conn| named().load::<String>(conn).await;
    saw.push(format!("{:?}", one.build_transaction().read_only().repeatable_read().deferrable().run(read).await?));
    let read = async |conn: &mut Conn| named().load::<String>(conn).await;
    saw.push(format!("{:?}", one.build_transaction().read_only().serializable().deferrable().run(read).await?));
    let write = async |conn: &mut Conn| -> QueryResult<usize> {
        write_author(conn, "Opt 2", Mood::Wild).await?;
        named().load::<String>(conn).await.map(|names| names.len())
    };
    saw.push(format!("{}", two.build_transaction().serializable().run(write).await?));
    saw.push(format!("{:?}", named().load::<String>(one).await?));
    let write = async |conn: &mut Conn| write_author(conn, "Opt 3", Mood::Wild).await;
    saw.push(told(one.build_transaction().read_only().run(write).await));
    let write = async |conn: &mut Conn| write_author(conn, "Opt 4", Mood::Wild).await.map(|author| author.name);
    saw.push(told(one.build_transaction().read_committed().read_write().not_deferrable().run(write).await));
    saw.push(format!("{:?}", named().load::<String>(two).await?));
    Ok(saw.join("\n"))
}

async fn streams(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let bob: i32 = author::table.filter(author::name.eq("Bob")).select(author::id).first(one).await?;
    let titles = || post::table.filter(post::author_id.eq(bob)).select(post::title).order(post::id);
    let all: Vec<String> = titles().load_stream(one).await?.try_collect().await?;
    let some: Vec<QueryResult<String>> = titles().load_stream(two).await?.take(3).collect().await;
    diesel::update(post::table.filter(post::title.eq("batch 0"))).set(post::likes.eq(9)).execute(two).await?;
    let sum: i32 = post::table
        .select(post::likes)
        .load_stream::<i32>(one)
        .await?
        .try_fold(0, |sum, likes| async move { Ok(sum + likes) })
        .await?;
    let written: Vec<i32> = diesel::update(titles_of(bob))
        .set(post::likes.eq(post::likes + 1))
        .returning(post::likes)
        .load_stream::<i32>(one)
        .await?
        .try_collect()
        .await?;
    let mut fails = sql_query("SELECT (1 / (3 - n) > 0)::bool AS flag FROM generate_series(1, 5) n")
        .load_stream::<Flag>(two)
        .await?;
    let mut rows = 0;
    let failed = loop {
        match fails.next().await {
            Some(Ok(_)) => rows += 1,
            Some(Err(error)) => break told::<()>(Err(error)),
            None => break "no failure".to_owned(),
        }
    };
    drop(fails);
    let after: i64 = post::table.filter(post::author_id.eq(bob)).count().get_result(two).await?;
    Ok(format!("{all:?} {some:?} {sum} {written:?} {rows} {failed} {after}"))
}

#[diesel::dsl::auto_type(no_type_alias)]
fn titles_of(id: i32) -> _ {
    let few: diesel::dsl::Like<post::title, &'static str> = post::title.like("batch 1%");
    post::table.filter(post::author_id.eq(id)).filter(few)
}

async fn raw_sql(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    one.batch_execute("CREATE TABLE jotting (n int); INSERT INTO jotting VALUES (1), (2); UPDATE jotting SET n = n * 10")
        .await?;
    let there: Vec<Ranked> =
        sql_query("SELECT n::text AS title, rank() OVER (ORDER BY n DESC) AS rank FROM jotting ORDER BY n")
            .load(two)
            .await?;
    let inserted = sql_query("INSERT INTO jotting SELECT n FROM generate_series($1, $2) n")
        .bind::<Integer, _>(100)
        .bind::<Integer, _>(104)
        .execute(two)
        .await?;
    let moved: Vec<Ranked> = sql_query(
        "WITH gone AS (DELETE FROM jotting WHERE n > $1 RETURNING n) SELECT n::text AS title, n::bigint AS rank FROM gone \
         ORDER BY n",
    )
    .bind::<BigInt, _>(102)
    .load(one)
    .await?;
    let recursive: Vec<Ranked> = sql_query(
        "WITH RECURSIVE up (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM up WHERE n < 4) \
         SELECT $1 || up.n AS title, count(j.n) AS rank FROM up, jotting j GROUP BY up.n ORDER BY up.n",
    )
    .bind::<Text, _>("row ")
    .load(two)
    .await?;
    let fragment: Vec<(String, i64)> = post::table
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("length(title) = ").bind::<Integer, _>(7))
        .select((lower(post::title), diesel::dsl::sql::<BigInt>("likes::bigint * 2")))
        .order(post::id)
        .load(one)
        .await?;
    sql_query("CREATE FUNCTION jot(n int) RETURNS bool LANGUAGE sql VOLATILE AS 'INSERT INTO jotting VALUES (n); SELECT true'")
        .execute(one)
        .await?;
    let jotted: Flag = sql_query("SELECT jot(7) AS flag").get_result(two).await?;
    let count: Flag = sql_query("SELECT count(*) = 6 AS flag FROM jotting").get_result(one).await?;
    sql_query("DROP FUNCTION jot").execute(two).await?;
    sql_query("DROP TABLE jotting").execute(one).await?;
    let gone = told(sql_query("SELECT true AS flag FROM jotting").get_result::<Flag>(two).await);
    Ok(format!("{there:?} {inserted} {moved:?} {recursive:?} {fragment:?} {jotted:?} {count:?} {gone}"))
}

async fn pages(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let bob: i32 = author::table.filter(author::name.eq("Bob")).select(author::id).first(two).await?;
    let mut saw = Vec::new();
    for page in [0, 1, 13, 14] {
        let query = post::table.filter(post::author_id.eq(bob)).order(post::id).select(Post::as_select());
        let rows: Vec<(Post, i64)> = query.paginate(page).load(one).await?;
        saw.push(format!("{rows:?}"));
        let plain: Vec<String> = post::table.order(post::id).select(post::title).limit(4).offset(4 * page).load(two).await?;
        saw.push(format!("{plain:?}"));
    }
    Ok(saw.join("\n"))
}

async fn dynamic_queries(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let mut saw = Vec::new();
    for (text, likes) in [(None, None), (Some("batch 1%"), None), (None, Some(1)), (Some("batch 2%"), Some(1))] {
        let mut query = post::table.select(post::title).order(post::id.desc()).limit(5).into_boxed();
        if let Some(text) = text {
            query = query.filter(post::title.like(text));
        }
        if let Some(likes) = likes {
            query = query.filter(post::likes.ge(likes)).or_filter(post::title.eq("final"));
        }
        saw.push(format!("{:?}", query.load::<String>(one).await?));
    }
    let busy = author::table
        .filter(exists(post::table.filter(post::author_id.eq(author::id)).filter(post::likes.gt(0))))
        .select(author::name)
        .order(author::name);
    let idle = author::table
        .filter(not(exists(post::table.filter(post::author_id.eq(author::id)))))
        .filter(author::id.ne_all(vec![1, 2]))
        .select(author::name)
        .order(author::name);
    saw.push(format!("{:?} {:?}", busy.load::<String>(two).await?, idle.clone().load::<String>(one).await?));
    let both: Vec<String> = busy.union(idle).load(two).await.map(|mut names: Vec<String>| {
        names.sort();
        names
    })?;
    let distinct: Vec<(i32, String)> = post::table
        .distinct_on(post::author_id)
        .select((post::author_id, post::title))
        .order((post::author_id, post::id.desc()))
        .load(one)
        .await?;
    let within: Vec<String> = post::table
        .filter(post::author_id.eq_any(author::table.filter(author::mood.eq(Mood::Tired)).select(author::id)))
        .select(post::title)
        .order(post::id)
        .load(two)
        .await?;
    let there: bool = diesel::select(exists(post::table.filter(post::title.eq("final")))).get_result(one).await?;
    let counts: Vec<(Option<String>, i64)> = post::table
        .filter(post::likes.gt(1))
        .group_by(post::body)
        .select((post::body, count_star()))
        .order(post::body.asc().nulls_first())
        .load(two)
        .await?;
    Ok(format!("{saw:?} {both:?} {distinct:?} {within:?} {there} {counts:?}"))
}

async fn errors(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let ann: i32 = author::table.filter(author::name.eq("Ann")).select(author::id).first(one).await?;
    let mut saw = vec![told(write_author(one, "Ann", Mood::Calm).await)];
    saw.push(told(write_post(two, -1, "nobody's").await));
    saw.push(told(diesel::update(author::table.find(ann)).set(author::visits.eq(-1)).execute(one).await));
    saw.push(told(sql_query("SELECT nonsense").execute(two).await));
    saw.push(told(sql_query("SELEKT 1").execute(one).await));
    saw.push(told(sql_query("SELECT * FROM nowhere").execute(two).await));
    saw.push(told(sql_query("SELECT 1 / 0 AS flag").execute(one).await));
    saw.push(told(sql_query("INSERT INTO visit VALUES (1)").execute(two).await));
    saw.push(told(one.batch_execute("INSERT INTO visit VALUES (-1, 'x'); SELECT 1 / 0").await));
    saw.push(told(author::table.filter(author::id.gt(10_000)).select(author::id).first::<i32>(two).await));
    saw.push(format!("{:?}", visit::table.count().get_result::<i64>(one).await?));
    Ok(saw.join("\n"))
}

/// Code that was written for any connection.
async fn newest<C: AsyncConnection<Backend = diesel::pg::Pg>>(conn: &mut C, added: &str) -> QueryResult<Option<i32>> {
    conn.transaction(async |conn: &mut C| {
        insert_into(author::table).values(author::name.eq(added)).execute(conn).await?;
        QueryResult::Ok(())
    })
    .await?;
    author::table.select(max(author::id)).first(conn).await
}

async fn generic(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let (first, second) = (newest(one, "generic").await?, newest(&mut &mut *two, "generic 2").await?);
    Ok(format!("{first:?} {second:?}"))
}

async fn at_the_same_time(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let names = ["Ann", "Bob", "Eve", "Una"];
    diesel::update(author::table.filter(author::name.eq_any(names))).set(author::visits.eq(3)).execute(two).await?;
    let shared = &*one;
    let visits = async |name: &str| {
        author::table.filter(author::name.eq(name)).select(author::visits).first::<i32>(&mut &*shared).await
    };
    let together = futures_util::try_join!(visits("Ann"), visits("Bob"), visits("Eve"), visits("Una"))?;
    let (mine, theirs) = futures_util::try_join!(
        author::table.select(max(author::visits)).first::<Option<i32>>(one),
        author::table.count().get_result::<i64>(two),
    )?;
    let inside = two
        .transaction::<_, Error, _>(async |conn| {
            let shared = &*conn;
            let add = |name: &'static str| {
                diesel::update(author::table.filter(author::name.eq(name))).set(author::visits.eq(author::visits + 1))
            };
            let both = futures_util::try_join!(
                add("Ann").execute(&mut &*shared),
                add("Bob").execute(&mut &*shared),
            )?;
            Ok(both)
        })
        .await?;
    let after: Vec<i32> = author::table
        .filter(author::name.eq_any(names))
        .select(author::visits)
        .order(author::name)
        .load(one)
        .await?;
    Ok(format!("{together:?} {mine:?} {theirs} {inside:?} {after:?}"))
}

/// What one handle wrote the other counts, each time.
async fn visits(one: &mut Conn, two: &mut Conn) -> QueryResult<String> {
    let mut counted = Vec::new();
    for id in 0..VISITS {
        insert_into(visit::table).values((visit::id.eq(id), visit::page.eq("home"))).execute(one).await?;
        counted.push(visit::table.count().get_result::<i64>(two).await?);
    }
    Ok(format!("{counted:?}"))
}

/// What belongs to a connection stays with the handle.
async fn session(own: &mut Conn) -> QueryResult<String> {
    sql_query("SET statement_timeout = '77s'").execute(own).await?;
    let limit: Word = sql_query("SELECT current_setting('statement_timeout') AS word").get_result(own).await?;
    own.batch_execute("CREATE TEMP TABLE basket (what text)").await?;
    sql_query("INSERT INTO basket VALUES ('apple')").execute(own).await?;
    let basket: Vec<Word> = sql_query("SELECT what AS word FROM basket").load(own).await?;
    let locked: Flag = sql_query("SELECT pg_try_advisory_lock(42) AS flag").get_result(own).await?;
    let unlocked: Flag = sql_query("SELECT pg_advisory_unlock(42) AS flag").get_result(own).await?;
    let id = insert_into(author::table).values(author::name.eq("Sue")).returning(author::id).get_result::<i32>(own).await?;
    let last: Flag =
        sql_query("SELECT currval('author_id_seq') = $1 AS flag").bind::<Integer, _>(id).get_result(own).await?;
    sql_query("PREPARE named AS SELECT name AS word FROM author ORDER BY id DESC LIMIT 1").execute(own).await?;
    let named: Word = sql_query("EXECUTE named").get_result(own).await?;
    sql_query("DEALLOCATE named").execute(own).await?;
    own.batch_execute("DROP TABLE basket; RESET statement_timeout").await?;
    let reset: Word = sql_query("SELECT current_setting('statement_timeout') AS word").get_result(own).await?;
    Ok(format!("{limit:?} {basket:?} {locked:?} {unlocked:?} {last:?} {named:?} {reset:?}"))
}
