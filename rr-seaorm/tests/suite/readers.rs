//! Many readers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use rr_seaorm::RoutedConnection;
use sea_orm::{ConnectionTrait, DbErr};
use tokio::task::JoinSet;

use crate::support::{Result, raw, until};

/// Tasks that read without pause, count who answered, and end with the first error or the first stale answer.
pub(crate) struct Readers {
    tasks: JoinSet<Result<(), DbErr>>,
    pub(crate) seen: Arc<Seen>,
}

/// What readers have been served, by what the servers said of themselves.
#[derive(Default)]
pub(crate) struct Seen {
    standby: AtomicU64,
    primary: AtomicU64,
    stop: AtomicBool,
    /// What was written and acknowledged.
    pub(crate) written: AtomicI64,
}

impl Seen {
    pub(crate) fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, by_standby: bool) {
        if by_standby { &self.standby } else { &self.primary }.fetch_add(1, Ordering::Relaxed);
    }
}

impl Readers {
    pub(crate) fn none() -> Self {
        Self { tasks: JoinSet::new(), seen: Arc::default() }
    }

    /// One more.
    pub(crate) fn add<F>(&mut self, reader: impl FnOnce(Arc<Seen>) -> F)
    where
        F: Future<Output = Result<(), DbErr>> + Send + 'static,
    {
        self.tasks.spawn(reader(Arc::clone(&self.seen)));
    }

    /// So many that count notes, and never find fewer than were written before.
    pub(crate) fn start(db: &RoutedConnection, count: usize) -> Self {
        let mut readers = Self::none();
        for _ in 0..count {
            let db = db.clone();
            readers.add(async move |seen| {
                while seen.goes_on() {
                    let written = seen.written.load(Ordering::Acquire);
                    let row = db.query_one_raw(raw("SELECT on_standby(), count(*) FROM note")).await?;
                    let row = row.ok_or_else(|| DbErr::RecordNotFound("a count".to_owned()))?;
                    let (standby, count): (bool, i64) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
                    if count < written {
                        return Err(DbErr::Custom(format!("{written} were written, {count} were read")));
                    }
                    seen.count(standby);
                }
                Ok(())
            });
        }
        readers
    }

    /// Reads on standbys, and on the primary.
    pub(crate) fn served(&self) -> (u64, u64) {
        (self.seen.standby.load(Ordering::Relaxed), self.seen.primary.load(Ordering::Relaxed))
    }

    /// Waits until so many more reads have been answered.
    pub(crate) async fn more(&self, reads: u64) -> Result {
        let total = || self.served().0 + self.served().1;
        let before = total();
        until("more reads", async || Ok(total() >= before + reads)).await
    }

    /// Waits until standbys have answered so many more.
    pub(crate) async fn more_on_standbys(&self, reads: u64) -> Result {
        let before = self.served().0;
        until("standbys to serve", async || Ok(self.served().0 >= before + reads)).await
    }

    pub(crate) async fn finish(mut self) -> Result<(u64, u64)> {
        self.seen.stop.store(true, Ordering::Relaxed);
        while let Some(task) = self.tasks.join_next().await {
            task??;
        }
        Ok(self.served())
    }
}
