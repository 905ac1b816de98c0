//! HTTP: two processes behind a load balancer that share nothing but the key, and a client with a cookie jar.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::routing::{get, post};
use http::header::{COOKIE, SET_COOKIE};
use http::{Request as HttpRequest, Response, StatusCode};
use http_body_util::BodyExt;
use rr_core::token::LostWrite;
use rr_core::web::{ConsistencyLayer, CookieSettings, HEADER, HealthPolicy, SessionLayer, health_routes};
use tower::ServiceExt;

use super::*;

/// An application: writes a note, says whether it sees one.
fn application(db: &Handle) -> axum::Router {
    application_with(db, SessionLayer::new(db.router()))
}

fn application_with(db: &Handle, layer: SessionLayer<Plain>) -> axum::Router {
    let eventual = ConsistencyLayer::new(Consistency::Eventual);
    axum::Router::new()
        .route("/write/{text}", post(write))
        .route("/sees/{text}", get(sees))
        .route("/eventually/{text}", get(sees).layer(eventual))
        .route("/streamed/{text}", get(streamed))
        .route("/count", get(count))
        .with_state(db.clone())
        .layer(layer)
}

async fn write(State(db): State<Handle>, Path(text): Path<String>) -> std::result::Result<String, String> {
    Ok(db.write(&text).await.map_err(|error| error.to_string())?.to_string())
}

async fn sees(State(db): State<Handle>, Path(text): Path<String>) -> std::result::Result<String, String> {
    Ok(db.sees(&text).await.map_err(|error| error.to_string())?.to_string())
}

async fn count(State(db): State<Handle>) -> std::result::Result<String, String> {
    let (count, ..) = db.ask("SELECT count(*)::text FROM note").await.map_err(|error| error.to_string())?;
    Ok(count)
}

/// Reads when the body is asked for, long after the handler has returned.
async fn streamed(State(db): State<Handle>, Path(text): Path<String>) -> Body {
    let read = async move {
        tokio::task::yield_now().await;
        let seen = db.sees(&text).await.map_err(|error| error.to_string())?;
        std::result::Result::<_, String>::Ok(Bytes::from(seen.to_string()))
    };
    Body::from_stream(futures::stream::once(read))
}

/// A browser, as far as cookies are concerned.
#[derive(Clone, Default)]
struct Client {
    jar: BTreeMap<String, String>,
}

impl Client {
    fn request(&self, method: &str, path: &str) -> HttpRequest<Body> {
        let cookies = self.jar.iter().map(|(name, value)| format!("{name}={value}"));
        let cookies: Vec<_> = cookies.collect();
        let request = HttpRequest::builder().method(method).uri(path).header(COOKIE, cookies.join("; "));
        request.body(Body::empty()).expect("a request")
    }

    /// Takes in what an answer says about cookies.
    fn take(&mut self, response: &Response<Body>) {
        for line in response.headers().get_all(SET_COOKIE) {
            let line = line.to_str().expect("a cookie");
            let (pair, attributes) = line.split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a name and a value");
            if attributes.contains("Max-Age=0;") {
                self.jar.remove(name);
            } else {
                self.jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    async fn ask(&mut self, app: &axum::Router, method: &str, path: &str) -> Result<(StatusCode, String)> {
        let response = app.clone().oneshot(self.request(method, path)).await?;
        self.take(&response);
        read(response).await
    }
}

async fn read(response: Response<Body>) -> Result<(StatusCode, String)> {
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8(body.to_vec())?))
}

fn text(answer: (StatusCode, String)) -> String {
    assert_eq!(answer.0, StatusCode::OK, "{}", answer.1);
    answer.1
}

#[tokio::test]
async fn a_client_sees_its_write_on_another_process() -> Result {
    let (cluster, one, other) = two(1).await?;
    let writes_only = |db: &Handle| application_with(db, SessionLayer::new(db.router()).writes_only());
    let (one, other) = (writes_only(&one), writes_only(&other));
    cluster.replica(1)?.pause_replay().await?;
    let mut client = Client::default();
    text(client.ask(&one, "POST", "/write/hello").await?);
    assert_eq!(client.jar.len(), 1);
    let jar = client.jar.clone();
    for path in ["/sees/hello", "/streamed/hello"] {
        assert_eq!(text(client.ask(&other, "GET", path).await?), "true", "{path}");
    }
    assert_eq!(text(client.ask(&other, "GET", "/eventually/hello").await?), "false");
    assert_eq!(client.jar, jar, "nothing new was written, so there is no new token");
    let mut stranger = Client::default();
    assert_eq!(text(stranger.ask(&other, "GET", "/sees/hello").await?), "false");
    assert!(stranger.jar.is_empty());
    Ok(())
}

#[tokio::test]
async fn concurrent_requests_of_one_client_lose_no_write_in_whatever_order_the_answers_come() -> Result {
    let (cluster, one, other) = two(1).await?;
    cluster.replica(1)?.pause_replay().await?;
    let apps = [application(&one), application(&other)];
    let mut client = Client::default();
    text(client.ask(&apps[0], "POST", "/write/first").await?);
    for round in 0..10 {
        let before = client.clone();
        let writes = (0..4).map(|n| {
            let path = format!("/write/{round}-{n}");
            apps[n % 2].clone().oneshot(before.request("POST", &path))
        });
        let mut answers = futures::future::try_join_all(writes).await?;
        fastrand::shuffle(&mut answers);
        for answer in answers {
            client.take(&answer);
            text(read(answer).await?);
        }
        assert!((1..=4).contains(&client.jar.len()), "{:?}", client.jar.keys());
        for n in 0..4 {
            let path = format!("/sees/{round}-{n}");
            let mut own = client.clone();
            assert_eq!(text(own.ask(&apps[(n + 1) % 2], "GET", &path).await?), "true", "{path}");
            assert_eq!(own.jar.len(), 1, "one token has all the others in it");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_goes_from_process_to_process_never_goes_back_in_time() -> Result {
    let (cluster, one, other) = two(2).await?;
    let apps = [application(&one), application(&other)];
    // One replica is always behind the other.
    cluster.replica(2)?.apply_delay(Duration::from_millis(200)).await?;
    let (mut client, mut newest, mut moved) = (Client::default(), 0_u64, 0_u32);
    for n in 0..400 {
        if n % 10 == 0 {
            // By somebody else, of whom neither process knows.
            cluster.primary().sql(&format!("INSERT INTO note (text) VALUES ('{n}')")).await?;
        }
        let seen: u64 = text(client.ask(&apps[n % 2], "GET", "/count").await?).parse()?;
        assert!(seen >= newest, "after {newest} notes only {seen} were there (request {n})");
        moved += u32::from(seen > newest);
        newest = seen;
        assert!(client.jar.len() <= 1, "{:?}", client.jar.keys());
    }
    assert!(moved > 5, "there was something to see: {moved}");
    Ok(())
}

#[tokio::test]
async fn tokens_travel_in_headers_as_well() -> Result {
    let (cluster, one, other) = two(1).await?;
    cluster.replica(1)?.pause_replay().await?;
    let layer = |db: &Handle| SessionLayer::new(db.router()).without_cookie().with_header();
    let (one, other) = (application_with(&one, layer(&one)), application_with(&other, layer(&other)));
    let mut tokens = Vec::new();
    for n in 0..2 {
        let request = HttpRequest::post(format!("/write/{n}")).body(Body::empty())?;
        let response = one.clone().oneshot(request).await?;
        assert!(!response.headers().contains_key(SET_COOKIE));
        tokens.push(response.headers().get(HEADER).ok_or("a token")?.to_str()?.to_owned());
    }
    for brought in [tokens.join(", "), format!("nonsense,{}", tokens[1])] {
        let request = HttpRequest::get("/sees/1").header(HEADER, brought).body(Body::empty())?;
        assert_eq!(text(read(other.clone().oneshot(request).await?).await?), "true");
    }
    Ok(())
}

#[tokio::test]
async fn hostile_cookies_change_nothing() -> Result {
    let (_cluster, db, _) = two(1).await?;
    let app = application(&db);
    let huge = format!("rr-session={}", "A".repeat(1 << 20));
    let many: Vec<_> = (0..500).map(|n| format!("rr-session-{n}=x{n}")).collect();
    for cookies in ["rr-session=", "rr-session=é", "rr-session-x=AAAA;;;=", &huge, &many.join("; ")] {
        let Ok(value) = http::HeaderValue::from_bytes(cookies.as_bytes()) else { continue };
        let request = HttpRequest::get("/sees/x").header(COOKIE, value).body(Body::empty())?;
        assert_eq!(text(read(app.clone().oneshot(request).await?).await?), "false", "{cookies:.40}");
    }
    let refused =
        |why| db.router().token_outcomes().find(|(outcome, _)| *outcome == why).map(|(_, count)| count);
    assert_eq!(refused("too_long"), Some(1));
    Ok(())
}

#[tokio::test]
async fn a_lost_write_is_told_once_and_the_client_goes_on() -> Result {
    let (cluster, one, other) = two(1).await?;
    let settings = CookieSettings::default().named("__Host-s");
    let app =
        |db: &Handle| application_with(db, SessionLayer::new(db.router()).with_cookie(settings.clone()));
    let (one, app) = (app(&one), app(&other));
    cluster.wait_caught_up(PATIENCE).await?;
    cluster.replica(1)?.upstream_link().ok_or("a link")?.cut().await?;
    let mut client = Client::default();
    text(client.ask(&one, "POST", "/write/lost").await?);
    cluster.primary().kill9().await?;
    cluster.replica(1)?.promote().await?;
    until(other.router(), "the promotion to be followed", |r| {
        r.topology().primary().is_ok_and(|node| &*node.name == "replica-1" && node.applied.is_some())
    })
    .await?;
    let (status, body) = client.ask(&app, "GET", "/sees/lost").await?;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(body.contains("lost_write"), "{body}");
    assert_eq!(client.jar.len(), 1, "{:?}", client.jar.keys());
    assert_eq!(text(client.ask(&app, "GET", "/sees/lost").await?), "false");
    Ok(())
}

#[tokio::test]
async fn with_the_lenient_policy_the_handler_is_told() -> Result {
    let (cluster, one, _) = two(1).await?;
    let mut config = keyed(&cluster);
    config.lost_writes = rr_core::config::LostWrites::Warn;
    let other = Handle::over(config).await?;
    let told = async |lost: Option<axum::Extension<LostWrite>>| lost.is_some().to_string();
    let app = axum::Router::new().route("/", get(told)).layer(SessionLayer::new(other.router()));
    cluster.wait_caught_up(PATIENCE).await?;
    cluster.replica(1)?.upstream_link().ok_or("a link")?.cut().await?;
    let mut client = Client::default();
    text(client.ask(&application(&one), "POST", "/write/lost").await?);
    cluster.primary().kill9().await?;
    cluster.replica(1)?.promote().await?;
    until(other.router(), "the promotion to be followed", |r| {
        r.topology().primary().is_ok_and(|node| &*node.name == "replica-1" && node.applied.is_some())
    })
    .await?;
    assert_eq!(text(client.ask(&app, "GET", "/").await?), "true");
    assert_eq!(text(client.ask(&app, "GET", "/").await?), "false", "its new token names what was kept");
    Ok(())
}

#[tokio::test]
async fn health_routes_say_what_is_wrong() -> Result {
    let (cluster, db, _) = two(2).await?;
    let app = |policy| -> axum::Router { health_routes(db.router(), policy) };
    let ask = async |policy, path: &str| -> Result<(StatusCode, serde_json::Value)> {
        let request = HttpRequest::get(path).body(Body::empty())?;
        let (status, body) = read(app(policy).oneshot(request).await?).await?;
        Ok((status, serde_json::from_str(&body)?))
    };
    let database = "/health/database";
    until(db.router(), "all to be well and measured", |r| {
        r.health().replicas.iter().all(|node| node.healthy && node.response_time_ms.is_some())
    })
    .await?;
    let (status, json) = ask(HealthPolicy::Strict, database).await?;
    assert_eq!((status, &json["status"]), (StatusCode::OK, &serde_json::json!("healthy")), "{json:#}");
    assert_eq!(json["primary"]["name"], "primary");
    let replica = &json["replicas"][0];
    for (key, of) in [
        ("lag_seconds", serde_json::Value::is_f64 as fn(&serde_json::Value) -> bool),
        ("lag_bytes", serde_json::Value::is_u64),
        ("position", serde_json::Value::is_string),
        ("response_time_ms", serde_json::Value::is_f64),
        ("in_flight", serde_json::Value::is_u64),
        ("last_check_seconds_ago", serde_json::Value::is_f64),
        ("consecutive_failures", serde_json::Value::is_u64),
    ] {
        assert!(of(&replica[key]), "{key}: {replica:#}");
    }
    for key in ["active", "idle", "max", "utilisation"] {
        assert!(replica["pool"][key].is_number(), "{key}: {replica:#}");
    }

    cluster.replica(1)?.kill9().await?;
    until(db.router(), "the loss of a replica", |r| r.health().replicas.iter().any(|node| !node.healthy))
        .await?;
    let (status, json) = ask(HealthPolicy::Writes, database).await?;
    assert_eq!((status, &json["status"]), (StatusCode::OK, &serde_json::json!("degraded")), "{json:#}");
    let lost = json["replicas"].as_array().into_iter().flatten().find(|node| node["healthy"] == false);
    assert_eq!(lost.map(|node| node["reason"].clone()), Some("does not answer".into()), "{json:#}");
    assert_eq!(ask(HealthPolicy::Strict, database).await?.0, StatusCode::SERVICE_UNAVAILABLE);

    cluster.primary().kill9().await?;
    until(db.router(), "the loss of the primary", |r| !r.health().writes).await?;
    for (policy, path, expected) in [
        (HealthPolicy::Writes, database, StatusCode::SERVICE_UNAVAILABLE),
        (HealthPolicy::Writes, "/health/ready", StatusCode::SERVICE_UNAVAILABLE),
        (HealthPolicy::Reads, "/health/ready", StatusCode::OK),
        (HealthPolicy::Writes, "/health/live", StatusCode::OK),
    ] {
        let (status, json) = ask(policy, path).await?;
        assert_eq!(status, expected, "{policy:?} {path}: {json:#}");
    }
    db.router().shutdown().await;
    assert_eq!(ask(HealthPolicy::Writes, "/health/live").await?.0, StatusCode::SERVICE_UNAVAILABLE);
    Ok(())
}
