//! Many readers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use diesel::QueryResult;
use rr_diesel::RoutedPool;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::support::{Result, place, until};

/// What readers have been served, by what the servers said of themselves.
#[derive(Clone, Default)]
pub(crate) struct Served {
    stop: Arc<AtomicBool>,
    standby: Arc<AtomicU64>,
    primary: Arc<AtomicU64>,
}

impl Served {
    pub(crate) fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, by_standby: bool) {
        let served = if by_standby { &self.standby } else { &self.primary };
        served.fetch_add(1, Ordering::Relaxed);
    }

    /// Reads on standbys, and on the primary.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.standby.load(Ordering::Relaxed), self.primary.load(Ordering::Relaxed))
    }

    /// Waits until as many more reads have been served.
    pub(crate) async fn more(&self, count: u64) -> Result {
        let all = || self.counts().0 + self.counts().1;
        let goal = all() + count;
        until("more reads", async || Ok(all() >= goal)).await
    }

    /// Waits until standbys have served as many more.
    pub(crate) async fn more_on_standbys(&self, count: u64) -> Result {
        let goal = self.counts().0 + count;
        until("standbys to serve", async || Ok(self.counts().0 >= goal)).await
    }
}

/// The newest value whose write has been acknowledged.
#[derive(Clone, Default)]
pub(crate) struct Newest(Arc<AtomicI64>);

impl Newest {
    pub(crate) fn acknowledged(&self, value: i64) {
        self.0.store(value, Ordering::Release);
    }

    /// What a read that begins now must see at least.
    pub(crate) fn get(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }
}

/// When a reader reads.
pub(crate) struct Turns {
    pub(crate) served: Served,
    pace: Option<Interval>,
}

impl Turns {
    /// Waits for the next turn, if there is one.
    pub(crate) async fn next(&mut self) -> bool {
        if let Some(pace) = &mut self.pace {
            pace.tick().await;
        }
        self.served.goes_on()
    }
}

/// Readers that go on until they are stopped. The first error ends one, and is told at the end.
pub(crate) struct Readers {
    pub(crate) served: Served,
    tasks: Vec<tokio::task::JoinHandle<QueryResult<()>>>,
}

impl Readers {
    /// So many readers, each as fast as it can.
    pub(crate) fn start(pool: &RoutedPool, count: usize) -> Self {
        let mut readers = Self::none();
        for _ in 0..count {
            let pool = pool.clone();
            readers.add(Duration::ZERO, async move |mut turns| {
                while turns.next().await {
                    turns.served.count(place(&mut pool.handle()).await?.standby);
                }
                Ok(())
            });
        }
        readers
    }

    pub(crate) fn none() -> Self {
        Self { served: Served::default(), tasks: Vec::new() }
    }

    /// One more, whose turn it is once in `every`.
    pub(crate) fn add<F>(&mut self, every: Duration, reader: impl FnOnce(Turns) -> F)
    where
        F: Future<Output = QueryResult<()>> + Send + 'static,
    {
        let mut pace = (!every.is_zero()).then(|| interval(every));
        // Whoever is late catches up: it is a rate that is wanted.
        pace.iter_mut().for_each(|pace| pace.set_missed_tick_behavior(MissedTickBehavior::Delay));
        self.tasks.push(tokio::spawn(reader(Turns { served: self.served.clone(), pace })));
    }

    pub(crate) async fn more(&self, count: u64) -> Result {
        self.served.more(count).await
    }

    pub(crate) async fn finish(self) -> Result<(u64, u64)> {
        self.served.stop();
        for task in self.tasks {
            task.await??;
        }
        Ok(self.served.counts())
    }
}
