//! What the driver logs of SQL, as the options of each node say, and that it tells no value and no password. A program of its
//! own, since all its threads are listened to.

use std::time::Duration;

use rr_seaorm::RoutedConnection;
use rr_tests::cluster::Cluster;
use rr_tests::spans::Recorder;
use rr_tests::wait::{PATIENCE, until};
use sea_orm::{AccessMode, ConnectOptions, ConnectionTrait, DbBackend, DbErr, Statement, TransactionTrait};

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const PASSWORD: &str = "hunter2";
const VALUE: &str = "a bound value";

fn options(url: &str) -> ConnectOptions {
    ConnectOptions::new(url.replace("app@", &format!("app:{PASSWORD}@")))
}

fn level<L: std::str::FromStr>(name: &str) -> Result<L> {
    Ok(name.parse().map_err(|_| format!("`{name}` is no level"))?)
}

/// A text that says who asked, and waits a little where a slow one is wanted.
fn ask(who: &str, seconds: f32) -> Statement {
    let sql = format!("SELECT on_standby() AS {who} FROM pg_sleep({seconds}) WHERE $1 <> ''");
    Statement::from_sql_and_values(DbBackend::Postgres, sql, [VALUE.into()])
}

async fn on_standby(db: &impl ConnectionTrait, who: &str, seconds: f32) -> Result<bool, DbErr> {
    let row = db.query_one_raw(ask(who, seconds)).await?;
    row.ok_or_else(|| DbErr::RecordNotFound(who.to_owned()))?.try_get_by_index(0)
}

#[tokio::test]
async fn each_node_logs_as_its_options_say() -> Result {
    let recorder = Recorder::install()?;
    let logged = |who: &str, level: &str| {
        let line = format!("{level} sqlx::query ");
        recorder.text().lines().filter(|text| text.starts_with(&line) && text.contains(who)).count()
    };
    let cluster = Cluster::builder().replicas(1).start().await?;
    let function =
        "CREATE FUNCTION on_standby() RETURNS bool STABLE LANGUAGE sql AS 'SELECT pg_is_in_recovery()'";
    cluster.primary().sql(function).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let (primary, replica) = (cluster.primary().url(), cluster.replica(1)?.url());

    let mut silent = options(&primary);
    silent.sqlx_logging(false);
    let mut verbose = options(&replica);
    verbose
        .sqlx_logging_level(level("debug")?)
        .sqlx_slow_statements_logging_settings(level("error")?, Duration::from_millis(200));
    let db = RoutedConnection::connect_nodes(silent, [verbose]).await?;
    until("the standby to serve", async || Ok(on_standby(&db, "warm_up", 0.0).await?)).await?;
    assert!(on_standby(&db, "replica_quick", 0.0).await?);
    assert!(on_standby(&db, "replica_slow", 0.3).await?);
    let reading = db.begin_with_config(None, Some(AccessMode::ReadOnly)).await?;
    assert!(on_standby(&reading, "replica_transaction", 0.0).await?);
    reading.commit().await?;
    for (who, level) in
        [("replica_quick", "DEBUG"), ("replica_slow", "ERROR"), ("replica_transaction", "DEBUG")]
    {
        assert_eq!(logged(who, level), 1, "{who}: {}", recorder.text());
    }
    let writing = db.begin().await?;
    assert!(!on_standby(&writing, "primary_transaction", 0.0).await?);
    writing.commit().await?;
    assert!(!on_standby(&db.use_primary(), "primary_slow", 1.1).await?);
    assert!(!on_standby(&*db, "primary_lent", 0.0).await?);
    assert!(!recorder.text().lines().any(|line| line.contains(" sqlx::query ") && line.contains("primary_")));

    // All nodes have the primary's options; the replica's URL has settings of its own beside them.
    let mut all = options(&primary);
    all.sqlx_logging_level(level("info")?);
    let own = format!("{}?options=-c%20lock_timeout%3D44s", options(&replica).get_url());
    let db = RoutedConnection::connect_with(all, |config| config.replica(own.as_str())).await?;
    until("the standby to serve", async || Ok(on_standby(&db, "warm_up", 0.0).await?)).await?;
    assert!(on_standby(&db, "own_quick", 0.0).await?);
    assert!(on_standby(&db, "own_slow", 1.1).await?);
    assert!(!on_standby(&db.use_primary(), "all_quick", 0.0).await?);
    for (who, level) in [("own_quick", "INFO"), ("own_slow", "WARN"), ("all_quick", "INFO")] {
        assert_eq!(logged(who, level), 1, "{who}: {}", recorder.text());
    }

    let text = recorder.text();
    for secret in [PASSWORD, VALUE] {
        let lines: Vec<_> = text.lines().filter(|line| line.contains(secret)).collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }
    Ok(())
}
