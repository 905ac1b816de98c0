//! What Diesel's own connections can do besides queries.

use std::sync::{Arc, Mutex};

use diesel::connection::InstrumentationEvent;
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{RoutedConnection, place, pool};
use crate::support::{Result, boot, note, until};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("tests/migrations");

#[tokio::test(flavor = "multi_thread")]
async fn migrations_run_on_the_primary() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    let conn = &mut pool.handle();
    // Stale, the table of migrations would let them run twice.
    cluster.replica(1)?.pause_replay().await?;
    let ran = conn.run_pending_migrations(MIGRATIONS).map_err(|error| error.to_string())?.len();
    assert_eq!(ran, 2);
    let again = pool.handle().run_pending_migrations(MIGRATIONS).map_err(|error| error.to_string())?.len();
    assert_eq!(again, 0);
    assert!(!pool.handle().has_pending_migration(MIGRATIONS).map_err(|error| error.to_string())?);
    let reverted = pool.handle().revert_all_migrations(MIGRATIONS).map_err(|error| error.to_string())?.len();
    assert_eq!(reverted, 2);
    Ok(())
}

#[derive(diesel::MultiConnection)]
enum AnyConnection {
    Routed(RoutedConnection),
    Plain(PgConnection),
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_a_variant_of_a_multi_connection() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    let url = cluster.primary().url();
    for mut conn in
        [AnyConnection::Routed(pool.handle()), AnyConnection::Plain(PgConnection::establish(url.as_str())?)]
    {
        let conn = &mut conn;
        let before = note::table.count().get_result::<i64>(conn)?;
        for text in ["a", "b"] {
            diesel::insert_into(note::table)
                .values((note::text.eq(text), note::stars.eq(3)))
                .execute(conn)?;
        }
        conn.transaction::<_, Error, _>(|conn| {
            diesel::update(note::table.filter(note::text.eq("b"))).set(note::stars.eq(5)).execute(conn)
        })?;
        let stars: Vec<i32> = note::table.filter(note::text.eq("b")).select(note::stars).load(conn)?;
        assert!(stars.iter().all(|stars| *stars == 5));
        assert_eq!(note::table.count().get_result::<i64>(conn)?, before + 2);
    }
    // And its reads are on the standby.
    let mut conn = AnyConnection::Routed(pool.handle());
    until("reads on the standby", async || {
        let before = pool.router().routed("replica-1", rr_core::RouteReason::Replica);
        note::table.count().get_result::<i64>(&mut conn)?;
        Ok(pool.router().routed("replica-1", rr_core::RouteReason::Replica) > before)
    })
    .await?;
    Ok(())
}

#[derive(Debug, PartialEq, Queryable, Identifiable, AsChangeset)]
#[diesel(table_name = note)]
struct Note {
    id: i32,
    text: String,
    stars: i32,
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_saved_on_the_primary_and_seen() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    let conn = &mut pool.handle();
    assert!(place(conn)?.standby);
    cluster.replica(1)?.pause_replay().await?;
    let mut own: Note = diesel::insert_into(note::table).values(note::text.eq("a")).get_result(conn)?;
    own.stars = 4;
    let saved = own.save_changes::<Note>(conn)?;
    assert_eq!(saved, own);
    assert_eq!(note::table.find(own.id).first::<Note>(&mut pool.handle())?, own);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_are_read_back_and_failures_are_told() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    let conn = &mut pool.handle();
    let copy = |lines: &'static str| {
        diesel::copy_from(note::table).from_raw_data((note::id, note::text, note::stars), move |out| {
            std::io::Write::write_all(out, lines.as_bytes())
                .map_err(|error| Error::SerializationError(Box::new(error)))
        })
    };
    assert_eq!(copy("1\traw\t5\n2\traw\t6\n").execute(conn)?, 2);
    assert_eq!(note::table.select(note::stars).order(note::id).load::<i32>(&mut pool.handle())?, [5, 6]);
    let refused = copy("1\ttwice\t5\n").execute(conn);
    assert!(refused.unwrap_err().to_string().contains("duplicate key"));
    assert_eq!(note::table.count().get_result::<i64>(conn)?, 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn instrumentation_sees_the_applications_statements_and_no_others() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    let conn = &mut pool.handle();
    let seen = Arc::new(Mutex::new(Vec::new()));
    conn.set_instrumentation({
        let seen = Arc::clone(&seen);
        move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::StartQuery { query, .. } = event {
                seen.lock().unwrap().push(query.to_string());
            }
        }
    });
    sql_query("SELECT 1").execute(conn)?;
    conn.transaction::<_, Error, _>(|conn| {
        diesel::insert_into(note::table).values(note::text.eq("a")).execute(conn)
    })?;
    sql_query("SELECT 2").execute(&mut pool.handle())?;
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert!(seen[0].starts_with("SELECT 1") && seen[1] == "BEGIN" && seen[3] == "COMMIT", "{seen:?}");
    assert!(seen[2].contains("INSERT INTO") && seen[2].contains(r#"["a"]"#), "{seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_arrive_on_the_connection_that_listens() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster)?;
    let conn = &mut pool.handle();
    assert_eq!(conn.notifications_iter().count(), 0);
    sql_query("LISTEN news").execute(conn)?;
    sql_query("NOTIFY news, 'hello'").execute(&mut pool.handle())?;
    let mut heard = Vec::new();
    until("the notification", async || {
        heard.extend(conn.notifications_iter().collect::<QueryResult<Vec<_>>>()?);
        Ok(!heard.is_empty())
    })
    .await?;
    assert_eq!(heard.iter().map(|news| news.payload.as_str()).collect::<Vec<_>>(), ["hello"]);
    Ok(())
}
