//! Clusters that write down every statement, and what they wrote down.

use std::collections::HashSet;
use std::time::Duration;

use rr_core::Config;
use rr_core::config::ConfigBuilder;
use rr_tests::cluster::{Builder, Cluster, Node};

pub(crate) type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster whose servers log each statement with its role and process.
pub(crate) fn logging(replicas: usize) -> Builder {
    Cluster::builder().replicas(replicas).setting("log_statement", "all").setting("log_line_prefix", "%u/%p ")
}

pub(crate) fn config(cluster: &Cluster) -> ConfigBuilder {
    let builder = Config::builder().primary(cluster.primary().url());
    cluster.replicas().iter().fold(builder, |builder, node| builder.replica(node.url()))
}

/// How many of the application's reads the server has served so far, outside of transactions.
pub(crate) fn reads(node: &Node) -> usize {
    let log = node.log();
    let mut busy = HashSet::new();
    let mut reads = 0;
    for line in log.lines() {
        let Some((process, entry)) = line.strip_prefix("app/").and_then(|line| line.split_once(" LOG:  "))
        else {
            continue;
        };
        let Some((_, sql)) = entry.split_once(": ").filter(|(kind, _)| is_statement(kind)) else { continue };
        // A read that may write is made sure of in a transaction of its own, where the primary serves it.
        if sql == "BEGIN READ ONLY" {
            continue;
        }
        if sql.starts_with("BEGIN") || sql.starts_with("START TRANSACTION") {
            busy.insert(process);
        } else if sql.starts_with("COMMIT") || sql == "ROLLBACK" {
            busy.remove(process);
        } else if sql.starts_with("SELECT") && !busy.contains(process) && !is_about_the_server(sql) {
            reads += 1;
        }
    }
    reads
}

fn is_statement(kind: &str) -> bool {
    kind == "statement" || kind.starts_with("execute ")
}

/// What the monitor, the driver and the migrations ask on their own account, and reads that are writes.
fn is_about_the_server(sql: &str) -> bool {
    let theirs =
        ["pg_is_in_recovery()", "pg_current_wal", "pg_catalog", "information_schema", "seaql_migrations"];
    let theirs = theirs.iter().chain(&["\"pg_index"]);
    let writes = ["FOR UPDATE", "nextval(", "pg_try_advisory"];
    theirs.chain(&writes).any(|word| sql.contains(word))
}

/// The reads of all standbys.
pub(crate) fn standby_reads(cluster: &Cluster) -> usize {
    cluster.replicas().iter().map(reads).sum()
}

/// Says which line of two stories differs first.
pub(crate) fn assert_same(told: &[String], expected: &[String]) {
    for (number, (told, expected)) in told.iter().zip(expected).enumerate() {
        assert_eq!(told, expected, "line {number}");
    }
    assert_eq!(told.len(), expected.len());
}
