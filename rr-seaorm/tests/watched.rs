//! What a statement tells `tracing`: one span, by OpenTelemetry's conventions, and nothing that is secret. A program of its own,
//! since all its threads are listened to.

use rr_core::config::NodeConfig;
use rr_seaorm::RoutedConnection;
use rr_tests::cluster::Cluster;
use rr_tests::spans::{Fields, Recorder};
use rr_tests::wait::{PATIENCE, until};
use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait};

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const PASSWORD: &str = "hunter2";
/// Bound to every statement. The server's errors name it.
const VALUE: &str = "a bound value";
const READ: &str = "SELECT count(*) FROM note WHERE text = $1";
const INSERT: &str = "INSERT INTO note VALUES ($1)";

fn with_value(sql: &str) -> Statement {
    Statement::from_sql_and_values(DbBackend::Postgres, sql, [VALUE.into()])
}

/// Holds a span against what is run, what it is, and what went wrong.
fn check(span: &Fields, node: &str, operation: &str, class: &str, error: Option<&str>) {
    for (key, value) in [
        ("db.system.name", "postgresql"),
        ("server.address", "127.0.0.1"),
        ("otel.kind", "client"),
        ("rr.node", node),
        ("db.operation.name", operation),
        ("rr.class", class),
    ] {
        assert_eq!(span.get(key).map(String::as_str), Some(value), "{key}: {span:#?}");
    }
    assert_eq!(span.get("error.type").map(String::as_str), error, "{span:#?}");
    assert_eq!(span.get("otel.status_code").map(String::as_str), error.map(|_| "ERROR"), "{span:#?}");
}

#[tokio::test]
async fn a_statement_has_one_span_and_tells_no_value() -> Result {
    let recorder = Recorder::install()?;
    let cluster = Cluster::builder().replicas(1).start().await?;
    cluster.primary().sql("CREATE TABLE note (text text PRIMARY KEY)").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let node = |url: String, name: &str| -> Result<NodeConfig> {
        let url = url.replace("app@", &format!("app:{PASSWORD}@"));
        Ok(NodeConfig::new(url)?.with_name(name))
    };
    let mut config = rr_tests::plain::config(&cluster);
    // After a write, the replica is waited for.
    config.causal_wait = PATIENCE;
    config.primary = node(cluster.primary().url(), "primary")?;
    config.replicas = vec![node(cluster.replica(1)?.url(), "replica")?];
    assert!(config.primary.url.expose().contains(PASSWORD));
    let db = &RoutedConnection::start(config).await?;
    until("the replica to serve", async || {
        db.query_one_raw(with_value(READ)).await?;
        let [span] = recorder.ended("").await?;
        Ok(span["rr.node"] == "replica")
    })
    .await?;

    db.query_one_raw(with_value(READ)).await?;
    let [span] = recorder.ended("").await?;
    check(&span, "replica", "SELECT", "read", None);

    db.execute_raw(with_value(INSERT)).await?;
    let [span] = recorder.ended("").await?;
    check(&span, "primary", "INSERT", "write", None);

    let transaction = db.begin().await?;
    transaction.query_one_raw(with_value(READ)).await?;
    transaction.execute_raw(with_value("UPDATE note SET text = $1")).await?;
    transaction.commit().await?;
    let [span] = recorder.ended("").await?;
    check(&span, "primary", "BEGIN", "write", None);

    db.execute_raw(with_value(INSERT)).await.unwrap_err();
    let [span] = recorder.ended("").await?;
    check(&span, "primary", "INSERT", "write", Some("23505"));

    let failing = db.query_one_raw(with_value("SELECT $1::text::int")).await;
    assert!(failing.is_err_and(|error| error.to_string().contains(VALUE)));
    let [span] = recorder.ended("").await?;
    check(&span, "replica", "SELECT", "read", Some("22P02"));

    db.router().shutdown().await;
    assert_eq!(recorder.take(""), [], "nothing else was a statement");
    let text = recorder.text();
    assert!(text.contains("rr.node") && text.contains(" rr "), "spans and what a router tells: {text}");
    for secret in [PASSWORD, VALUE] {
        let lines: Vec<_> = text.lines().filter(|line| line.contains(secret)).collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }
    Ok(())
}
