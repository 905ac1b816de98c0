//! Savepoints, and what a transaction comes to when one fails half-way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sea_orm::{DbErr, TransactionOptions, TransactionTrait};

use super::{Root, RoutedTransaction};
use crate::error;

impl RoutedTransaction {
    pub(super) async fn savepoint(&self, options: TransactionOptions) -> Result<Self, DbErr> {
        self.root.check()?;
        let begun = whole(&self.root.torn, self.inner.begin_with_options(options));
        let inner = self.root.watch(begun).await?;
        Ok(Self { inner, root: Arc::clone(&self.root), nested: true })
    }
}

impl Root {
    pub(super) async fn release(&self, inner: sea_orm::DatabaseTransaction) -> Result<(), DbErr> {
        self.check()?;
        self.watch(whole(&self.torn, inner.commit())).await
    }
}

/// Runs the begin or the end of a savepoint, and says that the transaction is torn unless that succeeds.
///
/// The driver (sqlx 0.9) makes up for a SAVEPOINT that failed or whose future was dropped by a ROLLBACK of everything, and
/// for such a RELEASE by a ROLLBACK TO what may be there no more. It says so to nobody: whatever the application did next
/// would be committed one by one, and COMMIT would succeed.
async fn whole<T>(torn: &AtomicBool, work: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
    let tearing = Tearing(torn);
    let result = work.await;
    if result.as_ref().err().is_none_or(error::is_of_a_subtransaction) {
        std::mem::forget(tearing);
    }
    result
}

struct Tearing<'a>(&'a AtomicBool);

impl Drop for Tearing<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
