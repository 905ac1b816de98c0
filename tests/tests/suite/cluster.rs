//! The harness must hold before anything is tested on it.

mod death;
mod network;
mod replication;

use std::time::Duration;

use rr_tests::cluster::{Cluster, ClusterError, Node, Result};
use rr_tests::wait::wait_until;
use rustix::process::{Pid, test_kill_process};
use tokio_postgres::Client;

/// For what should happen soon, on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// To see that something does not happen; too short can only miss a defect.
const MOMENT: Duration = Duration::from_millis(300);

/// A cluster with an empty table on every server.
async fn cluster_with_table(replicas: usize) -> Result<Cluster> {
    let cluster = Cluster::builder().replicas(replicas).start().await?;
    cluster.primary().sql("CREATE TABLE note (text text)").await?;
    cluster.wait_caught_up(SOON).await?;
    Ok(cluster)
}

async fn write(node: &Node, text: &str) -> Result<()> {
    node.sql(&format!("INSERT INTO note VALUES ('{text}')")).await
}

async fn sees(node: &Node, text: &str) -> Result<bool> {
    Ok(node.query_text(&format!("SELECT count(*) FROM note WHERE text = '{text}'")).await? != "0")
}

async fn sees_soon(node: &Node, text: &str) -> Result<()> {
    Ok(wait_until(SOON, &format!("{} to see {text}", node.name()), async || sees(node, text).await).await?)
}

/// Waits until a standby has all WAL of the primary on disk, replayed or not.
async fn received_soon(primary: &Node, standby: &Node) -> Result<()> {
    let target = primary.admin_query_text("SELECT pg_current_wal_flush_lsn()").await?;
    let received = format!("SELECT pg_last_wal_receive_lsn() >= '{target}'::pg_lsn");
    let there = async || Ok::<_, ClusterError>(standby.admin_query_text(&received).await? == "t");
    Ok(wait_until(SOON, "the standby to receive", there).await?)
}

async fn answers(client: &Client) -> bool {
    let answer = tokio::time::timeout(SOON, client.simple_query("SELECT 1")).await;
    answer.is_ok_and(|answer| answer.is_ok())
}

/// Whether a process is there and not merely waiting to be buried by its parent.
fn is_alive(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    let is_zombie =
        stat.is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" Z")));
    test_kill_process(pid).is_ok() && !is_zombie
}

async fn hangs<T>(work: impl Future<Output = T>) -> bool {
    tokio::time::timeout(MOMENT, work).await.is_err()
}

#[tokio::test]
async fn a_row_reaches_both_replicas() -> Result<()> {
    let cluster = cluster_with_table(2).await?;
    println!("booted {} in {:?}", cluster.programs().version(), cluster.boot_time());
    write(cluster.primary(), "hello").await?;
    cluster.wait_caught_up(SOON).await?;
    for replica in cluster.replicas() {
        assert!(sees(replica, "hello").await?, "{}", replica.name());
        assert_eq!(replica.query_text("SELECT pg_is_in_recovery()").await?, "t");
        assert_eq!(replica.query_text("SHOW cluster_name").await?, replica.name());
    }
    assert_eq!(cluster.primary().query_text("SELECT pg_is_in_recovery()").await?, "f");
    let standbys =
        "SELECT string_agg(application_name, ' ' ORDER BY application_name) FROM pg_stat_replication";
    assert_eq!(cluster.primary().admin_query_text(standbys).await?, "replica-1 replica-2");
    let slots = "SELECT string_agg(slot_name, ' ' ORDER BY slot_name) FROM pg_replication_slots WHERE active";
    assert_eq!(cluster.primary().admin_query_text(slots).await?, "replica_1 replica_2");
    Ok(())
}

#[tokio::test]
async fn clients_come_through_the_proxy_as_an_ordinary_role() -> Result<()> {
    let cluster = Cluster::builder().start().await?;
    let primary = cluster.primary();
    let client = primary.client().await?;
    let row = client
        .query_one("SELECT current_user::text, current_database()::text, inet_server_port()", &[])
        .await
        .unwrap();
    assert_eq!((row.get(0), row.get(1)), ("app", "app"));
    assert_eq!(row.get::<_, i32>(2), i32::from(primary.port()));
    assert_ne!(primary.port(), primary.link().port());
    assert_ne!(primary.port(), 5432);
    let superuser = "SELECT usesuper FROM pg_user WHERE usename = current_user";
    assert_eq!(primary.query_text(superuser).await?, "f");
    assert_eq!(primary.admin_query_text(superuser).await?, "t");
    Ok(())
}

#[tokio::test]
async fn settings_are_for_all_or_for_one() -> Result<()> {
    let odd = r"it's a \ path";
    let cluster = Cluster::builder()
        .replicas(1)
        .setting("work_mem", "1234kB")
        .setting("log_line_prefix", odd)
        .node_setting("replica-1", "work_mem", "4321kB")
        .start()
        .await?;
    assert_eq!(cluster.primary().query_text("SHOW work_mem").await?, "1234kB");
    assert_eq!(cluster.replica(1)?.query_text("SHOW work_mem").await?, "4321kB");
    assert_eq!(cluster.primary().query_text("SHOW log_line_prefix").await?, odd);
    cluster.primary().set("work_mem", "99kB").await?;
    assert_eq!(cluster.primary().query_text("SHOW work_mem").await?, "99kB");
    Ok(())
}

#[tokio::test]
async fn two_clusters_live_side_by_side() -> Result<()> {
    let (one, other) = tokio::try_join!(cluster_with_table(1), cluster_with_table(1))?;
    write(one.primary(), "one").await?;
    write(other.primary(), "other").await?;
    one.wait_caught_up(SOON).await?;
    other.wait_caught_up(SOON).await?;
    assert!(sees(one.replica(1)?, "one").await? && !sees(one.replica(1)?, "other").await?);
    drop(one);
    assert!(sees(other.replica(1)?, "other").await? && !sees(other.replica(1)?, "one").await?);
    Ok(())
}

#[tokio::test]
async fn mistakes_are_told_before_anything_boots() {
    let unknown = Cluster::builder().replicas(1).cascaded_from("replica-2").start().await;
    let unknown = unknown.unwrap_err().to_string();
    assert!(unknown.contains("no node is called \"replica-2\""), "{unknown}");
    let unknown = Cluster::builder().synchronous(["replica-1"]).start().await.unwrap_err();
    assert!(matches!(unknown, ClusterError::UnknownNode { .. }), "{unknown}");
    let nowhere = Cluster::builder().programs("/nonexistent").start().await.unwrap_err().to_string();
    assert!(nowhere.contains("install"), "{nowhere}");
}

#[tokio::test]
async fn a_server_that_does_not_start_shows_its_log() {
    let wrong = Cluster::builder().setting("no_such_setting", "1").start().await.unwrap_err();
    assert!(matches!(wrong, ClusterError::StartFailed { .. }), "{wrong}");
    assert!(wrong.to_string().contains("no_such_setting"), "{wrong}");
}
