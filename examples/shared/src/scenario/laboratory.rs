//! The laboratory: what is done to servers is done, and nobody else may do it.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use serde_json::{Value, json};

use super::{Browser, Example, Result, until};
use crate::Client;

/// Pauses, slows down, kills and heals servers, and looks what instances say about them.
///
/// # Errors
/// When the program cannot be started, or a server does not answer.
///
/// # Panics
/// When something else happens.
pub async fn works(program: &str) -> Result {
    let example = Example::start(program, 1).await?;
    let mut browser = example.browser(&Client::new());
    strangers_are_refused(&mut browser).await?;
    let untouched = browser.get(0, "/lab/nodes").await?;
    let of = |name: &str| {
        json!({ "name": name, "role": if name == "primary" { "primary" } else { "replica" },
        "running": true, "paused": false, "apply_delay_ms": 0, "network_delay_ms": 0 })
    };
    assert_eq!(untouched, json!({ "nodes": [of("primary"), of("replica-1"), of("replica-2")] }));
    burst(&mut browser).await?;
    replicas(&mut browser).await?;
    mistakes(&mut browser).await?;
    assert_eq!(browser.experiment("heal", Value::Null).await?, untouched);
    until("both replicas to be well again", async || {
        let health = browser.get(0, "/health/database").await?;
        Ok(health["status"] == "healthy")
    })
    .await
}

async fn strangers_are_refused(browser: &mut Browser) -> Result {
    let site = HeaderName::from_static("sec-fetch-site");
    for (name, value) in [(ORIGIN, "http://evil.example"), (HOST, "evil.example"), (site, "cross-site")] {
        for (method, path) in [
            (Method::GET, "/lab/nodes"),
            (Method::POST, "/lab/nodes/replica-1/kill"),
            (Method::POST, "/lab/burst"),
        ] {
            let headers = HeaderMap::from_iter([(name.clone(), value.parse()?)]);
            let (status, _, json) = browser.send_with(0, method, path, None, headers).await?;
            assert_eq!(status, StatusCode::FORBIDDEN, "{name}: {value}, {path}: {json}");
        }
    }
    Ok(())
}

async fn burst(browser: &mut Browser) -> Result {
    for _ in 0..5 {
        let report = browser.experiment("burst?count=50", Value::Null).await?;
        assert_eq!((&report["count"], &report["seen"]), (&json!(50), &json!(50)), "{report}");
        let reads = report["reads"].as_array().ok_or("reads")?;
        assert_eq!(reads.len(), 50);
        for read in reads {
            let node = read["node"].as_str().ok_or("a node")?;
            assert!(["primary", "replica-1", "replica-2"].contains(&node), "{report}");
        }
    }
    Ok(())
}

/// What is done to one server.
fn done(listed: &Value, name: &str) -> Value {
    let mut nodes = listed["nodes"].as_array().into_iter().flatten();
    nodes.find(|node| node["name"] == name).cloned().unwrap_or_default()
}

async fn replicas(browser: &mut Browser) -> Result {
    for name in ["replica-1", "replica-2"] {
        let paused = browser.experiment(&format!("nodes/{name}/pause"), Value::Null).await?;
        assert_eq!(done(&paused, name)["paused"], true);
    }
    let eventual = browser.experiment("burst?count=20&level=eventual", Value::Null).await?;
    assert_eq!(eventual["seen"], 0, "replay stands still: {eventual}");
    let session = browser.experiment("burst?count=20", Value::Null).await?;
    assert_eq!((&session["seen"], &session["nodes"]), (&json!(20), &json!({ "primary": 20 })), "{session}");
    let resumed = browser.experiment("nodes/replica-2/resume", Value::Null).await?;
    assert_eq!(done(&resumed, "replica-2")["paused"], false);
    until("a replica to serve what was just written", async || {
        let report = browser.experiment("burst?count=20", Value::Null).await?;
        assert_eq!(report["seen"], 20, "{report}");
        Ok(report["nodes"]["replica-2"].as_u64() > Some(0))
    })
    .await?;

    let delayed = browser.experiment("nodes/replica-1/delay", json!({ "ms": 300 })).await?;
    assert_eq!(done(&delayed, "replica-1")["apply_delay_ms"], 300);
    let slow = browser.experiment("nodes/replica-2/network", json!({ "ms": 30 })).await?;
    assert_eq!(done(&slow, "replica-2")["network_delay_ms"], 30);
    until("the monitor to notice the slow network", async || {
        let health = browser.get(0, "/health/database").await?;
        let time = |node: &Value| node["response_time_ms"].as_f64().unwrap_or_default();
        let replicas = health["replicas"].as_array().cloned().unwrap_or_default();
        Ok(replicas.iter().any(|node| node["name"] == "replica-2" && time(node) > 50.0))
    })
    .await?;

    let killed = browser.experiment("nodes/replica-2/kill", Value::Null).await?;
    assert_eq!(done(&killed, "replica-2")["running"], false);
    until("the instance to notice the loss", async || {
        Ok(browser.get(0, "/health/database").await?["status"] == "degraded")
    })
    .await?;
    assert_eq!(browser.experiment("burst?count=20", Value::Null).await?["seen"], 20);
    let started = browser.experiment("nodes/replica-2/start", Value::Null).await?;
    assert_eq!(done(&started, "replica-2")["running"], true);
    let healed = browser.experiment("nodes/replica-1/heal", Value::Null).await?;
    assert_eq!(
        done(&healed, "replica-1"),
        json!({ "name": "replica-1", "role": "replica", "running": true,
        "paused": false, "apply_delay_ms": 0, "network_delay_ms": 0 })
    );
    Ok(())
}

async fn mistakes(browser: &mut Browser) -> Result {
    let long = json!({ "ms": 600_001 });
    for (path, body, expected) in [
        ("/lab/nodes/replica-9/kill", Value::Null, StatusCode::NOT_FOUND),
        ("/lab/nodes/replica-1/explode", Value::Null, StatusCode::NOT_FOUND),
        ("/lab/elsewhere", Value::Null, StatusCode::NOT_FOUND),
        ("/lab/nodes/primary/pause", Value::Null, StatusCode::CONFLICT),
        ("/lab/nodes/replica-1/start", Value::Null, StatusCode::CONFLICT),
        ("/lab/nodes/replica-1/delay", long, StatusCode::BAD_REQUEST),
        ("/lab/nodes/replica-1/network", json!({ "ms": 10_001 }), StatusCode::BAD_REQUEST),
        ("/lab/nodes/replica-1/delay", json!({ "ms": "x" }), StatusCode::UNPROCESSABLE_ENTITY),
        ("/lab/nodes/replica-1/delay", json!({ "ms": "x".repeat(10_000) }), StatusCode::PAYLOAD_TOO_LARGE),
        ("/lab/burst?count=0", Value::Null, StatusCode::BAD_REQUEST),
        ("/lab/burst?count=1001", Value::Null, StatusCode::BAD_REQUEST),
        ("/lab/burst?level=best", Value::Null, StatusCode::BAD_REQUEST),
    ] {
        let (status, json) = browser.send(0, Method::POST, path, Some(body)).await?;
        assert_eq!(status, expected, "{path}: {json}");
    }
    Ok(())
}
