//! Many readers at once: where their reads go, and that none fails when servers do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use rr_seaorm::RoutedConnection;
use sea_orm::{ConnectionTrait, DbErr};
use tokio::task::JoinSet;

use crate::support::{Result, boot, connect, raw, until};

/// Tasks that read without pause, count who answered, and end with the first error or the first stale answer.
struct Readers {
    tasks: JoinSet<Result<(), DbErr>>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    standby: AtomicU64,
    primary: AtomicU64,
    stop: AtomicBool,
    /// What was written and acknowledged.
    written: AtomicI64,
}

impl Readers {
    fn start(db: &RoutedConnection, count: usize) -> Self {
        let seen = Arc::new(Seen::default());
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let (db, seen) = (db.clone(), Arc::clone(&seen));
            tasks.spawn(async move {
                while !seen.stop.load(Ordering::Relaxed) {
                    let written = seen.written.load(Ordering::Acquire);
                    let row = db.query_one_raw(raw("SELECT on_standby(), count(*) FROM note")).await?;
                    let row = row.ok_or_else(|| DbErr::RecordNotFound("a count".to_owned()))?;
                    let (standby, count): (bool, i64) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
                    if count < written {
                        return Err(DbErr::Custom(format!("{written} were written, {count} were read")));
                    }
                    if standby { &seen.standby } else { &seen.primary }.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            });
        }
        Self { tasks, seen }
    }

    fn served(&self) -> (u64, u64) {
        (self.seen.standby.load(Ordering::Relaxed), self.seen.primary.load(Ordering::Relaxed))
    }

    /// Waits until so many more reads have been answered.
    async fn more(&self, reads: u64) -> Result {
        let total = || self.served().0 + self.served().1;
        let before = total();
        until("more reads", async || Ok(total() >= before + reads)).await
    }

    async fn finish(mut self) -> Result<(u64, u64)> {
        self.seen.stop.store(true, Ordering::Relaxed);
        while let Some(task) = self.tasks.join_next().await {
            task??;
        }
        Ok(self.served())
    }
}

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
    let db = connect(&cluster).await?;
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
    let before = readers.served().0;
    until("standbys to serve again", async || Ok(readers.served().0 > before + 100)).await?;
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
