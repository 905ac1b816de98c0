//! Whole transactions that are run again.
//!
//! ```no_run
//! use diesel::prelude::*;
//! use diesel_async::RunQueryDsl;
//! use rr_diesel::retry::{self, Policy};
//! # diesel::table! { accounts (id) { id -> Integer, balance -> Integer, } }
//! # async fn example(pool: &rr_diesel::RoutedPool) -> Result<(), Box<dyn std::error::Error>> {
//!
//! let left: i32 = retry::transaction(&mut pool.handle(), Policy::new(), async |conn, attempt| {
//!     tracing::debug!(attempt = attempt.number, "withdrawing");
//!     diesel::update(accounts::table.find(1))
//!         .set(accounts::balance.eq(accounts::balance - 10))
//!         .returning(accounts::balance)
//!         .get_result(conn)
//!         .await
//! })
//! .await?;
//! # let _: i32 = left;
//! # Ok(())
//! # }
//! ```

use diesel::result::Error;
use diesel_async::TransactionManager;
pub use rr_core::retry::{Attempt, Policy};
use rr_core::retry::{Attempts, Fate, Trouble};

use crate::connection::RoutedPgConnection;
use crate::error;
use crate::transaction::RoutedTransactionManager;

/// An asynchronous closure whose future can be named, so that it can be required to be `Send`.
pub trait AsyncAttempt<C, R>: AsyncFnOnce(C, Attempt) -> R + FnOnce(C, Attempt) -> Self::Running {
    /// What it returns when it is called.
    type Running: Future<Output = R>;
}

impl<F, C, Running, R> AsyncAttempt<C, R> for F
where
    F: AsyncFnOnce(C, Attempt) -> R + FnOnce(C, Attempt) -> Running,
    Running: Future<Output = R>,
{
    type Running = Running;
}

/// Runs `body` in a transaction, and again from its first statement when the server has certainly rolled it back: because
/// the connection was lost before COMMIT was sent, the server is the primary no more, or the transaction was in
/// conflict with another one. A COMMIT that was not answered is run again only when the primary says that nothing was
/// committed (`failover.resolve_outcomes`); when it says that it was committed, that is success.
///
/// `body` is called once for each run, and must have no effect but in the database. It is cloned for that: capture
/// references, and no owned values that are costly.
///
/// # Errors
/// The error of the last run. Where nobody can tell whether it was committed,
/// [`outcome_unknown`](crate::outcome_unknown) says so.
pub async fn transaction<'b, T, E, F>(conn: &mut RoutedPgConnection, policy: Policy, body: F) -> Result<T, E>
where
    for<'r> F: AsyncFnOnce(&'r mut RoutedPgConnection, Attempt) -> Result<T, E>
        + AsyncAttempt<&'r mut RoutedPgConnection, Result<T, E>, Running: Send>
        + Clone
        + Send,
    T: Send + 'b,
    E: From<Error> + Send + 'b,
{
    if conn.depth() > 0 {
        return Err(Error::AlreadyInTransaction.into());
    }
    let router = conn.router().clone();
    let mut attempts = Attempts::new(&router, policy);
    loop {
        RoutedTransactionManager::begin_transaction(conn).await?;
        let ran = body.clone()(&mut *conn, attempts.attempt()).await;
        let chosen = conn.pin_mut().get().map(|pin| pin.checkout.chosen());
        let (trouble, error) = match ran {
            Ok(value) => {
                let Err(error) = RoutedTransactionManager::commit_transaction(conn).await else {
                    return Ok(value);
                };
                if let Some(unknown) = error::outcome_unknown(&error) {
                    match attempts.fate(&unknown).await {
                        Fate::Committed => return Ok(value),
                        Fate::Again => continue,
                        _ => return Err(error.into()),
                    }
                }
                (error::trouble(&error), error.into())
            }
            Err(error) => {
                let trouble = trouble(conn);
                let lost = RoutedTransactionManager::rollback_transaction(conn).await;
                (trouble.or_else(|| lost.err().and_then(|error| error::trouble(&error))), error)
            }
        };
        if let (Some(Trouble::Demoted), Some((node, epoch))) = (trouble, chosen)
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

/// Why the transaction that is open has failed, if that is reason to run it again.
fn trouble(conn: &mut RoutedPgConnection) -> Option<Trouble> {
    let pin = conn.pin_mut().get()?;
    if pin.check().is_err() { Some(Trouble::Demoted) } else { pin.checkout.connection().work.trouble() }
}
