//! Many readers at once: where their reads go, and that none fails when servers do.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sea_orm::ConnectionTrait;

use crate::readers::Readers;
use crate::support::{PATIENCE, Result, boot, config, connect, started};

#[tokio::test(flavor = "multi_thread")]
async fn replicas_carry_a_load_of_reads() -> Result {
    let cluster = boot(2).await?;
    let readers = Readers::start(&connect(&cluster).await?, 8);
    readers.more(3000).await?;
    let (standby, primary) = readers.finish().await?;
    println!("read-only load: {standby} on standbys, {primary} on the primary");
    assert!(standby >= 99 * primary, "{standby} on standbys, {primary} on the primary");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_now_and_then_leaves_the_load_on_replicas() -> Result {
    let cluster = boot(1).await?;
    // Thousands of reads a second would make much of each moment in which the standby stands still.
    let db = started(config(&cluster).causal_wait(PATIENCE)).await?;
    let readers = Readers::start(&db, 4);
    for round in 1..=5 {
        db.execute_unprepared("INSERT INTO note (text) VALUES ('x')").await?;
        readers.seen.written.store(round, Ordering::Release);
        readers.more(1000).await?;
    }
    let (standby, primary) = readers.finish().await?;
    println!("a write now and then: {standby} on standbys, {primary} on the primary");
    assert!(standby >= 19 * primary, "{standby} on standbys, {primary} on the primary");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_read_fails_while_servers_do() -> Result {
    let cluster = boot(2).await?;
    let db = connect(&cluster).await?;
    let readers = Readers::start(&db, 8);
    readers.more(500).await?;
    for replica in cluster.replicas() {
        replica.kill_client_connections().await?;
        readers.more(200).await?;
    }
    cluster.replica(1)?.kill9().await?;
    readers.more(500).await?;
    cluster.replica(2)?.kill9().await?;
    readers.more(500).await?;
    cluster.replica(1)?.start().await?;
    cluster.replica(2)?.start().await?;
    readers.more_on_standbys(100).await?;
    cluster.primary().kill9().await?;
    readers.more(500).await?;
    let (standby, primary) = readers.finish().await?;
    println!("failing servers: {standby} on standbys, {primary} on the primary, none failed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_and_readers_agree() -> Result {
    let cluster = boot(2).await?;
    cluster.replica(1)?.apply_delay(Duration::from_millis(50)).await?;
    let db = connect(&cluster).await?;
    let readers = Readers::start(&db, 4);
    for round in 1..=200 {
        db.execute_unprepared("INSERT INTO note (text) VALUES ('x')").await?;
        readers.seen.written.store(round, Ordering::Release);
    }
    readers.finish().await?;
    Ok(())
}
