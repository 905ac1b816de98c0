//! Handles as arguments of axum's handlers, and handles that refuse to write.

use axum::Router;
use axum::body::Body;
use axum::extract::FromRef;
use axum::http::{Request, StatusCode};
use axum::routing::{get, post};
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_query;
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use http_body_util::BodyExt;
use rr_core::web::SessionLayer;
use rr_diesel::extract::{Primary, ReadOnly};
use rr_diesel::{RoutedPgConnection, RoutedPool};
use tower::ServiceExt;

use crate::support::{PATIENCE, Result, boot, note, place, pool, until};

/// An application whose state is more than the database.
#[derive(Clone)]
struct AppState {
    database: RoutedPool,
    greeting: &'static str,
}

impl FromRef<AppState> for RoutedPool {
    fn from_ref(state: &AppState) -> Self {
        state.database.clone()
    }
}

fn told<T>(result: QueryResult<T>) -> std::result::Result<T, (StatusCode, String)> {
    result.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

type Told = std::result::Result<String, (StatusCode, String)>;

async fn insert(conn: &mut RoutedPgConnection) -> QueryResult<usize> {
    diesel::insert_into(note::table).values(note::text.eq("written")).execute(conn).await
}

async fn read(conn: &mut RoutedPgConnection) -> Told {
    let count: i64 = told(note::table.count().get_result(conn).await)?;
    Ok(format!("{count} {}", if told(place(conn).await)?.standby { "standby" } else { "primary" }))
}

fn application(database: &RoutedPool) -> Router {
    let greet = |state: axum::extract::State<AppState>| async move { state.greeting };
    Router::new()
        .route("/greet", get(greet))
        .route("/routed", get(async |mut conn: RoutedPgConnection| read(&mut conn).await))
        .route("/reading", get(async |ReadOnly(mut conn): ReadOnly| read(&mut conn).await))
        .route("/primary", get(async |Primary(mut conn): Primary| read(&mut conn).await))
        .route(
            "/routed",
            post(async |mut conn: RoutedPgConnection| told(insert(&mut conn).await).map(|n| n.to_string())),
        )
        .route(
            "/reading",
            post(async |ReadOnly(mut conn): ReadOnly| told(insert(&mut conn).await).map(|n| n.to_string())),
        )
        .layer(SessionLayer::new(database.router()))
        .with_state(AppState { database: database.clone(), greeting: "hello" })
}

async fn ask(app: &Router, method: &str, path: &str) -> Result<(StatusCode, String)> {
    let request = Request::builder().method(method).uri(path).body(Body::empty())?;
    let response = app.clone().oneshot(request).await?;
    let status = response.status();
    Ok((status, String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?))
}

#[tokio::test]
async fn handlers_get_handles_that_keep_what_they_promise() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    let app = application(&pool);
    let ok = |text: &str| (StatusCode::OK, text.to_owned());
    until("a standby to serve", async || Ok(ask(&app, "GET", "/routed").await? == ok("0 standby"))).await?;
    assert_eq!(ask(&app, "GET", "/greet").await?, ok("hello"));
    assert_eq!(ask(&app, "GET", "/reading").await?, ok("0 standby"));
    assert_eq!(ask(&app, "GET", "/primary").await?, ok("0 primary"));
    assert_eq!(ask(&app, "POST", "/routed").await?, ok("1"));
    let (status, text) = ask(&app, "POST", "/reading").await?;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(text.contains("this handle only reads"), "{text}");
    assert_eq!(ask(&app, "GET", "/primary").await?, ok("1 primary"), "nothing was written");
    Ok(())
}

#[tokio::test]
async fn whoever_asks_after_the_shutdown_is_told_in_words_without_secrets() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    let app = application(&pool);
    pool.router().shutdown().await;
    for path in ["/routed", "/reading", "/primary"] {
        let (status, text) = ask(&app, "GET", path).await?;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {text}");
        assert_eq!(text, "the database is not available: this process is shutting down");
    }
    Ok(())
}

fn refused<T: std::fmt::Debug>(result: QueryResult<T>) -> bool {
    matches!(&result, Err(Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, information))
        if information.message().contains("this handle only reads"))
}

#[tokio::test]
async fn a_handle_that_only_reads_sends_no_write_to_any_server() -> Result {
    let cluster = boot(1).await?;
    cluster.primary().set("log_statement", "all").await?;
    cluster.replica(1)?.set("log_statement", "all").await?;
    let pool = pool(&cluster).await?;
    let conn = &mut pool.handle().read_only();
    assert!(refused(insert(conn).await));
    let returning = diesel::insert_into(note::table).values(note::text.eq("written")).returning(note::id);
    assert!(refused(returning.get_result::<i32>(conn).await));
    assert!(refused(sql_query("UPDATE note SET text = 'written'").execute(conn).await));
    assert!(refused(conn.batch_execute("SELECT 1; INSERT INTO note (text) VALUES ('written')").await));
    assert!(refused(sql_query("SET application_name = 'written'").execute(conn).await));
    assert!(refused(conn.primary().await.map(drop)));
    assert!(refused(conn.build_transaction().read_write().run(async |_| Ok::<_, Error>(())).await));
    let within = conn.transaction::<(), Error, _>(async |conn| {
        assert!(place(conn).await?.standby, "it runs where a read would");
        insert(conn).await.map(drop)
    });
    assert!(refused(within.await));
    let read: i64 = note::table.count().get_result(conn).await?;
    conn.batch_execute("SELECT 1").await?;
    let serializable = conn.build_transaction().serializable();
    let read_exactly: i64 =
        { serializable }.run(async |conn| note::table.count().get_result::<i64>(conn).await).await?;
    assert_eq!((read, read_exactly), (0, 0));
    assert!(cluster.primary().log().contains("statement: SELECT 1"), "what is sent is in the log");
    for node in cluster.nodes() {
        assert!(!node.log().contains("written"), "{}", node.log_tail());
    }
    Ok(())
}

#[tokio::test]
async fn what_only_a_server_can_know_to_be_a_write_the_server_refuses() -> Result {
    let cluster = boot(1).await?;
    let writes = "CREATE FUNCTION add() RETURNS bigint LANGUAGE sql AS \
                  'INSERT INTO note (text) VALUES (''by a function'') RETURNING id::bigint'";
    cluster.primary().sql(writes).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let pool = pool(&cluster).await?;
    let add = async |conn: &mut RoutedPgConnection| {
        sql_query("SELECT add() AS n, true AS standby").get_result::<crate::support::Seen>(conn).await
    };
    let conn = &mut pool.handle().read_only();
    until("a standby to serve", async || Ok(place(conn).await?.standby)).await?;
    assert!(refused(add(conn).await), "a standby is asked first");
    // Now the primary has to serve, where nobody else would refuse; and nothing has been learned there.
    cluster.replica(1)?.pause_replay().await?;
    let pool = crate::support::pool(&cluster).await?;
    insert(&mut pool.handle()).await?;
    let conn = &mut pool.handle().read_only();
    assert!(!place(conn).await?.standby);
    assert!(refused(add(conn).await));
    let lent = conn.replica().await?;
    assert!(sql_query("SELECT add()").execute(lent).await.is_err(), "a primary that was lent to read");
    let count: i64 = note::table.count().get_result(&mut pool.handle()).await?;
    assert_eq!(count, 1);
    Ok(())
}
