//! The program as it is deployed: replicas are added in its environment, in every kind of cluster.

use std::process::Command;
use std::time::Duration;

use rr_tests::cluster::{Builder, Cluster, Node};

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster whose servers log each statement with the name of the program that asks.
fn logging(replicas: usize) -> Builder {
    Cluster::builder().replicas(replicas).setting("log_statement", "all").setting("log_line_prefix", "%a ")
}

/// What the program says with one database, before anything was changed.
async fn expected(cluster: &Cluster) -> Result<Vec<String>> {
    let db = record_shop::database::Database::connect(cluster.primary().url()).await?;
    let mut story = record_shop::shop::story(&db).await?;
    let other = record_shop::database::Database::connect(cluster.primary().url()).await?;
    story.extend(record_shop::crowd::two_connections(&db, &other).await?);
    other.close().await?;
    db.close().await?;
    story.extend(record_shop::names::names(&cluster.primary().url()).await?);
    cluster.wait_caught_up(PATIENCE).await?;
    Ok(story)
}

/// What the program says with these variables.
async fn told(cluster: &Cluster, variables: &[(&str, &str)]) -> Result<Vec<String>> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_record-shop"));
    program.env("DATABASE_URL", cluster.primary().url()).envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || program.output()).await??;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?.lines().map(String::from).collect())
}

fn urls(nodes: &[Node]) -> String {
    nodes.iter().map(Node::url).collect::<Vec<_>>().join(",")
}

/// Reads of the program that the server has run, itself saying so.
fn reads(node: &Node) -> usize {
    reads_as("record-shop", node)
}

/// The same for connections of this name.
fn reads_as(name: &str, node: &Node) -> usize {
    let log = node.log();
    let lines = log.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    lines.filter(|line| line.contains(": SELECT \"")).count()
}

fn standby_reads(cluster: &Cluster) -> usize {
    cluster.replicas().iter().map(reads).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_variable_nothing_changes() -> Result {
    let cluster = logging(1).start().await?;
    let expected = expected(&cluster).await?;
    assert_eq!(told(&cluster, &[]).await?, expected);
    assert_eq!(standby_reads(&cluster), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_replica_is_the_primary() -> Result {
    let cluster = logging(0).start().await?;
    let expected = expected(&cluster).await?;
    // The name tells the connections of the replica from those of the primary.
    let url = format!("{}?application_name=as-replica", cluster.primary().url());
    let variables = [("RR_REPLICA_URLS", url.as_str()), ("RR_ALLOW_PRIMARY_AS_REPLICA", "yes")];
    assert_eq!(told(&cluster, &variables).await?, expected);
    let (replica, primary) = (reads_as("as-replica", cluster.primary()), reads(cluster.primary()));
    assert!(replica > 100, "{replica} reads on the replica, {primary} on the primary");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn asynchronous_standbys() -> Result {
    let cluster = logging(2).start().await?;
    let expected = expected(&cluster).await?;
    assert_eq!(told(&cluster, &[("RR_REPLICA_URLS", &urls(cluster.replicas()))]).await?, expected);
    let (standbys, primary) = (standby_reads(&cluster), reads(cluster.primary()));
    assert!(standbys > 100, "{standbys} reads on standbys, {primary} on the primary");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn standbys_that_replay_nothing() -> Result {
    let cluster = logging(2).start().await?;
    let expected = expected(&cluster).await?;
    for replica in cluster.replicas() {
        replica.pause_replay().await?;
    }
    assert_eq!(told(&cluster, &[("RR_REPLICA_URLS", &urls(cluster.replicas()))]).await?, expected);
    assert_eq!(standby_reads(&cluster), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn synchronous_standbys() -> Result {
    let cluster = logging(2).synchronous(["replica-1", "replica-2"]).start().await?;
    let expected = expected(&cluster).await?;
    assert_eq!(told(&cluster, &[("RR_REPLICA_URLS", &urls(cluster.replicas()))]).await?, expected);
    let (standbys, primary) = (standby_reads(&cluster), reads(cluster.primary()));
    assert!(standbys > 100, "{standbys} reads on standbys, {primary} on the primary");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn standbys_alone() -> Result {
    let cluster = logging(2).start().await?;
    let expected = expected(&cluster).await?;
    let urls = urls(cluster.replicas());
    let variables =
        [("RR_REPLICA_URLS", urls.as_str()), ("RR_READ_PREFERENCE", "replica"), ("RR_CAUSAL_WAIT", "20s")];
    assert_eq!(told(&cluster, &variables).await?, expected);
    let (standbys, primary) = (standby_reads(&cluster), reads(cluster.primary()));
    assert!(standbys > 200, "{standbys} reads on standbys, {primary} on the primary");
    Ok(())
}

/// A server has many databases; the variable speaks of one of them.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_of_another_database_are_left_alone() -> Result {
    let cluster = logging(1).start().await?;
    cluster.primary().admin_sql("CREATE DATABASE bank OWNER app").await?;
    let expected = expected(&cluster).await?;
    let bank = format!("{}bank", cluster.primary().url().trim_end_matches("app"));
    let (shop, replicas) = (cluster.primary().url(), urls(cluster.replicas()));
    for primary in [None, Some(("RR_PRIMARY_URL", shop.as_str()))] {
        let variables = [("DATABASE_URL", bank.as_str()), ("RR_REPLICA_URLS", replicas.as_str())];
        let variables: Vec<_> = variables.into_iter().chain(primary).collect();
        assert_eq!(told(&cluster, &variables).await?, expected);
        assert_eq!(standby_reads(&cluster), 0);
    }
    Ok(())
}
