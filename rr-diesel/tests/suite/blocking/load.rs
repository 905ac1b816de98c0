//! Many threads at once: where their reads go, and what they see.

use std::time::Duration;

use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;

use super::readers::{Readers, Turns};
use super::{place, pool};
use crate::load::WAY;
use crate::readers::Newest;
use crate::support::{MARK, PATIENCE, Result, Seen, boot, mark};

#[tokio::test(flavor = "multi_thread")]
async fn replicas_carry_a_load_of_reads() -> Result {
    let cluster = boot(2).await?;
    let pool = pool(&cluster)?;
    let mut readers = Readers::default();
    for _ in 0..6 {
        let pool = pool.clone();
        readers.add(move |mut turns: Turns| {
            while turns.next() {
                turns.served.count(place(&mut pool.handle())?.standby);
            }
            Ok(())
        });
    }
    readers.served.more(3000).await?;
    let (standby, primary) = readers.finish()?;
    println!("read-only load: {standby} on standbys, {primary} on the primary");
    assert!(standby >= 99 * primary, "{standby} on standbys, {primary} on the primary");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_per_second_leaves_the_load_on_replicas_and_is_seen_by_all() -> Result {
    let cluster = boot(1).await?;
    cluster.replica(1)?.upstream_link().ok_or("a link")?.delay(WAY).await?;
    cluster.primary().sql(MARK).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let pool = pool(&cluster)?;
    let newest = Newest::default();
    let mut readers = Readers::in_turn(Duration::from_millis(1));
    for number in 0..6 {
        let (pool, newest) = (pool.clone(), newest.clone());
        readers.add(move |mut turns: Turns| {
            let mut kept = pool.handle();
            while turns.next() {
                let least = newest.get();
                let query = sql_query("SELECT n, on_standby() AS standby FROM mark WHERE id = 1");
                let seen: Seen = match number % 2 {
                    0 => query.get_result(&mut kept)?,
                    _ => query.get_result(&mut pool.handle())?,
                };
                assert!(seen.n >= least, "{} was read after {least} had been written", seen.n);
                turns.served.count(seen.standby);
            }
            Ok(())
        });
    }
    let mut writes = tokio::time::interval(Duration::from_secs(1));
    for value in 1..=5 {
        writes.tick().await;
        let conn = &mut pool.handle();
        let update = diesel::update(mark::table).set(mark::n.eq(value));
        match value % 2 {
            0 => update.execute(conn)?,
            _ => conn.transaction::<_, Error, _>(|conn| update.execute(conn))?,
        };
        newest.acknowledged(value);
    }
    writes.tick().await;
    let (standby, primary) = readers.finish()?;
    println!("a write per second: {standby} reads on the standby, {primary} on the primary");
    assert!(standby >= 19 * primary, "{standby} on standbys, {primary} on the primary");
    assert!(primary > 0, "for a while after a write the standby cannot have had it");
    Ok(())
}
