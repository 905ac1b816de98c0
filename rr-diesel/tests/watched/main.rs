//! What a statement tells `tracing`: one span, by OpenTelemetry's conventions, and nothing that is secret. A program of its own,
//! since all its threads are listened to.

use std::sync::OnceLock;

use diesel::prelude::*;
use rr_core::Config;
use rr_core::config::NodeConfig;
use rr_tests::cluster::Cluster;
use rr_tests::spans::{Fields, Recorder};
use rr_tests::wait::{PATIENCE, until};

use schema::note;

mod asynchronous;
#[cfg(feature = "blocking")]
mod blocking;

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

mod schema {
    diesel::table! {
        note (text) {
            text -> Text,
        }
    }
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = diesel::sql_types::Integer)]
    #[expect(dead_code, reason = "no row ever arrives")]
    number: i32,
}

const PASSWORD: &str = "hunter2";
/// Bound to every statement. The server's errors name it.
const VALUE: &str = "a bound value";
const FAILING: &str = "SELECT $1::text::int AS number";

fn recorder() -> &'static Recorder {
    static RECORDER: OnceLock<Recorder> = OnceLock::new();
    RECORDER.get_or_init(|| Recorder::install().expect("nobody else listens in this program"))
}

/// A cluster with a replica, and the configuration for it, with these names and a password.
async fn boot(prefix: &str) -> Result<(Cluster, Config)> {
    let cluster = Cluster::builder().replicas(1).start().await?;
    cluster.primary().sql("CREATE TABLE note (text text PRIMARY KEY)").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let node = |url: String, name: &str| -> Result<NodeConfig> {
        let url = url.replace("app@", &format!("app:{PASSWORD}@"));
        Ok(NodeConfig::new(url)?.with_name(format!("{prefix}-{name}")))
    };
    let mut config = rr_tests::plain::config(&cluster);
    // After a write, the replica is waited for.
    config.causal_wait = PATIENCE;
    config.primary = node(cluster.primary().url(), "primary")?;
    config.replicas = vec![node(cluster.replica(1)?.url(), "replica")?];
    assert!(config.primary.url.expose().contains(PASSWORD));
    Ok((cluster, config))
}

/// Holds a span against these fields.
fn check(span: &Fields, node: &str, expected: [(&str, &str); 3]) {
    let [operation, class, error] = expected;
    let conventions =
        [("db.system.name", "postgresql"), ("server.address", "127.0.0.1"), ("otel.kind", "client")];
    for (key, value) in conventions.into_iter().chain([("rr.node", node), operation, class]) {
        assert_eq!(span.get(key).map(String::as_str), Some(value), "{key}: {span:#?}");
    }
    let failed = Some(error.1).filter(|word| !word.is_empty());
    assert_eq!(span.get(error.0).map(String::as_str), failed, "{span:#?}");
    assert_eq!(span.get("otel.status_code").map(String::as_str), failed.map(|_| "ERROR"), "{span:#?}");
}

/// As `check` wants it: what is run, what it is, and what went wrong.
const fn is<'a>(operation: &'a str, class: &'a str, error: &'a str) -> [(&'static str, &'a str); 3] {
    [("db.operation.name", operation), ("rr.class", class), ("error.type", error)]
}

/// That nothing of what was traced so far, by whomever, is a secret.
fn no_secrets() {
    let text = recorder().text();
    assert!(text.contains("rr.node") && text.contains(" rr "), "spans and what a router tells: {text}");
    for secret in [PASSWORD, VALUE] {
        let lines: Vec<_> = text.lines().filter(|line| line.contains(secret)).collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }
}
