//! A BEGIN that is not forgotten.

use std::pin::Pin;
use std::task::{Context, Poll};

use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr, TransactionOptions, TransactionTrait};

type Begun = Result<DatabaseTransaction, DbErr>;

/// Takes a connection out of a pool and begins a transaction on it.
///
/// The driver (sqlx 0.9) counts a transaction only when BEGIN was answered. Were the future of a BEGIN under way dropped, its
/// connection would go back into the pool with the transaction open, and what the next one writes on it would never be
/// committed. So whoever drops this leaves it to a task, which waits for the answer and rolls back.
pub(super) struct Beginning {
    work: Option<Pin<Box<dyn Future<Output = Begun> + Send>>>,
    polled: bool,
}

impl Beginning {
    pub(super) fn new(database: DatabaseConnection, options: TransactionOptions) -> Self {
        let work = async move { database.begin_with_options(options).await };
        Self { work: Some(Box::pin(work)), polled: false }
    }
}

impl Future for Beginning {
    type Output = Begun;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Begun> {
        self.polled = true;
        let Some(work) = &mut self.work else { return Poll::Pending };
        let begun = std::task::ready!(work.as_mut().poll(context));
        self.work = None;
        Poll::Ready(begun)
    }
}

impl Drop for Beginning {
    fn drop(&mut self) {
        let Some(work) = self.work.take().filter(|_| self.polled) else { return };
        // No limit: the connection is out of the pool until its server answers or is gone, as it is after any statement
        // that is given up.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(async move { drop(work.await) }));
        }
    }
}
