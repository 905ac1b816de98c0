//! A BEGIN that is given up.

use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};

use tokio::runtime::{Builder, Handle};

/// Takes a connection out of a pool and begins a transaction on it.
///
/// The driver (sqlx 0.9) counts a transaction only when BEGIN was answered. Were the future of a BEGIN under way simply
/// dropped, its connection would go back into the pool with the transaction open, and what the next one writes on it would
/// never be committed. Whether it has a connection yet, or still stands in line for one, it does not say.
///
/// So whoever drops this closes the connection, if there is one: the driver has a task bring it back, and here no task runs.
/// What stands in line leaves it, and nothing is left that somebody would have to wait for.
pub(super) struct Beginning<'a, F> {
    /// Not moved: it is large.
    work: Pin<&'a mut Option<F>>,
}

/// A runtime that was shut down: what is spawned on it is dropped at once. For a connection on its way back the driver takes
/// that as it should: it is closed, and its pool has room for another one.
static NOWHERE: LazyLock<Handle> = LazyLock::new(|| {
    let Ok(runtime) = Builder::new_current_thread().build() else {
        unreachable!("a runtime without drivers opens nothing")
    };
    let handle = runtime.handle().clone();
    runtime.shutdown_background();
    handle
});

/// Drops what has a connection, so that the connection is closed instead of asked whether it lives.
pub(super) fn closing<T>(holder: T) {
    let _nowhere = NOWHERE.enter();
    drop(holder);
}

impl<'a, F> Beginning<'a, F> {
    pub(super) fn new(work: Pin<&'a mut Option<F>>) -> Self {
        Self { work }
    }
}

impl<F: Future> Future for Beginning<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Some(work) = self.work.as_mut().as_pin_mut() else { return Poll::Pending };
        let begun = ready!(work.poll(context));
        self.work.set(None);
        Poll::Ready(begun)
    }
}

impl<F> Drop for Beginning<'_, F> {
    fn drop(&mut self) {
        if self.work.is_some() {
            let _nowhere = NOWHERE.enter();
            self.work.set(None);
        }
    }
}
