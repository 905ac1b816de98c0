//! A load that judges: clients write rows, each once, and read, while something happens to the servers.
//!
//! Whoever uses it says how one row is written and how one read is done. What was answered is told at the end, to be
//! compared with what a server has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinHandle;

use crate::cluster::Node;
use crate::wait::{PATIENCE, until};

/// Of each kind.
const CLIENTS: usize = 4;

type Failure = Box<dyn std::error::Error>;

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    writers: Vec<JoinHandle<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// Writes that were begun, and answered, since somebody asked.
    begun_since: AtomicBool,
    answered_since: AtomicU64,
    reads: AtomicU64,
    failed_reads: AtomicU64,
    failed_writes: AtomicU64,
}

/// What clients have done.
#[derive(Debug)]
#[non_exhaustive]
pub struct Done {
    /// The texts whose writes were answered.
    pub written: Vec<String>,
    /// Writes that failed: they may have been done, or not.
    pub failed_writes: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Reads that failed.
    pub failed_reads: u64,
}

impl Load {
    /// Lets clients work; each has its own clone of `db`.
    pub fn start<D, W, R>(db: &D, write: W, read: R) -> Self
    where
        D: Clone + Send + Sync + 'static,
        W: AsyncWork<(D, String)>,
        R: AsyncWork<D>,
    {
        let shared = Arc::new(Shared::default());
        let writers = (0..CLIENTS).map(|client| {
            let (db, write, shared) = (db.clone(), write.clone(), Arc::clone(&shared));
            tokio::spawn(async move {
                let mut written = Vec::new();
                for number in 0.. {
                    if shared.stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let (text, counts) =
                        (format!("{client}-{number}"), shared.begun_since.load(Ordering::Acquire));
                    match write.run((db.clone(), text.clone())).await {
                        Ok(()) => {
                            written.push(text);
                            shared.answered_since.fetch_add(u64::from(counts), Ordering::Relaxed);
                        }
                        Err(_) => drop(shared.failed_writes.fetch_add(1, Ordering::Relaxed)),
                    }
                    tokio::task::yield_now().await;
                }
                written
            })
        });
        let writers = writers.collect();
        let readers = (0..CLIENTS).map(|_| {
            let (db, read, shared) = (db.clone(), read.clone(), Arc::clone(&shared));
            tokio::spawn(async move {
                while !shared.stop.load(Ordering::Relaxed) {
                    let count = match read.run(db.clone()).await {
                        Ok(()) => &shared.reads,
                        Err(_) => &shared.failed_reads,
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            })
        });
        let readers = readers.collect();
        Self { shared, writers, readers }
    }

    /// Waits until so many writes that begin from now on have been answered.
    ///
    /// # Errors
    /// When they are not in time.
    pub async fn writes(&self, count: u64) -> Result<(), Failure> {
        self.shared.answered_since.store(0, Ordering::Relaxed);
        self.shared.begun_since.store(true, Ordering::Release);
        let enough = async || Ok::<_, Failure>(self.shared.answered_since.load(Ordering::Relaxed) >= count);
        let waited = until("writes to be answered", enough).await;
        self.shared.begun_since.store(false, Ordering::Release);
        waited
    }

    /// Ends it.
    ///
    /// # Errors
    /// When a client panicked.
    pub async fn end(self) -> Result<Done, Failure> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut written = Vec::new();
        for writer in self.writers {
            written.extend(tokio::time::timeout(PATIENCE, writer).await??);
        }
        for reader in self.readers {
            tokio::time::timeout(PATIENCE, reader).await??;
        }
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Ok(Done {
            written,
            failed_writes: of(&self.shared.failed_writes),
            reads: of(&self.shared.reads),
            failed_reads: of(&self.shared.failed_reads),
        })
    }
}

impl Done {
    /// The answered writes that this server does not have exactly once in its table `note`.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn missing_on(&self, node: &Node) -> Result<Vec<String>, Failure> {
        let rows = node.query_text("SELECT coalesce(string_agg(text, ','), '') FROM note").await?;
        let mut counts = std::collections::HashMap::<&str, usize>::new();
        for text in rows.split(',') {
            *counts.entry(text).or_default() += 1;
        }
        let once = |text: &&String| counts.get(text.as_str()) != Some(&1);
        Ok(self.written.iter().filter(once).cloned().collect())
    }
}

/// Something to do with an argument, again and again.
pub trait AsyncWork<A>: Clone + Send + Sync + 'static {
    /// Does it once.
    fn run(&self, argument: A) -> impl Future<Output = Result<(), String>> + Send;
}

impl<A, F, Fut> AsyncWork<A> for F
where
    F: Fn(A) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), String>> + Send,
{
    fn run(&self, argument: A) -> impl Future<Output = Result<(), String>> + Send {
        self(argument)
    }
}
