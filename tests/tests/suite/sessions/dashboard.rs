//! The live page: what its stream of events says of real servers, who may look, and what is sent with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER};
use http::{Request as HttpRequest, Response, StatusCode};
use http_body_util::BodyExt;
use rr_core::web::dashboard::SCHEMA;
use rr_core::web::{Dashboard, Panel, dashboard};
use serde_json::Value;
use tower::ServiceExt;

use super::*;

async fn get(app: &axum::Router, path: &str) -> Result<Response<Body>> {
    Ok(app.clone().oneshot(HttpRequest::get(path).body(Body::empty())?).await?)
}

async fn text(app: &axum::Router, path: &str) -> Result<String> {
    let response = get(app, path).await?;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    Ok(String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?)
}

/// Somebody who looks at the page.
struct Viewer {
    body: Body,
}

impl Viewer {
    async fn of(app: &axum::Router) -> Result<Self> {
        let response = get(app, "/dashboard/events").await?;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
        Ok(Self { body: response.into_body() })
    }

    /// The next event: its name and its frame; `None` at the end.
    async fn next(&mut self) -> Result<Option<(String, Value)>> {
        let Some(frame) = tokio::time::timeout(PATIENCE, self.body.frame()).await? else { return Ok(None) };
        let data = frame?.into_data().map_err(|_| "trailers")?;
        let text =
            std::str::from_utf8(&data)?.strip_suffix("\n\n").ok_or("an event ends with an empty line")?;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let event = field("event: ").ok_or("the event's name")?.to_owned();
        Ok(Some((event, serde_json::from_str(field("data: ").ok_or("data")?)?)))
    }

    async fn tick(&mut self) -> Result<Value> {
        let (event, frame) = self.next().await?.ok_or("another event")?;
        assert_eq!(event, "tick");
        Ok(frame)
    }

    /// The first frame that is as it should be, with all events on the way there.
    async fn until(&mut self, what: &str, check: impl Fn(&Value) -> bool) -> Result<(Value, Vec<Value>)> {
        let mut events = Vec::new();
        let looked = async {
            loop {
                let frame = self.tick().await?;
                events.extend(frame["events"].as_array().ok_or("events")?.iter().cloned());
                if check(&frame) {
                    return Result::Ok(frame);
                }
            }
        };
        let frame = tokio::time::timeout(PATIENCE, looked).await.map_err(|_| what.to_owned())??;
        Ok((frame, events))
    }
}

fn node<'a>(frame: &'a Value, name: &str) -> &'a Value {
    let nodes = frame["nodes"].as_array().expect("nodes");
    nodes.iter().find(|node| node["name"] == name).expect("the node")
}

#[tokio::test]
async fn the_first_event_is_the_whole_state_and_the_next_ones_say_what_is_new() -> Result {
    let (cluster, db, _) = two(2).await?;
    let app: axum::Router = dashboard(db.router());
    let mut viewer = Viewer::of(&app).await?;
    let (event, first) = viewer.next().await?.ok_or("an event")?;
    assert_eq!((event.as_str(), &first["schema"]), ("state", &SCHEMA.into()));
    assert_eq!(first["cluster"]["status"], "healthy", "{first:#}");
    let roles: Vec<_> = first["nodes"].as_array().into_iter().flatten().map(|node| &node["role"]).collect();
    assert_eq!(roles, ["primary", "replica", "replica"]);
    let told = first["events"].as_array().ok_or("events")?;
    assert!(
        told.iter().any(|event| event["kind"] == "primary"),
        "what was told before anybody looked: {told:#?}"
    );

    let before = (node(&first, "primary")["writes"].as_u64(), first["causal"]["waited"].as_u64());
    db.write("seen").await?;
    assert!(db.sees("seen").await?);
    let frame = viewer.tick().await?;
    let routes = frame["routes"].as_array().ok_or("routes")?;
    let of = |class: &str| routes.iter().filter(move |route| route["class"] == class).collect::<Vec<_>>();
    assert!(of("write").iter().all(|route| route["node"] == "primary" && route["reason"] == "write"));
    assert_eq!((of("write").is_empty(), of("read").len()), (false, 1), "{routes:#?}");
    assert!(node(&frame, "primary")["writes"].as_u64() > before.0);
    assert!(frame["causal"]["waited"].as_u64() >= before.1);
    let known = told.last().and_then(|event| event["number"].as_u64());
    let news = frame["events"].as_array().ok_or("events")?;
    assert!(news.iter().all(|event| event["number"].as_u64() > known), "each is told once: {news:#?}");

    cluster.replica(1)?.kill9().await?;
    let down = |frame: &Value| node(frame, "replica-1")["healthy"] == false;
    let (frame, events) = viewer.until("the death of a replica", down).await?;
    assert_eq!(frame["cluster"]["status"], "degraded");
    assert_eq!(node(&frame, "replica-1")["reason"], "does not answer");
    let health = events.iter().filter(|event| event["kind"] == "health").collect::<Vec<_>>();
    assert!(health.iter().any(|event| event["warning"] == true), "{events:#?}");

    let all = format!("{first}{frame}");
    for secret in ["127.0.0.1", "postgres:", &cluster.primary().port().to_string()] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
    Ok(())
}

#[tokio::test]
async fn whoever_comes_later_or_again_gets_the_whole_state() -> Result {
    let (_cluster, db, _) = two(1).await?;
    let app: axum::Router = dashboard(db.router());
    let mut first = Viewer::of(&app).await?;
    let (_, state) = first.next().await?.ok_or("an event")?;
    let again = HttpRequest::get("/dashboard/events").header("last-event-id", "17").body(Body::empty())?;
    let mut second = Viewer { body: app.clone().oneshot(again).await?.into_body() };
    let (event, other) = second.next().await?.ok_or("an event")?;
    assert_eq!((event.as_str(), &other["events"]), ("state", &state["events"]));
    // Both are told where a statement went.
    assert!(!db.sees("nothing").await?);
    for viewer in [&mut first, &mut second] {
        viewer
            .until("the read", |frame| frame["routes"].as_array().is_some_and(|routes| !routes.is_empty()))
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn as_many_look_as_may_and_those_who_went_are_forgotten() -> Result {
    let (_cluster, db, _) = two(1).await?;
    let app: axum::Router = Dashboard::new(db.router()).most_viewers(2).routes();
    let (mut first, second) = (Viewer::of(&app).await?, Viewer::of(&app).await?);
    first.next().await?.ok_or("an event")?;
    let refused = get(&app, "/dashboard/events").await?;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key(RETRY_AFTER));
    drop(second);
    for _ in 0..10 {
        drop(Viewer::of(&app).await?);
    }
    first.tick().await?;
    Ok(())
}

#[tokio::test]
async fn a_viewer_who_reads_slowly_gets_what_is_true_then() -> Result {
    let (cluster, db, _) = two(1).await?;
    let app: axum::Router = dashboard(db.router());
    let mut viewer = Viewer::of(&app).await?;
    viewer.next().await?.ok_or("an event")?;
    for _ in 0..500 {
        drop(db.route().await?);
    }
    cluster.replica(1)?.kill9().await?;
    until(db.router(), "the loss of a replica", |r| r.health().replicas.iter().any(|node| !node.healthy))
        .await?;
    let frame = viewer.tick().await?;
    assert_eq!(node(&frame, "replica-1")["healthy"], false, "nothing is queued: {frame:#}");
    let routes = frame["routes"].as_array().map_or(0, Vec::len);
    assert!((1..=64).contains(&routes), "a sample of what was routed: {routes}");
    assert_eq!(node(&frame, "replica-1")["reads"].as_u64(), Some(500), "and the count of all");
    Ok(())
}

#[tokio::test]
async fn streams_end_when_the_server_stops() -> Result {
    let (_cluster, db, _) = two(1).await?;
    let stopping = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stopping);
    let app: axum::Router =
        Dashboard::new(db.router()).until(move || stopped.load(Ordering::Relaxed)).routes();
    let mut viewer = Viewer::of(&app).await?;
    viewer.next().await?.ok_or("an event")?;
    db.router().shutdown().await;
    viewer.until("the end of watching", |frame| frame["watching"] == false).await?;
    stopping.store(true, Ordering::Relaxed);
    assert_eq!(viewer.next().await?, None);
    assert_eq!(viewer.next().await?, None);
    Ok(())
}

/// The values of these attributes, and what scripts import.
fn files(text: &str) -> Vec<String> {
    let after = |mark: &'static str| {
        let rest = text.split(mark).skip(1);
        rest.filter_map(|rest| rest.split_once('"')).map(|(name, _)| name.to_owned())
    };
    let named = after("href=\"").chain(after("src=\"")).filter(|name| !name.starts_with('#'));
    named.chain(after(" from \"./")).collect()
}

#[tokio::test]
async fn all_files_are_there_at_any_place_and_nothing_comes_from_elsewhere() -> Result {
    let (_cluster, db, _) = two(1).await?;
    let board = || Dashboard::new(db.router());
    for (app, page, folder) in [
        (board().routes(), "/dashboard", "/dashboard"),
        (board().at("/").routes(), "/", "/dashboard"),
        (board().at("ops/db/").routes(), "/ops/db", "/ops/db"),
        (axum::Router::new().nest("/admin", board().at("/live").routes()), "/admin/live", "/admin/live"),
    ] {
        let app: axum::Router = app;
        let html = text(&app, page).await?;
        let parent = &page[..=page.rfind('/').ok_or("a path")?];
        let mut wanted: Vec<_> = files(&html).into_iter().map(|name| format!("{parent}{name}")).collect();
        assert!(wanted.len() > 5 && wanted.contains(&format!("{folder}/dashboard.js")), "{wanted:?}");
        while let Some(path) = wanted.pop() {
            let response = get(&app, &path).await?;
            assert_eq!(response.status(), StatusCode::OK, "{path} of {page}");
            let kind = response.headers()[CONTENT_TYPE].to_str()?.to_owned();
            let expected = [(".js", "text/javascript"), (".css", "text/css"), (".svg", "image/svg+xml")];
            let (_, expected) = expected.iter().find(|(end, _)| path.ends_with(end)).ok_or("a known kind")?;
            assert!(kind.starts_with(expected), "{path}: {kind}");
            let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str()?;
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
            assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
            let script = String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?;
            let elsewhere = script.replace("http://www.w3.org/2000/svg", "");
            assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"), "{path}");
            if path.ends_with(".js") {
                wanted.extend(files(&script).into_iter().map(|name| format!("{folder}/{name}")));
            }
        }
        assert_eq!(get(&app, &format!("{folder}/events")).await?.status(), StatusCode::OK);
    }
    Ok(())
}

#[tokio::test]
async fn a_title_is_text_and_a_panel_is_part_of_the_page() -> Result {
    let (_cluster, db, _) = two(1).await?;
    let panel =
        Panel::new("<section id=\"mine\">{{title}}</section>").script("console.log(1)").style("#mine{}");
    let app: axum::Router = Dashboard::new(db.router()).title("<b>\"A & B'</b>").with_panel(panel).routes();
    let html = text(&app, "/dashboard").await?;
    assert!(html.contains("<h1>&lt;b&gt;&quot;A &amp; B&#39;&lt;/b&gt;</h1>"), "{html}");
    assert!(
        html.contains("<section id=\"mine\">{{title}}</section>"),
        "what is put in is not looked at again"
    );
    assert_eq!(text(&app, "/dashboard/panel.js").await?, "console.log(1)");
    assert_eq!(text(&app, "/dashboard/panel.css").await?, "#mine{}");
    let plain: axum::Router = dashboard(db.router());
    assert!(text(&plain, "/dashboard").await?.contains("<h1>Read replicas</h1>"));
    Ok(())
}

#[tokio::test]
async fn the_page_says_where_a_statement_would_go_and_runs_nothing() -> Result {
    let (_cluster, db, _) = two(2).await?;
    let app: axum::Router = dashboard(db.router());
    let ask = async |question: Vec<u8>| {
        let asked = HttpRequest::post("/dashboard/explain").body(Body::from(question))?;
        let response = app.clone().oneshot(asked).await?;
        let status = response.status();
        let text = String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?;
        Result::Ok((status, text))
    };
    let explained = async |question: Value| {
        let (status, text) = ask(question.to_string().into_bytes()).await?;
        assert_eq!(status, StatusCode::OK, "{text}");
        Result::Ok(serde_json::from_str::<Value>(&text)?)
    };
    let read = explained(serde_json::json!({ "sql": "SELECT 1" })).await?;
    assert_eq!((&read["class"], &read["reason"]), (&"read".into(), &"replica".into()), "{read}");
    assert_eq!(read["candidates"].as_array().map(Vec::len), Some(2));
    assert_eq!(read["nodes"][0]["refused"], "not a replica");
    assert!(read["text"].as_str().is_some_and(|text| text.starts_with("read in epoch 1: replica")), "{read}");
    let write = explained(serde_json::json!({ "sql": "DELETE FROM note", "level": "" })).await?;
    assert_eq!((&write["class"], &write["reason"]), (&"write".into(), &"write".into()), "{write}");
    let hinted = explained(serde_json::json!({ "sql": "SELECT 1 /* rr:primary */" })).await?;
    assert_eq!(hinted["candidates"], serde_json::json!(["primary"]));
    let strong = explained(serde_json::json!({ "sql": "SELECT 1", "level": "strong" })).await?;
    assert_eq!(strong["requires"], "the primary", "{strong}");
    let huge = [&b"{\"sql\": \""[..], &vec![b'x'; 1 << 20], b"\"}"].concat();
    assert_eq!(ask(huge).await?.0, StatusCode::PAYLOAD_TOO_LARGE);
    for bad in
        ["", "{}", "[]", r#"{"sql": 1}"#, r#"{"sql": "", "levels": ""}"#, r#"{"sql": "", "level": "more"}"#]
    {
        let (status, why) = ask(bad.into()).await?;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}");
        assert!(!why.is_empty());
    }
    Ok(())
}
