//! A BEGIN that is given up.

use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};

use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr, TransactionOptions, TransactionTrait};
use tokio::runtime::{Builder, Handle};

type Begun = Result<DatabaseTransaction, DbErr>;

/// Takes a connection out of a pool and begins a transaction on it.
///
/// The driver (sqlx 0.9) counts a transaction only when BEGIN was answered. Were the future of a BEGIN under way simply
/// dropped, its connection would go back into the pool with the transaction open, and what the next one writes on it would
/// never be committed. Whether it has a connection yet, or still stands in line for one, it does not say.
///
/// So whoever drops this closes the connection, if there is one: the driver has a task bring it back, and here no task runs.
/// What stands in line leaves it, and nothing is left that somebody would have to wait for.
pub(super) struct Beginning {
    work: Option<Pin<Box<dyn Future<Output = Begun> + Send>>>,
}

/// A runtime that was shut down: what is spawned on it is dropped at once. For a connection on its way back the driver takes
/// that as it should: it is closed, and its pool has room for another one.
static NOWHERE: LazyLock<Option<Handle>> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().build().ok()?;
    let handle = runtime.handle().clone();
    runtime.shutdown_background();
    Some(handle)
});

/// Drops what has a connection, so that the connection is closed instead of asked whether it lives.
pub(super) fn closing<T>(holder: T) {
    let _nowhere = NOWHERE.as_ref().map(Handle::enter);
    drop(holder);
}

impl Beginning {
    pub(super) fn new(database: DatabaseConnection, options: TransactionOptions) -> Self {
        let work = async move { database.begin_with_options(options).await };
        Self { work: Some(Box::pin(work)) }
    }
}

impl Future for Beginning {
    type Output = Begun;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Begun> {
        let Some(work) = &mut self.work else { return Poll::Pending };
        let begun = ready!(work.as_mut().poll(context));
        self.work = None;
        Poll::Ready(begun)
    }
}

impl Drop for Beginning {
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        match &*NOWHERE {
            Some(_) => closing(work),
            // Waits for the answer, and rolls back.
            None => drop(Handle::try_current().map(|runtime| runtime.spawn(async move { drop(work.await) }))),
        }
    }
}
