//! Many readers at once: where their reads go, and what they see.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use diesel_async::{AsyncConnection, RunQueryDsl};
use rr_core::config::ReadPreference;
use rr_diesel::RoutedPool;

use crate::readers::{Newest, Readers, Turns};
use crate::support::{MARK, PATIENCE, Result, Seen, boot, config, mark, note, pool};

/// How long a message takes between the primary and its standby: longer than a read waits.
pub(crate) const WAY: Duration = Duration::from_millis(10);

/// Readers who read once in so many milliseconds: a thousand reads per second.
const READERS: u64 = 10;

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

/// With a network between the primary and its standby: for a while after each write only the primary has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_per_second_leaves_the_load_on_replicas_and_is_seen_by_all() -> Result {
    let cluster = boot(1).await?;
    let replica = cluster.replica(1)?;
    replica.upstream_link().ok_or("a link")?.delay(WAY).await?;
    cluster.primary().sql(MARK).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let pool = pool(&cluster).await?;
    let newest = Newest::default();
    let mut readers = Readers::none();
    for number in 0..READERS {
        let (pool, newest) = (pool.clone(), newest.clone());
        readers.add(Duration::from_millis(READERS), async move |mut turns: Turns| {
            let mut kept = pool.handle();
            while turns.next().await {
                let least = newest.get();
                let query = sql_query("SELECT n, on_standby() AS standby FROM mark WHERE id = 1");
                let seen: Seen = match number % 2 {
                    0 => query.get_result(&mut kept).await?,
                    _ => query.get_result(&mut pool.handle()).await?,
                };
                assert!(seen.n >= least, "{} was read after {least} had been written", seen.n);
                turns.served.count(seen.standby);
            }
            Ok(())
        });
    }
    let mut writes = tokio::time::interval(Duration::from_secs(1));
    for value in 1..=8 {
        writes.tick().await;
        let conn = &mut pool.handle();
        match value % 2 {
            0 => drop(diesel::update(mark::table).set(mark::n.eq(value)).execute(conn).await?),
            _ => {
                conn.transaction(async |conn| {
                    diesel::update(mark::table).set(mark::n.eq(value)).execute(conn).await
                })
                .await?;
            }
        }
        newest.acknowledged(value);
    }
    writes.tick().await;
    let (standby, primary) = readers.finish().await?;
    println!("a write per second: {standby} reads on the standby, {primary} on the primary");
    assert!(standby >= 19 * primary, "{standby} on standbys, {primary} on the primary");
    assert!(primary > 0, "for a while after a write the standby cannot have had it");
    Ok(())
}
