//! How long the reader of a stream waits for its next row.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep};

/// A limit for each wait of a stream. It counts from when somebody first waits for a row: a reader that takes its time says
/// nothing about the server.
#[derive(Default)]
pub struct RowLimit {
    waiting: Option<Pin<Box<Sleep>>>,
}

impl RowLimit {
    /// `row` as it was polled; and where that is yet to come, `late` as soon as the wait has taken longer than `limit`.
    ///
    /// Without a runtime there is no limit.
    pub fn with<T>(
        &mut self,
        row: Poll<T>,
        limit: Option<Duration>,
        late: impl FnOnce(Duration) -> T,
        context: &mut Context<'_>,
    ) -> Poll<T> {
        let Some(limit) = limit.filter(|_| row.is_pending() && Handle::try_current().is_ok()) else {
            self.waiting = None;
            return row;
        };
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(waiting.as_mut().poll(context));
        self.waiting = None;
        Poll::Ready(late(limit))
    }
}

impl fmt::Debug for RowLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowLimit").field("waits", &self.waiting.is_some()).finish()
    }
}
