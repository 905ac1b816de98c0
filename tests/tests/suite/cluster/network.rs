//! What is done to links.

use std::num::NonZeroU64;
use std::time::Duration;

use rr_tests::cluster::{ClusterError, Result};
use rr_tests::proxy::Proxy;
use rr_tests::wait::wait_until;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::{MOMENT, SOON, answers, cluster_with_table, hangs, sees, sees_soon, write};

async fn call(link: &Proxy) -> std::io::Result<TcpStream> {
    TcpStream::connect(("127.0.0.1", link.port())).await
}

#[tokio::test]
async fn a_cut_link_refuses_until_healed() -> Result<()> {
    let cluster = cluster_with_table(0).await?;
    let primary = cluster.primary();
    let client = primary.client().await?;
    for _ in 0..3 {
        primary.link().cut().await?;
        let refused = call(primary.link()).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        assert!(!answers(&client).await);
        primary.sql("SELECT 1").await?;
        primary.link().heal().await?;
        assert!(answers(&primary.client().await?).await);
    }
    Ok(())
}

#[tokio::test]
async fn a_reset_ends_connections_and_welcomes_new_ones() -> Result<()> {
    let cluster = cluster_with_table(0).await?;
    let link = cluster.primary().link();
    let mut raw = call(link).await.unwrap();
    let client = cluster.primary().client().await?;
    link.reset().await?;
    let error = raw.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(!answers(&client).await);
    assert!(answers(&cluster.primary().client().await?).await);
    Ok(())
}

#[tokio::test]
async fn a_blackhole_is_silent_and_loses_nothing() -> Result<()> {
    let cluster = cluster_with_table(0).await?;
    let primary = cluster.primary();
    let client = primary.client().await?;
    primary.link().blackhole().await?;
    let mut query = Box::pin(client.simple_query("SELECT 1"));
    assert!(hangs(&mut query).await, "an answer through a blackhole");
    let mut newcomer = Box::pin(primary.client());
    assert!(hangs(&mut newcomer).await, "a newcomer through a blackhole");
    // Not even the end of the server is heard.
    primary.kill_client_connections().await?;
    assert!(hangs(&mut query).await, "a goodbye through a blackhole");
    primary.link().heal().await?;
    assert!(query.await.is_err(), "the goodbye was lost");
    assert!(answers(&newcomer.await?).await);
    Ok(())
}

#[tokio::test]
async fn a_network_that_forgets_its_connections_takes_new_ones() -> Result<()> {
    let cluster = cluster_with_table(0).await?;
    let primary = cluster.primary();
    let client = primary.client().await?;
    primary.link().forget().await?;
    assert!(answers(&primary.client().await?).await);
    primary.link().heal().await?;
    assert!(
        hangs(&mut Box::pin(client.simple_query("SELECT 1"))).await,
        "an answer to one that was forgotten"
    );
    Ok(())
}

#[tokio::test]
async fn a_delay_holds_bytes_back_and_healing_sets_them_free() -> Result<()> {
    let cluster = cluster_with_table(0).await?;
    let primary = cluster.primary();
    let client = primary.client().await?;
    let endless = Duration::from_secs(3600);
    for (to_server, to_client) in
        [(endless, Duration::ZERO), (Duration::ZERO, endless), (Duration::MAX, endless)]
    {
        primary.link().delay_ways(to_server, to_client).await?;
        let mut query = Box::pin(client.simple_query("SELECT 1"));
        assert!(hangs(&mut query).await, "{to_server:?} {to_client:?}");
        primary.link().heal().await?;
        assert!(query.await.is_ok());
    }
    primary.link().delay(Duration::from_millis(5)).await?;
    let large = client.query_one("SELECT repeat('x', 5000000)", &[]).await.unwrap();
    assert_eq!(large.get::<_, &str>(0).len(), 5_000_000);
    Ok(())
}

#[tokio::test]
async fn a_slow_link_drips() -> Result<()> {
    let cluster = cluster_with_table(0).await?;
    let primary = cluster.primary();
    let client = primary.client().await?;
    primary.link().rate(NonZeroU64::new(1000).unwrap()).await?;
    assert!(answers(&client).await, "a small answer drips through");
    let mut large = Box::pin(client.query_one("SELECT repeat('x', 5000000)", &[]));
    assert!(hangs(&mut large).await, "five megabytes at a kilobyte a second");
    primary.link().heal().await?;
    assert_eq!(large.await.unwrap().get::<_, &str>(0).len(), 5_000_000);
    Ok(())
}

#[tokio::test]
async fn links_between_servers_are_links_too() -> Result<()> {
    let cluster = cluster_with_table(2).await?;
    let (primary, near, far) = (cluster.primary(), cluster.replica(1)?, cluster.replica(2)?);
    let link = far.upstream_link().unwrap();
    assert!(primary.upstream_link().is_none());
    link.cut().await?;
    write(primary, "cut").await?;
    sees_soon(near, "cut").await?;
    assert!(!sees(far, "cut").await?);
    link.heal().await?;
    sees_soon(far, "cut").await?;
    far.wait_streaming().await?;

    link.blackhole().await?;
    write(primary, "silence").await?;
    sees_soon(near, "silence").await?;
    tokio::time::sleep(MOMENT).await;
    assert!(!sees(far, "silence").await?);
    // The primary gives the silent standby up; nobody tells the standby, which finds out by itself.
    let alone = "SELECT count(*) = 1 FROM pg_stat_replication";
    let given_up = async || Ok::<_, ClusterError>(primary.admin_query_text(alone).await? == "t");
    wait_until(SOON, "the primary to give the standby up", given_up).await?;
    link.heal().await?;
    sees_soon(far, "silence").await
}

#[tokio::test]
async fn the_network_outlives_the_runtime_of_the_boot() -> Result<()> {
    let boot = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(cluster_with_table(1))
    };
    let cluster = tokio::task::spawn_blocking(boot).await.unwrap()?;
    write(cluster.primary(), "later").await?;
    cluster.wait_caught_up(SOON).await?;
    assert!(answers(&cluster.replica(1)?.client().await?).await);
    Ok(())
}

#[tokio::test]
async fn links_end_with_their_cluster() -> Result<()> {
    let cluster = cluster_with_table(0).await?;
    let link = cluster.primary().link().clone();
    drop(cluster);
    assert!(link.heal().await.is_err());
    let refused = async || Ok::<_, ClusterError>(call(&link).await.is_err());
    Ok(wait_until(SOON, "the link's port to close", refused).await?)
}
