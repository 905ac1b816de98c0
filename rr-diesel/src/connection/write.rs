//! Everything that is no read: on the primary, once.

use diesel::QueryResult;
use rr_core::adapter::{Patience, Way};
use rr_core::engine::Fault;
use rr_core::route::{Access, Outcome, Request};
use rr_core::sql::{Dialect, StatementClass, classify};

use super::read::Answer;
use super::{Pin, RoutedPgConnection};
use crate::checkout::{Checkout, Statement};
use crate::error;
use crate::lower::Lowered;
use crate::run::{Got, Place, Want, batch, run};
use crate::stream::RoutedStream;

impl RoutedPgConnection {
    pub(super) async fn run(&self, lowered: QueryResult<Lowered>, want: Want) -> QueryResult<Answer> {
        let lowered = lowered?;
        if let Some(pin) = self.pin.get() {
            return self.run_on(pin, &lowered, want).await;
        }
        match lowered.wish.way(&lowered.classified) {
            Way::Keep => self.run_on(Box::pin(self.pinned()).await?, &lowered, want).await,
            Way::Read => Box::pin(self.read(&lowered, want)).await,
            Way::Write => self.write(&lowered, want).await,
        }
    }

    /// Whether it is a read that may run on any node.
    pub(super) fn is_free_read(&self, lowered: &Lowered) -> bool {
        self.pin.get().is_none() && lowered.wish.way(&lowered.classified) == Way::Read
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
                checkout.finish(error::write_outcome(&error));
                Err(error)
            }
        }
    }

    /// Runs a statement on the connection that this handle keeps.
    async fn run_on(&self, pin: &Pin, lowered: &Lowered, want: Want) -> QueryResult<Answer> {
        let place = pin.hold.prepare(lowered.classified.class, &lowered.sql);
        let statement = pin.checkout.statement();
        let suspect = (place == Place::Yes).then(|| self.ledger.suspect());
        let noted = self.running.note(pin.checkout.connection());
        let (got, position) = run(&pin.checkout, lowered, want, place).await;
        drop(noted);
        if let Some(suspect) = suspect {
            suspect.settle(error::ended(got.as_ref().err()), position.as_ref());
        }
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
            Some(pin) => (&pin.checkout, pin.hold.prepare(class, sql)),
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
        if let Some(suspect) = suspect {
            suspect.settle(error::ended(ran.as_ref().err()), position.as_ref());
        }
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
                Err(none) => error::no_route(&none, &router.connector().troubles()),
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
