//! Whole transactions that are run again.

use diesel::connection::TransactionManager;
use diesel::result::Error;
pub use rr_core::retry::{Attempt, Policy};
use rr_core::retry::{Attempts, Fate, Trouble};

use super::backend::Routable;
use super::connection::RoutedConnection;
use super::runtime;
use super::transaction::RoutedTransactionManager;
use crate::error;

/// Runs `body` in a transaction, and again from its first statement when the server has certainly rolled it back; the twin
/// of [`retry::transaction`](crate::retry::transaction), where everything is said.
///
/// # Errors
/// The error of the last run. Where nobody can tell whether it was committed,
/// [`outcome_unknown`](crate::outcome_unknown) says so.
pub fn transaction<C: Routable, T, E: From<Error>>(
    conn: &mut RoutedConnection<C>,
    policy: Policy,
    mut body: impl FnMut(&mut RoutedConnection<C>, Attempt) -> Result<T, E>,
) -> Result<T, E> {
    if conn.depth() > 0 {
        return Err(Error::AlreadyInTransaction.into());
    }
    let router = conn.router().clone();
    let runtime = router.connector().runtime();
    let mut attempts = Attempts::new(&router, policy);
    loop {
        RoutedTransactionManager::begin_transaction(conn)?;
        let ran = body(conn, attempts.attempt());
        let chosen = conn.pin.as_ref().and_then(|pin| pin.checkout.chosen());
        let (trouble, error) = match ran {
            Ok(value) => {
                let Err(error) = RoutedTransactionManager::commit_transaction(conn) else { return Ok(value) };
                if let Some(unknown) = error::outcome_unknown(&error) {
                    match runtime::wait(runtime, attempts.fate(&unknown)) {
                        Fate::Committed => return Ok(value),
                        Fate::Again => continue,
                        _ => return Err(error.into()),
                    }
                }
                (error::trouble(&error), error.into())
            }
            Err(error) => {
                let trouble = conn.pin.as_mut().and_then(|pin| match pin.check() {
                    Ok(()) => pin.trouble,
                    Err(_) => Some(Trouble::Demoted),
                });
                let lost = RoutedTransactionManager::rollback_transaction(conn);
                (trouble.or_else(|| lost.err().and_then(|error| error::trouble(&error))), error)
            }
        };
        if let (Some(Trouble::Demoted), Some((node, epoch))) = (trouble, chosen) {
            let asking = router.is_deposed(node, epoch, router.config().write_wait);
            if !runtime::wait(runtime, asking) {
                // It was told by somebody to refuse, and would again.
                return Err(error);
            }
        }
        if !runtime::wait(runtime, attempts.again(trouble)) {
            return Err(error);
        }
    }
}
