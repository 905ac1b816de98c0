//! Whole transactions that are run again.
//!
//! ```no_run
//! use rr_seaorm::retry::{self, Policy};
//! use sea_orm::{ConnectionTrait, DbErr};
//!
//! # async fn example(db: &rr_seaorm::RoutedConnection) -> Result<(), sea_orm::TransactionError<DbErr>> {
//! retry::transaction(db, Policy::new(), async |transaction, attempt| {
//!     tracing::debug!(attempt = attempt.number, "withdrawing");
//!     transaction.execute_unprepared("UPDATE accounts SET balance = balance - 10 WHERE id = 1").await?;
//!     Ok::<_, DbErr>(())
//! })
//! .await
//! # }
//! ```

use std::fmt;

pub use rr_core::retry::{Attempt, Policy};
use rr_core::retry::{Attempts, Fate, Trouble};
use sea_orm::{TransactionError, TransactionTrait};

use crate::connection::RoutedConnection;
use crate::error;
use crate::transaction::RoutedTransaction;

/// Runs `body` in a transaction, and again from its first statement when the server has certainly rolled it back: because
/// the connection was lost before COMMIT was sent, the server is the primary no more, the transaction was in conflict with
/// another one, or it is torn ([`RoutingError::Torn`](crate::RoutingError::Torn)). A COMMIT that was not answered is run again only when the primary says that nothing was
/// committed (`failover.resolve_outcomes`); when it says that it was committed, that is success.
///
/// `body` is called once for each run, and must have no effect but in the database.
///
/// # Errors
/// The error of the last run. Where nobody can tell whether it was committed,
/// [`outcome_unknown`](crate::outcome_unknown) says so.
pub async fn transaction<F, T, E>(
    db: &RoutedConnection,
    policy: Policy,
    body: F,
) -> Result<T, TransactionError<E>>
where
    F: for<'c> AsyncFn(&'c RoutedTransaction, Attempt) -> Result<T, E>,
    E: fmt::Display + fmt::Debug,
{
    let router = db.router();
    let mut attempts = Attempts::new(router, policy);
    loop {
        let transaction = db.begin().await?;
        let ran = body(&transaction, attempts.attempt()).await;
        let (mut trouble, node, epoch) = transaction.trouble();
        let error = match ran {
            Ok(value) => {
                let Err(error) = transaction.commit().await else { return Ok(value) };
                if let Some(unknown) = error::outcome_unknown(&error) {
                    match attempts.fate(unknown).await {
                        Fate::Committed => return Ok(value),
                        Fate::Again => continue,
                        _ => return Err(error.into()),
                    }
                }
                trouble = error::trouble(&error);
                TransactionError::Connection(error)
            }
            Err(error) => {
                if let Err(lost) = transaction.rollback().await {
                    trouble = trouble.or_else(|| error::trouble(&lost));
                }
                TransactionError::Transaction(error)
            }
        };
        if trouble == Some(Trouble::Demoted)
            && !router.is_deposed(node, epoch, router.config().write_wait).await
        {
            // It was told by somebody to refuse, and would again.
            return Err(error);
        }
        if !attempts.again(trouble).await {
            return Err(error);
        }
    }
}
