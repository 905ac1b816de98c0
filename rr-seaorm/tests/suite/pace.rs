//! A thousand reads and one write in a second: every read is right, and the standbys serve them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

use rr_seaorm::RoutedConnection;
use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, QuerySelect};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::support::{Result, boot, connect, note, standby_serves};

/// As many read at a time …
const READERS: u64 = 8;
/// … and so often that all of them together make a thousand reads in a second.
const PACE: Duration = Duration::from_millis(READERS);

/// What everybody knows of the counter.
#[derive(Debug, Default)]
struct Known {
    /// The highest value that was asked to be written.
    asked: AtomicI32,
    /// The highest value whose commit has returned.
    written: AtomicI32,
    /// Reads that standbys have answered, as they say themselves.
    standbys: AtomicU64,
    /// Reads that the primary has answered.
    primary: AtomicU64,
}

impl Known {
    fn reads(&self) -> u64 {
        self.standbys.load(Ordering::Relaxed) + self.primary.load(Ordering::Relaxed)
    }

    /// How many in a thousand reads were the standbys'.
    fn share(&self) -> u64 {
        self.standbys.load(Ordering::Relaxed) * 1000 / self.reads()
    }
}

/// Reads `count` times at the pace, and is never told less than what was written before, nor less than it saw.
async fn read(db: RoutedConnection, known: Arc<Known>, count: u64) -> Result<(), String> {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = 0;
    for _ in 0..count {
        pace.tick().await;
        let least = known.written.load(Ordering::SeqCst).max(seen);
        let row: Option<(i32, bool)> = note::Entity::find_by_id(1)
            .select_only()
            .column(note::Column::Stars)
            .column_as(Expr::cust("on_standby()"), "standby")
            .into_tuple()
            .one(&db)
            .await
            .map_err(|error| error.to_string())?;
        let most = known.asked.load(Ordering::SeqCst);
        let (stars, standby) = row.ok_or("the note is gone")?;
        if !(least..=most).contains(&stars) {
            return Err(format!("read {stars}, which is not in {least}..={most} (on a standby: {standby})"));
        }
        seen = stars;
        let served = if standby { &known.standbys } else { &known.primary };
        served.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Lets all readers together read `count` times, and writes `writes` times meanwhile.
async fn run(count: u64, writes: i32) -> Result<Arc<Known>> {
    let cluster = boot(2).await?;
    let db = connect(&cluster).await?;
    let first = note::ActiveModel { text: Set("counter".to_owned()), stars: Set(0), ..Default::default() };
    assert_eq!(first.insert(&db).await?.id, 1);
    // What is read has been written before: the standbys have it when the readers begin.
    standby_serves(&db).await?;
    let known = Arc::<Known>::default();
    let readers: Vec<JoinHandle<_>> =
        (0..READERS).map(|_| tokio::spawn(read(db.clone(), Arc::clone(&known), count / READERS))).collect();
    let mut pace = interval(PACE);
    for written in 1..=writes {
        // Spread evenly over the reads.
        let due = count * u64::from(written.unsigned_abs() - 1) / u64::from(writes.unsigned_abs());
        while known.reads() < due && !readers.iter().any(JoinHandle::is_finished) {
            pace.tick().await;
        }
        known.asked.store(written, Ordering::SeqCst);
        let next = note::ActiveModel { id: Set(1), stars: Set(written), ..Default::default() };
        next.update(&db).await?;
        known.written.store(written, Ordering::SeqCst);
    }
    for reader in readers {
        reader.await??;
    }
    assert_eq!(known.reads(), count);
    Ok(known)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_write_in_a_thousand_reads() -> Result {
    let known = run(6000, 6).await?;
    assert!(known.share() >= 950, "{known:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_reads() -> Result {
    let known = run(4000, 0).await?;
    assert!(known.share() >= 990, "{known:?}");
    Ok(())
}
