//! Transactions: one connection from begin to end, by default the primary's.

use std::sync::atomic::Ordering;

use diesel::QueryResult;
use diesel::connection::{AnsiTransactionManager, TransactionManager, TransactionManagerStatus};
use diesel::result::Error;
use rr_core::adapter::Search;
use rr_core::engine::Fault;
use rr_core::outcome::{TransactionId, Unanswered};
use rr_core::route::{Access, Outcome};

use super::backend::Routable;
use super::connection::{Pin, RoutedConnection};
use super::node::Care;
use super::opener::Checkout;
use super::run::settle;
use crate::error;

/// Keeps a handle on one connection while a transaction is open, and lets Diesel's own manager do the rest there.
#[derive(Debug)]
pub struct RoutedTransactionManager;

impl<C: Routable> TransactionManager<RoutedConnection<C>> for RoutedTransactionManager {
    type TransactionStateData = TransactionManagerStatus;

    fn begin_transaction(conn: &mut RoutedConnection<C>) -> QueryResult<()> {
        conn.put_back();
        let Some(pin) = &mut conn.pin else { return begin_on_primary(conn, None) };
        AnsiTransactionManager::begin_transaction(pin.checkout.conn())?;
        note_depth(conn);
        Ok(())
    }

    fn rollback_transaction(conn: &mut RoutedConnection<C>) -> QueryResult<()> {
        conn.put_back();
        let pin = conn.pin.as_mut().ok_or(Error::NotInTransaction)?;
        let rolled_back = AnsiTransactionManager::rollback_transaction(pin.checkout.conn());
        ended(conn, rolled_back)
    }

    fn commit_transaction(conn: &mut RoutedConnection<C>) -> QueryResult<()> {
        conn.put_back();
        let is_last = conn.depth() == 1;
        if is_last && let Some(Err(deposed)) = conn.pin.as_mut().map(|pin| pin.check()) {
            // What is committed there is lost as soon as it is.
            drop(Self::rollback_transaction(conn));
            return Err(deposed);
        }
        let pin = conn.pin.as_mut().ok_or(Error::NotInTransaction)?;
        let wrote = is_last && pin.hold.wrote.load(Ordering::Relaxed);
        let suspect = wrote.then(|| pin.ledger.suspect(pin.checkout.route.as_ref()));
        let transaction = if wrote { transaction_id(pin) } else { None };
        let committed = AnsiTransactionManager::commit_transaction(pin.checkout.conn());
        let committed = committed.map_err(|error| {
            let lost = wrote && error::is_lost_at_commit(&error);
            if lost { pin.not_answered(Unanswered::Commit, transaction, &error) } else { error }
        });
        settle(suspect, error::ended(committed.as_ref().err()), &mut pin.checkout);
        ended(conn, committed)
    }

    fn transaction_manager_status_mut(conn: &mut RoutedConnection<C>) -> &mut TransactionManagerStatus {
        conn.status()
    }

    fn is_broken_transaction_manager(conn: &mut RoutedConnection<C>) -> bool {
        match &mut conn.pin {
            // Kept for its session, or in the middle of a transaction that is no test's.
            Some(pin) => {
                let broken = AnsiTransactionManager::is_broken_transaction_manager(pin.checkout.conn());
                broken || !*pin.hold.in_transaction.get_mut()
            }
            None => false,
        }
    }
}

/// Has a transaction learn its number, where the configuration asks for it.
fn transaction_id<C: Routable>(pin: &mut Pin<C>) -> Option<TransactionId> {
    if !pin.ledger.router.config().failover.resolve_outcomes {
        return None;
    }
    let Checkout { lease, route } = &mut pin.checkout;
    lease.connection().conn.transaction_id(route.as_ref()?.pool().segment())
}

/// Gives the connection up if that was the last transaction.
fn ended<C: Routable>(conn: &mut RoutedConnection<C>, end: QueryResult<()>) -> QueryResult<()> {
    note_depth(conn);
    conn.release(end.as_ref().err().map_or(Outcome::Answered, error::outcome));
    end
}

fn note_depth<C: Routable>(conn: &mut RoutedConnection<C>) {
    let open = conn.depth() > 0;
    if let Some(pin) = &conn.pin {
        pin.hold.note_transaction(open);
    }
}

fn begin_at<C: Routable>(checkout: &mut Checkout<C>, sql: Option<&str>) -> QueryResult<()> {
    checkout.runs(sql.unwrap_or("BEGIN"));
    match sql {
        Some(sql) => AnsiTransactionManager::begin_transaction_sql(checkout.conn(), sql),
        None => AnsiTransactionManager::begin_transaction(checkout.conn()),
    }
}

/// Begins with these options.
pub(super) fn begin<C: Routable>(
    conn: &mut RoutedConnection<C>,
    sql: &str,
    suits_replicas: bool,
) -> QueryResult<()> {
    conn.put_back();
    if let Some(pin) = &mut conn.pin {
        AnsiTransactionManager::begin_transaction_sql(pin.checkout.conn(), sql)?;
        note_depth(conn);
        return Ok(());
    }
    if suits_replicas { begin_on_replica(conn, sql) } else { begin_on_primary(conn, Some(sql)) }
}

/// Begins a transaction on a connection to the primary, and keeps it. A connection that turns out to be dead is replaced:
/// nothing has happened on it.
fn begin_on_primary<C: Routable>(conn: &mut RoutedConnection<C>, sql: Option<&str>) -> QueryResult<()> {
    let mut turn = conn.opener.turn();
    loop {
        let mut checkout = conn.opener.writer(Access::Write, Care::Replayable, &mut turn)?;
        match begin_at(&mut checkout, sql) {
            Ok(()) => {
                keep(conn, checkout);
                return Ok(());
            }
            Err(error) if error::is_lost(&error) => {
                if turn.left().is_zero() {
                    checkout.report(Outcome::Failed(Fault::Lost));
                    return Err(error);
                }
                checkout.broke(conn.router(), &mut turn);
            }
            Err(error) => {
                let chosen = checkout.chosen();
                checkout.report(error::write_outcome(&error));
                drop(checkout);
                if !conn.opener.is_deposed(chosen, &error, &mut turn) {
                    return Err(error);
                }
            }
        }
    }
}

/// Begins a transaction that only reads where a read would go. The check comes before the snapshot.
fn begin_on_replica<C: Routable>(conn: &mut RoutedConnection<C>, sql: &str) -> QueryResult<()> {
    let wish = conn.wish_to_begin();
    let mut search = Search::new(conn.router(), wish);
    loop {
        let mut checkout = conn.opener.reader(&mut search)?;
        match begin_at(&mut checkout, Some(sql)) {
            Err(error) if error::is_lost(&error) => {
                search.failed(checkout.node());
                checkout.report(Outcome::Failed(Fault::Lost));
                if !search.may_replay(conn.router()) {
                    return Err(error);
                }
            }
            begun => return begun.map(|()| keep(conn, checkout)),
        }
    }
}

fn keep<C: Routable>(conn: &mut RoutedConnection<C>, checkout: Checkout<C>) {
    conn.keep(checkout);
    note_depth(conn);
}
