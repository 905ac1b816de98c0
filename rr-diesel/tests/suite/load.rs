//! Many readers at once: where their reads go, and that none fails when servers do.

use std::time::Duration;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use rr_core::config::ReadPreference;
use rr_diesel::RoutedPool;

use crate::readers::Readers;
use crate::support::{Result, boot, config, note, pool, until};

#[tokio::test(flavor = "multi_thread")]
async fn replicas_carry_a_load_of_reads() -> Result {
    let cluster = boot(2).await?;
    let pool = pool(&cluster).await?;
    let readers = Readers::start(&pool, 8);
    readers.more(3000).await?;
    let (standby, primary) = readers.finish().await?;
    println!("read-only load: {standby} on standbys, {primary} on the primary");
    assert!(standby >= 99 * primary, "{standby} on standbys, {primary} on the primary");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_read_fails_while_servers_do() -> Result {
    let cluster = boot(2).await?;
    let pool = pool(&cluster).await?;
    let readers = Readers::start(&pool, 8);
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
    let before = readers.served().0;
    until("standbys to serve again", async || Ok(readers.served().0 > before + 100)).await?;
    cluster.primary().kill9().await?;
    readers.more(500).await?;
    let (standby, primary) = readers.finish().await?;
    println!("failing servers: {standby} on standbys, {primary} on the primary, none failed");
    Ok(())
}

/// The fallback to the primary would hide a stale read; without it, it shows.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_alone_give_the_same_answers() -> Result {
    let cluster = boot(1).await?;
    let settings =
        config(&cluster).read_preference(ReadPreference::Replica).causal_wait(Duration::from_secs(20));
    let pool = RoutedPool::start(settings.build()?).await?;
    let readers = Readers::start(&pool, 2);
    let conn = &mut pool.get().await?;
    for round in 0..100 {
        let id: i32 = diesel::insert_into(note::table)
            .values(note::text.eq("x"))
            .returning(note::id)
            .get_result(conn)
            .await?;
        diesel::update(note::table.find(id)).set(note::stars.eq(round)).execute(conn).await?;
        let stars: i32 = note::table.find(id).select(note::stars).first(&mut pool.handle()).await?;
        assert_eq!(stars, round);
    }
    let (_, primary) = readers.finish().await?;
    assert_eq!(primary, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_now_and_then_leaves_the_load_on_replicas() -> Result {
    let cluster = boot(1).await?;
    let pool = pool(&cluster).await?;
    let readers = Readers::start(&pool, 4);
    let conn = &mut pool.get().await?;
    for round in 1..=3_i64 {
        diesel::insert_into(note::table).values(note::text.eq("x")).execute(conn).await?;
        assert_eq!(note::table.count().get_result::<i64>(&mut pool.handle()).await?, round);
        readers.more(1000).await?;
    }
    let (standby, primary) = readers.finish().await?;
    println!("a write now and then: {standby} on standbys, {primary} on the primary");
    assert!(standby >= 19 * primary, "{standby} on standbys, {primary} on the primary");
    Ok(())
}
