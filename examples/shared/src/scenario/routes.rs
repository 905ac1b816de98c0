//! Each route of the application does what it says.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Browser, Example, Result, until};
use crate::Client;

/// Uses every route. With several instances the requests go to one after the other.
///
/// # Errors
/// When the program cannot be started, or a server does not answer.
///
/// # Panics
/// When a route does something else.
pub async fn all(program: &str, instances: usize) -> Result {
    let example = Example::start(program, instances).await?;
    assert_eq!(example.urls.len(), instances);
    let client = Client::new();
    let mut turns = Turns { browser: example.browser(&client), next: 0 };
    users(&mut turns).await?;
    notes(&mut turns).await?;
    levels(&mut turns).await?;
    health(&mut turns).await?;
    figures(&mut turns, instances).await
}

/// A browser whose requests go to one instance after the other.
struct Turns {
    browser: Browser,
    next: usize,
}

impl Turns {
    async fn ask(&mut self, method: Method, path: &str, body: Option<Value>) -> Result<(StatusCode, Value)> {
        self.next += 1;
        self.browser.send(self.next, method, path, body).await
    }

    async fn get(&mut self, path: &str) -> Result<(StatusCode, Value)> {
        self.ask(Method::GET, path, None).await
    }

    async fn post(&mut self, path: &str, body: Value) -> Result<(StatusCode, Value)> {
        self.ask(Method::POST, path, Some(body)).await
    }

    async fn log_in(&mut self, name: &str) -> Result {
        assert_eq!(self.post("/login", json!({ "name": name })).await?.0, StatusCode::NO_CONTENT);
        Ok(())
    }
}

async fn users(turns: &mut Turns) -> Result {
    assert_eq!(turns.get("/balance").await?.0, StatusCode::UNAUTHORIZED);
    assert_eq!(turns.post("/notes", json!({ "title": "t", "body": "b" })).await?.0, StatusCode::UNAUTHORIZED);
    for name in ["", "<b>", &"a".repeat(41)] {
        let (status, json) = turns.post("/login", json!({ "name": name })).await?;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{name}: {json}");
    }
    turns.log_in("ann").await?;
    assert_eq!(turns.get("/balance").await?, (StatusCode::OK, json!({ "name": "ann", "balance": 0 })));
    assert_eq!(turns.ask(Method::POST, "/logout", None).await?.0, StatusCode::NO_CONTENT);
    assert_eq!(turns.get("/balance").await?.0, StatusCode::UNAUTHORIZED);
    turns.log_in("ann").await
}

fn note(id: i64, title: &str, tags: &[&str], revision: u32, views: u32) -> Value {
    json!({ "id": id, "author": "ann", "title": title, "body": "text", "tags": tags, "revision": revision, "views": views })
}

async fn notes(turns: &mut Turns) -> Result {
    assert_eq!(turns.get("/notes").await?, (StatusCode::OK, json!([])));
    let new = |title: &str, tags: &[&str]| json!({ "title": title, "body": "text", "tags": tags });
    let (status, first) = turns.post("/notes", new("first", &["red", "blue"])).await?;
    let id = first["id"].as_i64().ok_or("a number")?;
    assert_eq!((status, &first), (StatusCode::CREATED, &note(id, "first", &["blue", "red"], 1, 0)));
    let show = format!("/notes/{id}");
    assert_eq!(turns.get(&show).await?, (StatusCode::OK, first.clone()));

    let (status, second) = turns.post("/notes", json!({ "title": "second", "body": "text" })).await?;
    assert_eq!((status, &second["tags"]), (StatusCode::CREATED, &json!([])));
    assert_eq!(turns.get("/notes").await?, (StatusCode::OK, json!([second, first])));
    assert_eq!(turns.get("/notes?tag=red").await?, (StatusCode::OK, json!([first])));
    assert_eq!(turns.get("/notes?tag=green").await?, (StatusCode::OK, json!([])));
    assert_eq!(turns.get("/notes/count").await?, (StatusCode::OK, json!({ "notes": 2 })));

    for views in 1..=3 {
        let shown = turns.get(&format!("{show}/view")).await?;
        assert_eq!(shown, (StatusCode::OK, note(id, "first", &["blue", "red"], 1, views)));
    }
    let edited = turns.ask(Method::PUT, &show, Some(new("better", &["green"]))).await?;
    assert_eq!(edited, (StatusCode::OK, note(id, "better", &["green"], 2, 3)));
    assert_eq!(turns.get(&show).await?.1, edited.1);
    assert_eq!(turns.get("/notes?tag=red").await?.1, json!([]));

    assert_eq!(turns.get("/notes/1000000").await?.0, StatusCode::NOT_FOUND);
    assert_eq!(turns.get("/notes/1000000/view").await?.0, StatusCode::NOT_FOUND);
    turns.log_in("bob").await?;
    let foreign = turns.ask(Method::PUT, &show, Some(new("mine", &[]))).await?;
    assert_eq!(foreign.0, StatusCode::NOT_FOUND);
    assert_eq!(turns.get(&show).await?.1, edited.1, "a note is its author's");
    turns.log_in("ann").await
}

async fn levels(turns: &mut Turns) -> Result {
    assert_eq!(turns.get("/balance").await?, (StatusCode::OK, json!({ "name": "ann", "balance": 2 })));
    // These two may be a moment behind, and say no other than that.
    until("the report to have everything", async || {
        let (status, report) = turns.get("/report").await?;
        assert_eq!(status, StatusCode::OK, "{report}");
        Ok(report == json!([{ "name": "ann", "notes": 2, "views": 3 }]))
    })
    .await?;
    until("ann's notes to be there for everybody", async || {
        let (status, notes) = turns.get("/users/ann/notes").await?;
        assert_eq!(status, StatusCode::OK, "{notes}");
        let titles: Vec<_> =
            notes.as_array().into_iter().flatten().map(|note| note["title"].clone()).collect();
        Ok(titles == ["second", "better"])
    })
    .await
}

async fn health(turns: &mut Turns) -> Result {
    for path in ["/health/live", "/health/ready", "/health/database"] {
        assert_eq!(turns.get(path).await?.0, StatusCode::OK, "{path}");
    }
    let (status, _) = turns.get("/").await?;
    assert_eq!(status, StatusCode::OK, "the page");
    Ok(())
}

/// What each instance tells Prometheus is what its health says.
async fn figures(turns: &mut Turns, instances: usize) -> Result {
    let states = ["unknown", "healthy", "degraded", "unhealthy"];
    for instance in 0..instances {
        until("the figures to agree", async || {
            let health = turns.browser.get(instance, "/health/database").await?;
            let text = turns.browser.get(instance, "/metrics").await?;
            let text = text.as_str().ok_or("text")?;
            let value =
                |series: &str| text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            let replicas = health["replicas"].as_array().ok_or("replicas")?;
            let same = replicas.iter().filter_map(|replica| {
                let series = format!("rr_node_health{{rr_node={},rr_role=\"replica\"}}", replica["name"]);
                Some(replica["state"] == states[value(&series)?.parse::<usize>().ok()?])
            });
            let reads =
                text.lines().any(|line| line.starts_with("rr_routes_total") && line.contains("\"replica\""));
            let epoch =
                value("rr_epoch").is_some_and(|epoch| health["epoch"] == epoch.parse::<u64>().unwrap_or(0));
            Ok(epoch && reads && same.collect::<Vec<_>>() == vec![true; replicas.len()])
        })
        .await?;
    }
    Ok(())
}
