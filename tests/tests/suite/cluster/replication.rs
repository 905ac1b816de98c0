//! What is done to servers.

use std::time::Duration;

use rr_tests::cluster::{Boundary, Cluster, ClusterError, Mode, Part, Result};
use rr_tests::wait::wait_until;
use rustix::process::Pid;

use super::{
    MOMENT, SOON, answers, cluster_with_table, hangs, is_alive, received_soon, sees, sees_soon, write,
};

#[tokio::test]
async fn a_cascaded_standby_follows_its_standby() -> Result<()> {
    let cluster = Cluster::builder().replicas(1).cascaded_from("replica-1").start().await?;
    cluster.primary().sql("CREATE TABLE note (text text)").await?;
    write(cluster.primary(), "down the line").await?;
    cluster.wait_caught_up(SOON).await?;
    assert!(sees(cluster.replica(2)?, "down the line").await?);
    let standbys = "SELECT string_agg(application_name, ' ') FROM pg_stat_replication";
    assert_eq!(cluster.replica(1)?.admin_query_text(standbys).await?, "replica-2");
    Ok(())
}

#[tokio::test]
async fn a_synchronous_commit_waits_until_it_is_applied() -> Result<()> {
    let cluster = Cluster::builder().replicas(2).synchronous(["replica-1"]).start().await?;
    let (primary, replica) = (cluster.primary(), cluster.replica(1)?);
    primary.sql("CREATE TABLE note (text text)").await?;
    let state = "SELECT string_agg(sync_state, ' ' ORDER BY application_name) FROM pg_stat_replication";
    assert_eq!(primary.admin_query_text(state).await?, "sync async");
    replica.pause_replay().await?;
    let mut commit = Box::pin(write(primary, "applied"));
    assert!(hangs(&mut commit).await, "the commit did not wait");
    replica.resume_replay().await?;
    commit.await?;
    assert!(sees(replica, "applied").await?, "committed, yet not applied");
    Ok(())
}

#[tokio::test]
async fn paused_replay_receives_but_does_not_show() -> Result<()> {
    let cluster = cluster_with_table(1).await?;
    let (primary, replica) = (cluster.primary(), cluster.replica(1)?);
    replica.pause_replay().await?;
    let paused_at = replica.replay_lsn().await?;
    write(primary, "later").await?;
    received_soon(primary, replica).await?;
    assert!(!sees(replica, "later").await?);
    assert_eq!(replica.replay_lsn().await?, paused_at);
    replica.resume_replay().await?;
    replica.wait_caught_up(primary, SOON).await?;
    assert!(sees(replica, "later").await?);
    Ok(())
}

#[tokio::test]
async fn apply_delay_holds_commits_back() -> Result<()> {
    let cluster = cluster_with_table(1).await?;
    let (primary, replica) = (cluster.primary(), cluster.replica(1)?);
    replica.apply_delay(Duration::from_secs(3600)).await?;
    write(primary, "later").await?;
    received_soon(primary, replica).await?;
    assert!(!sees(replica, "later").await?);
    replica.apply_delay(Duration::ZERO).await?;
    sees_soon(replica, "later").await
}

#[tokio::test]
async fn a_killed_primary_refuses_and_comes_back_with_all_commits() -> Result<()> {
    let cluster = cluster_with_table(1).await?;
    let primary = cluster.primary();
    write(primary, "kept").await?;
    let client = primary.client().await?;
    primary.kill9().await?;
    assert!(!primary.is_running());
    assert!(!answers(&client).await, "an idle session outlived its postmaster");
    for url in [primary.url(), primary.direct_url()] {
        let error = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.err().unwrap();
        let refused = std::error::Error::source(&error).unwrap().to_string();
        assert!(refused.contains("refused"), "{refused}");
    }
    assert!(matches!(primary.stop(Mode::Fast).await, Err(ClusterError::NotRunning { .. })));
    primary.start().await?;
    assert!(sees(primary, "kept").await?);
    assert!(answers(&primary.client().await?).await);
    cluster.replica(1)?.wait_streaming().await?;
    write(primary, "again").await?;
    cluster.wait_caught_up(SOON).await?;
    assert!(sees(cluster.replica(1)?, "again").await?);
    Ok(())
}

/// Elsewhere nobody can take the port, which the harness holds.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_whose_port_was_taken_starts_on_another() -> Result<()> {
    let cluster = cluster_with_table(1).await?;
    let (primary, replica) = (cluster.primary(), cluster.replica(1)?);
    let port = primary.port();
    primary.stop(Mode::Fast).await?;
    let _thief = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    primary.start().await?;
    assert_ne!(primary.port(), port);
    assert!(answers(&primary.client().await?).await, "the link leads to the old port");
    replica.wait_streaming().await?;
    Ok(())
}

#[tokio::test]
async fn a_busy_backend_outlives_its_postmaster_until_the_next_start() -> Result<()> {
    let cluster = cluster_with_table(0).await?;
    let primary = cluster.primary();
    let busy = primary.direct().await?;
    let pid = busy.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let pid = Pid::from_raw(pid).unwrap();
    let query =
        tokio::spawn(async move { busy.simple_query("SELECT count(*) FROM generate_series(1, 1e12)").await });
    let running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%1e12)'";
    let started = async || Ok::<_, ClusterError>(primary.admin_query_text(running).await? == "1");
    wait_until(SOON, "the query to run", started).await?;
    primary.kill9().await?;
    tokio::time::sleep(MOMENT).await;
    assert!(is_alive(pid), "the busy backend is gone");
    primary.start().await?;
    assert!(!is_alive(pid), "the busy backend is still there");
    assert!(query.await.unwrap().is_err());
    write(primary, "after").await
}

#[tokio::test]
async fn a_crash_takes_the_busy_ones_too_and_stop_frees_the_frozen() -> Result<()> {
    let cluster = cluster_with_table(0).await?;
    let primary = cluster.primary();
    let client = primary.client().await?;
    primary.crash().await?;
    assert!(!answers(&client).await);
    primary.start().await?;
    primary.sigstop(Part::Everything)?;
    primary.stop(Mode::Immediate).await?;
    primary.start().await?;
    primary.restart().await?;
    assert!(answers(&primary.client().await?).await);
    assert!(matches!(primary.start().await, Err(ClusterError::Running { .. })));
    Ok(())
}

#[tokio::test]
async fn a_frozen_postmaster_hangs_newcomers_only() -> Result<()> {
    let cluster = cluster_with_table(0).await?;
    let primary = cluster.primary();
    let client = primary.client().await?;
    assert_eq!(primary.sigstop(Part::Postmaster)?, 1);
    assert!(hangs(primary.client()).await, "a newcomer was let in");
    assert!(answers(&client).await, "a session froze with the postmaster");
    assert_eq!(primary.sigcont(Part::Postmaster)?, 1);
    assert!(answers(&primary.client().await?).await);
    Ok(())
}

#[tokio::test]
async fn frozen_backends_hang_their_sessions_only() -> Result<()> {
    let cluster = cluster_with_table(0).await?;
    let primary = cluster.primary();
    let client = primary.client().await?;
    assert!(answers(&client).await);
    assert!(primary.sigstop(Part::Clients)? >= 1);
    let mut query = Box::pin(client.simple_query("SELECT 1"));
    assert!(hangs(&mut query).await, "a frozen backend answered");
    assert!(answers(&primary.client().await?).await, "a newcomer froze");
    assert!(primary.sigcont(Part::Clients)? >= 1);
    assert!(query.await.is_ok());
    Ok(())
}

#[tokio::test]
async fn a_frozen_receiver_and_a_frozen_replay_stop_the_rows() -> Result<()> {
    let cluster = cluster_with_table(1).await?;
    let (primary, replica) = (cluster.primary(), cluster.replica(1)?);
    for (part, text) in [(Part::WalReceiver, "not received"), (Part::Replay, "not replayed")] {
        assert_eq!(replica.sigstop(part)?, 1, "{part:?}");
        write(primary, text).await?;
        tokio::time::sleep(MOMENT).await;
        assert!(!sees(replica, text).await?, "{part:?}");
        assert_eq!(replica.sigcont(part)?, 1, "{part:?}");
        sees_soon(replica, text).await?;
        replica.wait_streaming().await?;
    }
    assert_eq!(primary.sigstop(Part::WalSenders)?, 1);
    assert_eq!(primary.sigcont(Part::WalSenders)?, 1);
    Ok(())
}

#[tokio::test]
async fn sessions_can_be_ended_by_the_administrator() -> Result<()> {
    let cluster = cluster_with_table(1).await?;
    let client = cluster.primary().client().await?;
    assert!(answers(&client).await);
    assert!(cluster.primary().kill_client_connections().await? >= 1);
    assert!(!answers(&client).await);
    write(cluster.primary(), "still replicated").await?;
    cluster.wait_caught_up(SOON).await?;
    assert!(sees(cluster.replica(1)?, "still replicated").await?);
    Ok(())
}

#[tokio::test]
async fn a_failover_keeps_the_siblings_and_the_old_primary() -> Result<()> {
    let cluster = cluster_with_table(2).await?;
    let (old, new, sibling) = (cluster.primary(), cluster.replica(1)?, cluster.replica(2)?);
    write(old, "before").await?;
    cluster.wait_caught_up(SOON).await?;
    old.crash().await?;
    new.promote().await?;
    assert!(new.upstream_link().is_none());
    sibling.repoint(new).await?;
    write(new, "after").await?;
    sees_soon(sibling, "after").await?;
    old.rebuild(new).await?;
    write(new, "together again").await?;
    cluster.wait_caught_up(SOON).await?;
    for node in [old, sibling] {
        for text in ["before", "after", "together again"] {
            assert!(sees(node, text).await?, "{} {text}", node.name());
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_replica_can_be_added_later() -> Result<()> {
    let mut cluster = cluster_with_table(1).await?;
    write(cluster.primary(), "before it was there").await?;
    let primary = cluster.primary().clone();
    let added = cluster.add_replica(&primary).await?;
    assert_eq!(added.name(), "replica-2");
    cluster.wait_caught_up(SOON).await?;
    assert!(sees(cluster.replica(2)?, "before it was there").await?);
    Ok(())
}

#[tokio::test]
async fn a_commit_at_a_boundary_leaves_the_insert_position_out_of_reach() -> Result<()> {
    let cluster = cluster_with_table(1).await?;
    let (primary, replica) = (cluster.primary(), cluster.replica(1)?);
    for round in 0..5 {
        let insert = cluster.roll_wal_page_boundary().await?;
        assert_eq!(insert % 8192, 24);
        cluster.wait_caught_up(SOON).await?;
        assert_eq!(replica.replay_lsn().await?, insert - 24, "round {round}");
    }
    let insert_row = "INSERT INTO note VALUES ('at the end of a segment')";
    let insert = primary.commit_at_boundary(insert_row, Boundary::Segment).await?;
    assert_eq!(insert % (16 << 20), 40);
    cluster.wait_caught_up(SOON).await?;
    assert_eq!(replica.replay_lsn().await?, insert - 40);
    assert!(sees(replica, "at the end of a segment").await?);
    Ok(())
}
