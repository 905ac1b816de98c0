//! Many readers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use diesel::QueryResult;
use rr_diesel::RoutedPool;

use crate::support::{Result, place, until};

/// Readers that go on until they are stopped. The first error ends one, and is told at the end.
pub(crate) struct Readers {
    stop: Arc<AtomicBool>,
    standby: Arc<AtomicU64>,
    primary: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<QueryResult<()>>>,
}

impl Readers {
    pub(crate) fn start(pool: &RoutedPool, count: usize) -> Self {
        let (stop, standby, primary) = <(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let tasks = (0..count).map(|_| {
            let (pool, stop) = (pool.clone(), Arc::clone(&stop));
            let (standby, primary) = (Arc::clone(&standby), Arc::clone(&primary));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let place = place(&mut pool.handle()).await?;
                    let served = if place.standby { &standby } else { &primary };
                    served.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        });
        let tasks = tasks.collect();
        Self { stop, standby, primary, tasks }
    }

    pub(crate) fn served(&self) -> (u64, u64) {
        (self.standby.load(Ordering::Relaxed), self.primary.load(Ordering::Relaxed))
    }

    /// Waits until as many more reads have been served.
    pub(crate) async fn more(&self, count: u64) -> Result {
        let all = || self.served().0 + self.served().1;
        let goal = all() + count;
        until("more reads", async || Ok(all() >= goal)).await
    }

    pub(crate) async fn finish(self) -> Result<(u64, u64)> {
        self.stop.store(true, Ordering::Relaxed);
        let served = (Arc::clone(&self.standby), Arc::clone(&self.primary));
        for task in self.tasks {
            task.await??;
        }
        Ok((served.0.load(Ordering::Relaxed), served.1.load(Ordering::Relaxed)))
    }
}
