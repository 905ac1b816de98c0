//! Everything that is no read: on the primary, once.

use std::sync::atomic::Ordering;

use diesel::QueryResult;
use diesel::result::Error;
use rr_core::engine::Fault;
use rr_core::position::Position;
use rr_core::route::{Access, Outcome, Request};
use rr_core::sql::{Dialect, Hint, StatementClass, classify};
use rr_core::topology::Role;

use super::read::Answer;
use super::{Patience, Pin, RoutedPgConnection};
use crate::checkout::{Checkout, Statement};
use crate::error;
use crate::hint::Place as Asked;
use crate::lower::Lowered;
use crate::run::{Got, Place, Want, batch, run};
use crate::stream::RoutedStream;

impl RoutedPgConnection {
    pub(super) async fn run(&self, lowered: QueryResult<Lowered>, want: Want) -> QueryResult<Answer> {
        let lowered = lowered?;
        if let Some(pin) = self.pin.get() {
            return self.run_on(pin, &lowered, want).await;
        }
        match lowered.classified.class {
            StatementClass::Session => self.run_on(self.pinned().await?, &lowered, want).await,
            _ if lowered.classified.hint == Some(Hint::Session) => {
                self.run_on(self.pinned().await?, &lowered, want).await
            }
            // A replica that is asked to write refuses, and nothing has happened: no harm in believing the author.
            StatementClass::Write if lowered.wish.place == Some(Asked::Replica) => {
                self.read(&lowered, want).await
            }
            StatementClass::Read => self.read(&lowered, want).await,
            _ => self.write(&lowered, want).await,
        }
    }

    pub(super) async fn write(&self, lowered: &Lowered, want: Want) -> QueryResult<Answer> {
        let checkout = self.writer(Access::Write).await?;
        let statement = checkout.statement();
        let suspect = self.ledger.suspect();
        let noted = self.running.note(checkout.connection());
        let (got, position) = run(&checkout, lowered, want, Place::Yes).await;
        drop(noted);
        match got {
            Ok(got) => {
                suspect.wrote(position.as_ref());
                Ok(answer(got, statement, Some(checkout)))
            }
            Err(error) => {
                if !error::is_lost(&error) {
                    statement.done();
                    suspect.cleared();
                }
                checkout.finish(outcome(&error));
                Err(error)
            }
        }
    }

    /// Runs a statement on the connection that this handle keeps.
    async fn run_on(&self, pin: &Pin, lowered: &Lowered, want: Want) -> QueryResult<Answer> {
        let place = pin.prepare(lowered.classified.class, &lowered.sql);
        let statement = pin.checkout.statement();
        let suspect = (place == Place::Yes).then(|| self.ledger.suspect());
        let noted = self.running.note(pin.checkout.connection());
        let (got, position) = run(&pin.checkout, lowered, want, place).await;
        drop(noted);
        settle(suspect, &got, position.as_ref());
        match got {
            Ok(got) => Ok(answer(got, statement, None)),
            Err(error) => {
                if !error::is_lost(&error) {
                    statement.done();
                }
                Err(error)
            }
        }
    }

    /// Runs text that may hold several statements: on the primary, whatever they are.
    pub(super) async fn run_batch(&self, sql: &str) -> QueryResult<()> {
        let class = classify(sql, Dialect::Postgres);
        let pin = match self.pin.get() {
            Some(pin) => Some(pin),
            None if class == StatementClass::Session => Some(self.pinned().await?),
            None => None,
        };
        let own;
        let (checkout, place) = match pin {
            Some(pin) => (&pin.checkout, pin.prepare(class, sql)),
            None => {
                own = self.writer(Access::Write).await?;
                (&own, if class == StatementClass::Read { Place::No } else { Place::Yes })
            }
        };
        let statement = checkout.statement();
        let suspect = (place == Place::Yes).then(|| self.ledger.suspect());
        let noted = self.running.note(checkout.connection());
        let (ran, position) = batch(checkout, sql, place).await;
        drop(noted);
        settle(suspect, &ran, position.as_ref());
        if !ran.as_ref().is_err_and(error::is_lost) {
            statement.done();
        }
        ran
    }

    /// A connection to the primary. Nothing has been sent when this fails, so it waits for a primary that is gone.
    pub(crate) async fn writer(&self, access: Access) -> QueryResult<Checkout> {
        let router = self.router();
        let mut patience = Patience::new(router.config().write_wait);
        loop {
            let request = if access == Access::Session { Request::session() } else { Request::write() };
            let error = match router.route(&request) {
                Err(none) => error::no_route(&none, router.connector()),
                Ok(route) => match route.pool().checkout().await {
                    Ok(mut connection) => {
                        self.adopt(&mut connection);
                        return Ok(Checkout::new(connection, route));
                    }
                    Err(refused) => {
                        let error = error::no_connection(route.name(), &refused);
                        match refused.fault(route.role()) {
                            // It would be no different later.
                            None => return Err(error),
                            Some(fault @ Fault::Overloaded) => {
                                route.finish(Outcome::Failed(fault));
                                return Err(error);
                            }
                            Some(fault) => route.finish(Outcome::Failed(fault)),
                        }
                        error
                    }
                },
            };
            if !patience.pause().await {
                return Err(error);
            }
        }
    }
}

impl Pin {
    /// Notes what a statement will have done to this connection, and says whether to ask where it ends.
    fn prepare(&self, class: StatementClass, sql: &str) -> Place {
        if class == StatementClass::Read {
            return Place::No;
        }
        if self.checkout.route().role() == Role::Replica {
            // A transaction that only reads: nothing is written, and whatever was set must not be left for others.
            self.altered.store(true, Ordering::Relaxed);
            return Place::No;
        }
        let in_transaction = self.in_transaction.load(Ordering::Relaxed);
        if class == StatementClass::Session && !(in_transaction && ends_with_transaction(sql)) {
            self.stays.store(true, Ordering::Relaxed);
            self.altered.store(true, Ordering::Relaxed);
        }
        if in_transaction {
            self.wrote.store(true, Ordering::Relaxed);
            return Place::No;
        }
        Place::Yes
    }
}

/// Whether what the statement does to its session ends with the transaction it is in.
fn ends_with_transaction(sql: &str) -> bool {
    let text = sql.trim_start().to_ascii_lowercase();
    ["set local", "set transaction", "set constraints"].iter().any(|start| text.starts_with(start))
        || (text.contains("_xact_lock") && !text.contains("advisory_lock"))
}

fn settle<T>(suspect: Option<super::ledger::Suspect<'_>>, ran: &QueryResult<T>, position: Option<&Position>) {
    match (suspect, ran) {
        (None, _) => {}
        (Some(suspect), Ok(_)) => suspect.wrote(position),
        // The outcome is not known: dropped, it counts as done.
        (Some(suspect), Err(error)) if error::is_lost(error) => drop(suspect),
        (Some(suspect), Err(_)) => suspect.cleared(),
    }
}

fn answer(got: Got, statement: Statement, checkout: Option<Checkout>) -> Answer {
    match got {
        Got::Count(count) => {
            statement.done();
            if let Some(checkout) = checkout {
                checkout.finish(Outcome::Answered);
            }
            Answer::Count(count)
        }
        Got::Rows(rows) => Answer::Rows(RoutedStream::new(rows, statement, checkout)),
    }
}

/// A primary that refuses to write may be none any more.
fn outcome(error: &Error) -> Outcome {
    match error {
        Error::DatabaseError(diesel::result::DatabaseErrorKind::ReadOnlyTransaction, _) => {
            Outcome::Failed(Fault::ReadOnly)
        }
        error => error::outcome(error),
    }
}

impl Lowered {
    /// Where a comment in the text asks it to go.
    pub(super) const fn asked(&self) -> Option<Asked> {
        match self.classified.hint {
            Some(Hint::Primary) => Some(Asked::Primary),
            Some(Hint::Replica) => Some(Asked::Replica),
            _ => None,
        }
    }
}
