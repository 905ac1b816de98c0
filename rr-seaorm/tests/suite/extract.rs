//! Handles as arguments of axum's handlers, and handles that refuse to write.

use axum::Router;
use axum::body::Body;
use axum::extract::FromRef;
use axum::http::{Request, StatusCode};
use axum::routing::{get, post};
use futures_util::TryStreamExt;
use http_body_util::BodyExt;
use rr_core::web::SessionLayer;
use rr_seaorm::extract::{Primary, ReadOnly};
use rr_seaorm::{RoutedConnection, RoutingError, routing_error};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    AccessMode, ActiveModelTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, IsolationLevel,
    StreamTrait, TransactionTrait,
};
use tower::ServiceExt;

use crate::support::{PATIENCE, Result, ask, boot, connect, note, notes, on_standby, raw, standby_serves};

/// An application whose state is more than the database.
#[derive(Clone)]
struct AppState {
    database: RoutedConnection,
    greeting: &'static str,
}

impl FromRef<AppState> for RoutedConnection {
    fn from_ref(state: &AppState) -> Self {
        state.database.clone()
    }
}

type Told = std::result::Result<String, (StatusCode, String)>;

fn told<T>(result: std::result::Result<T, DbErr>) -> std::result::Result<T, (StatusCode, String)> {
    result.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

fn written() -> note::ActiveModel {
    note::ActiveModel { text: Set("written".to_owned()), ..Default::default() }
}

async fn insert(db: &impl ConnectionTrait) -> Told {
    told(note::Entity::insert(written()).exec_without_returning(db).await).map(|count| count.to_string())
}

async fn read(db: &RoutedConnection) -> Told {
    let place = if told(on_standby(db).await)? { "standby" } else { "primary" };
    Ok(format!("{} {place}", told(notes(db).await)?))
}

fn application(database: &RoutedConnection) -> Router {
    let greet = |state: axum::extract::State<AppState>| async move { state.greeting };
    Router::new()
        .route("/greet", get(greet))
        .route("/routed", get(async |db: RoutedConnection| read(&db).await))
        .route("/reading", get(async |ReadOnly(db): ReadOnly| read(&db).await))
        .route("/primary", get(async |Primary(db): Primary| read(&db).await))
        .route("/routed", post(async |db: RoutedConnection| insert(&db).await))
        .route("/reading", post(async |ReadOnly(db): ReadOnly| insert(&db).await))
        .layer(SessionLayer::new(database.router()))
        .with_state(AppState { database: database.clone(), greeting: "hello" })
}

async fn fetch(app: &Router, method: &str, path: &str) -> Result<(StatusCode, String)> {
    let request = Request::builder().method(method).uri(path).body(Body::empty())?;
    let response = app.clone().oneshot(request).await?;
    let status = response.status();
    Ok((status, String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?))
}

#[tokio::test]
async fn handlers_get_handles_that_keep_what_they_promise() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    let app = application(&db);
    let ok = |text: &str| (StatusCode::OK, text.to_owned());
    assert_eq!(fetch(&app, "GET", "/greet").await?, ok("hello"));
    assert_eq!(fetch(&app, "GET", "/routed").await?, ok("0 standby"));
    assert_eq!(fetch(&app, "GET", "/reading").await?, ok("0 standby"));
    assert_eq!(fetch(&app, "GET", "/primary").await?, ok("0 primary"));
    assert_eq!(fetch(&app, "POST", "/routed").await?, ok("1"));
    let (status, text) = fetch(&app, "POST", "/reading").await?;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(text.contains("this handle only reads"), "{text}");
    assert_eq!(fetch(&app, "GET", "/primary").await?, ok("1 primary"), "nothing was written");
    Ok(())
}

#[tokio::test]
async fn whoever_asks_after_the_shutdown_is_told_in_words_without_secrets() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    let app = application(&db);
    db.close_by_ref().await?;
    for path in ["/routed", "/reading", "/primary"] {
        let (status, text) = fetch(&app, "GET", path).await?;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {text}");
        assert_eq!(text, "the database is not available: this process is shutting down");
    }
    Ok(())
}

fn refused<T: std::fmt::Debug>(result: std::result::Result<T, DbErr>) -> bool {
    matches!(result.as_ref().err().and_then(routing_error), Some(RoutingError::ReadOnly))
}

#[tokio::test]
async fn a_handle_that_only_reads_sends_no_write_to_any_server() -> Result {
    let cluster = boot(1).await?;
    cluster.primary().set("log_statement", "all").await?;
    cluster.replica(1)?.set("log_statement", "all").await?;
    let db = connect(&cluster).await?.read_only();
    assert!(refused(written().insert(&db).await));
    assert!(refused(note::Entity::update_many().set(written()).exec(&db).await));
    assert!(refused(note::Entity::delete_many().exec(&db).await));
    assert!(refused(db.execute_unprepared("SELECT 1; INSERT INTO note (text) VALUES ('written')").await));
    assert!(refused(db.query_one_raw(raw("INSERT INTO note (text) VALUES ('written') RETURNING id")).await));
    assert!(refused(db.execute_unprepared("SET application_name = 'written'").await));
    assert!(refused(db.stream_raw(raw("DELETE FROM note WHERE text = 'written'")).await.map(drop)));
    assert!(refused(db.begin_with_config(None, Some(AccessMode::ReadWrite)).await));
    let plain: &DatabaseConnection = &db;
    assert!(written().insert(plain).await.is_err());

    let transaction = db.begin().await?;
    assert!(on_standby(&transaction).await?, "it runs where a read would");
    assert!(refused(written().insert(&transaction).await));
    assert!(refused(transaction.execute_unprepared("DELETE FROM note WHERE text = 'written'").await));
    assert!(refused(transaction.stream_raw(raw("DELETE FROM note WHERE text = 'written'")).await.map(drop)));
    let nested = transaction.begin().await?;
    assert!(refused(written().insert(&nested).await));
    nested.commit().await?;
    assert_eq!(notes(&transaction).await?, 0, "and it goes on");
    transaction.commit().await?;
    let exact = db.begin_with_config(Some(IsolationLevel::Serializable), None).await?;
    assert!(!on_standby(&exact).await?);
    assert!(refused(written().insert(&exact).await));
    exact.commit().await?;

    assert_eq!(notes(&db).await?, 0);
    assert!(db.stream_raw(raw("SELECT * FROM note")).await?.try_next().await?.is_none());
    db.ping().await?;
    assert!(cluster.replica(1)?.log().contains("SELECT * FROM note"), "what is sent is in the log");
    for node in cluster.nodes() {
        assert!(!node.log().contains("written"), "{}", node.log_tail());
    }
    Ok(())
}

const WRITES: &str = "CREATE FUNCTION add() RETURNS bigint LANGUAGE sql AS \
                      'INSERT INTO note (text) VALUES (''by a function'') RETURNING id'";

#[tokio::test]
async fn what_only_a_server_can_know_to_be_a_write_the_server_refuses() -> Result {
    let cluster = boot(1).await?;
    cluster.primary().sql(WRITES).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let db = connect(&cluster).await?;
    assert!(refused(ask::<i64>(&db.read_only(), "SELECT add()").await), "a standby is asked first");
    // Now the primary has to serve, where nobody else would refuse.
    cluster.replica(1)?.pause_replay().await?;
    let db = RoutedConnection::start(crate::support::config(&cluster).build()?).await?;
    written().insert(&db).await?;
    let reading = db.read_only();
    assert!(!on_standby(&reading).await?);
    assert!(refused(ask::<i64>(&reading, "SELECT add()").await));
    assert!(refused(reading.stream_raw(raw("SELECT add() AS another")).await.map(drop)));
    let transaction = reading.begin().await?;
    assert!(ask::<i64>(&transaction, "SELECT add()").await.is_err());
    drop(transaction);
    assert_eq!(notes(&db).await?, 1);
    Ok(())
}

/// Whoever insists writes, and is read.
#[tokio::test]
async fn a_transaction_that_was_to_read_and_is_made_to_write_is_seen() -> Result {
    let cluster = boot(1).await?;
    cluster.primary().sql(WRITES).await?;
    let db = connect(&cluster).await?;
    standby_serves(&db).await?;
    cluster.replica(1)?.pause_replay().await?;
    let transaction = db.use_primary().read_only().begin().await?;
    transaction.execute_raw(raw("SET TRANSACTION READ WRITE")).await?;
    ask::<i64>(&transaction, "SELECT add()").await?;
    transaction.commit().await?;
    assert_eq!(notes(&db).await?, 1);
    Ok(())
}
