//! Stopping what a handle does, wherever that runs.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio_postgres::CancelToken;

use crate::connector::{Connection, Tls};

/// What a handle runs right now, for its cancel tokens. Nothing is noted before there is one.
#[derive(Default)]
pub(super) struct Running(OnceLock<Arc<Inner>>);

#[derive(Default)]
struct Inner {
    cancelled: AtomicU64,
    now: Mutex<Vec<(u64, CancelToken, Tls)>>,
    next: AtomicU64,
}

impl Inner {
    fn now(&self) -> MutexGuard<'_, Vec<(u64, CancelToken, Tls)>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    pub(super) fn token(&self) -> RoutedCancelToken {
        RoutedCancelToken { running: Arc::clone(self.0.get_or_init(Arc::default)) }
    }

    /// How often this was cancelled: a statement that was must not be tried again.
    #[inline]
    pub(super) fn cancelled(&self) -> u64 {
        self.0.get().map_or(0, |inner| inner.cancelled.load(Ordering::Acquire))
    }

    /// Notes what runs until the guard is dropped.
    #[inline]
    pub(super) fn note(&self, connection: &Connection) -> Option<Noted> {
        let inner = self.0.get()?;
        let number = inner.next.fetch_add(1, Ordering::Relaxed);
        inner.now().push((number, connection.conn.cancel_token(), connection.tls.clone()));
        Some(Noted { inner: Arc::clone(inner), number })
    }
}

pub(super) struct Noted {
    inner: Arc<Inner>,
    number: u64,
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.inner.now().retain(|(number, ..)| *number != self.number);
    }
}

/// Stops what its handle does at the moment when it is asked to, on whatever nodes.
#[derive(Clone)]
pub struct RoutedCancelToken {
    running: Arc<Inner>,
}

impl RoutedCancelToken {
    /// Asks the servers to stop. The connection is encrypted as the handle's own are; `_tls` is there so that code
    /// written for [`CancelToken`] compiles.
    ///
    /// # Errors
    /// When a server cannot be reached.
    pub async fn cancel_query<T>(&self, _tls: T) -> Result<(), tokio_postgres::Error> {
        let inner = &self.running;
        inner.cancelled.fetch_add(1, Ordering::AcqRel);
        let now: Vec<_> = inner.now().iter().map(|(_, token, tls)| (token.clone(), tls.clone())).collect();
        for (token, tls) in now {
            tls.cancel(&token).await?;
        }
        Ok(())
    }
}

impl fmt::Debug for RoutedCancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoutedCancelToken").finish_non_exhaustive()
    }
}
