//! Twins of what others made and loom does not see into: they promise what those document, and no more.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::{Mutex, Notify};

use super::atomics::{AtomicUsize, Ordering};

/// `arc_swap::ArcSwap`: a pointer that is stored with release and loaded with acquire, so that loom shows a reader each value
/// that these allow it to see.
#[derive(Debug)]
pub(crate) struct Swap<T> {
    at: AtomicUsize,
    /// All that were ever stored. What the pointer says orders, and not this lock, of which loom knows nothing.
    values: std::sync::Mutex<Vec<Arc<T>>>,
}

impl<T> Swap<T> {
    pub(crate) fn from_pointee(value: T) -> Self {
        Self { at: AtomicUsize::default(), values: std::sync::Mutex::new(vec![Arc::new(value)]) }
    }

    pub(crate) fn store(&self, value: Arc<T>) {
        let at = {
            let mut values = self.values.lock().unwrap();
            values.push(value);
            values.len() - 1
        };
        self.at.store(at, Ordering::Release);
    }

    pub(crate) fn load(&self) -> Arc<T> {
        let at = self.at.load(Ordering::Acquire);
        Arc::clone(&self.values.lock().unwrap()[at])
    }

    pub(crate) fn load_full(&self) -> Arc<T> {
        self.load()
    }
}

/// `tokio::sync::watch::Sender`, as far as it is used for publications.
#[derive(Debug)]
pub(crate) struct News(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    count: u64,
    version: u64,
    waiting: Vec<Waker>,
}

/// `tokio::sync::watch::Receiver`.
#[derive(Debug)]
pub(crate) struct Receiver {
    told: Arc<Mutex<Told>>,
    seen: Option<u64>,
}

impl News {
    pub(crate) fn new(count: u64) -> Self {
        Self(Arc::new(Mutex::new(Told { count, ..Told::default() })))
    }

    pub(crate) fn send_modify(&self, change: impl FnOnce(&mut u64)) {
        let waiting = {
            let mut told = self.0.lock().unwrap();
            change(&mut told.count);
            told.version += 1;
            std::mem::take(&mut told.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn subscribe(&self) -> Receiver {
        Receiver { told: Arc::clone(&self.0), seen: Some(self.0.lock().unwrap().version) }
    }
}

impl Receiver {
    pub(crate) fn mark_changed(&mut self) {
        self.seen = None;
    }

    /// Its sender never goes in a model.
    pub(crate) async fn changed(&mut self) -> Result<(), std::convert::Infallible> {
        poll_fn(|context| {
            let mut told = self.told.lock().unwrap();
            if self.seen == Some(told.version) {
                told.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
            self.seen = Some(told.version);
            Poll::Ready(Ok(()))
        })
        .await
    }
}

struct Bell(Notify);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

/// Runs a future on this thread of a model. Loom tells of a thread that sleeps for ever.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let bell = Arc::new(Bell(Notify::new()));
    let waker = Waker::from(Arc::clone(&bell));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => bell.0.wait(),
        }
    }
}
