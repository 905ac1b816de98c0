//! Everything that is no read: on the primary, once.

use std::collections::VecDeque;
use std::sync::Arc;

use diesel::QueryResult;
use diesel::result::Error;
use futures_util::StreamExt;
use rr_core::adapter::{Suspect, Turn, Unplaced, Way};
use rr_core::engine::Fault;
use rr_core::outcome::Unanswered;
use rr_core::position::Position;
use rr_core::route::{Access, Outcome, Request};
use rr_core::sql::{Dialect, StatementClass, scan};
use rr_core::topology::{Epoch, NodeId};

use super::cancel::Noted;
use super::read::Answer;
use super::{Pin, RoutedPgConnection};
use crate::checkout::{Checkout, Statement};
use crate::connector::DieselConnector;
use crate::early::{self, Handover};
use crate::error;
use crate::lower::Lowered;
use crate::run::{Got, Kept, Place, Want, asking, at_hand, batch, one, placed, run_and_place};
use crate::stream::RoutedStream;

/// The answer to a write; or its error and the statement, which a new primary may be given.
type Written = Result<Answer, (Error, Box<Lowered<'static>>)>;

impl RoutedPgConnection {
    /// Runs a statement that is no read. Boxed, it goes through futures that keep room for each of their arguments twice.
    pub(super) async fn run(&self, mut lowered: Box<Lowered<'static>>, want: Want) -> QueryResult<Answer> {
        match self.pin.get() {
            Some(pin) => self.run_on(pin, &mut lowered, want).await,
            None if lowered.way() == Way::Keep => {
                self.run_on(Box::pin(self.pinned()).await?, &mut lowered, want).await
            }
            None => self.write(lowered, want).await,
        }
    }

    /// Runs a statement on the primary, once.
    pub(super) async fn write(&self, mut lowered: Box<Lowered<'static>>, want: Want) -> QueryResult<Answer> {
        let mut turn = self.turn();
        let cancelled = self.running.cancelled();
        loop {
            let checkout = self.writer(Access::Write, &mut turn).await?;
            let chosen = checkout.chosen();
            let error;
            match self.try_write(checkout, lowered, want).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => (error, lowered) = failed,
            }
            if cancelled != self.running.cancelled() || !self.is_deposed(chosen, &error, &mut turn).await {
                return Err(self.told(chosen.0, error));
            }
        }
    }

    /// The error of a write that was sent to this node. Where the connection was lost, nobody knows what became of it.
    fn told(&self, node: NodeId, error: Error) -> Error {
        if !error::is_lost(&error) {
            return error;
        }
        let topology = self.router().topology();
        let name = topology.node(node).map_or_else(|| "?".into(), |node| Arc::clone(&node.name));
        error::not_answered(&self.router().unanswered(&name, Unanswered::Statement, None), &error)
    }

    async fn try_write(&self, checkout: Checkout, mut lowered: Box<Lowered<'static>>, want: Want) -> Written {
        let noted = self.running.note(checkout.connection());
        let suspect = self.ledger.suspect(Some(checkout.route()));
        if !suspect.is_wanted() {
            let written = Box::pin(write(checkout, &mut lowered, want, suspect, noted)).await;
            return written.map_err(|error| (error, lowered));
        }
        let work = |handover| write_and_place(checkout, lowered, want, suspect, noted, handover);
        early::answered(work).await
    }

    /// For a write that looks for a primary.
    pub(crate) fn turn(&self) -> Turn {
        Turn::new(self.router())
    }

    /// Whether the node refused because it is the primary no more, so that the statement may go to the one that is.
    pub(crate) async fn is_deposed(
        &self,
        (node, epoch): (NodeId, Epoch),
        error: &Error,
        turn: &mut Turn,
    ) -> bool {
        if !error::refuses_to_write(error) {
            return false;
        }
        let deposed = Box::pin(self.router().is_deposed(node, epoch, turn.left())).await;
        if deposed {
            tracing::debug!(target: "rr", error = error::word(error), "a write met a server that is the primary no more; it goes to the new one");
        }
        deposed
    }

    /// Runs a statement on the connection that this handle keeps.
    pub(super) async fn run_on(
        &self,
        pin: &Pin,
        lowered: &mut Lowered<'_>,
        want: Want,
    ) -> QueryResult<Answer> {
        if self.reads_only && lowered.classified.class == StatementClass::Write {
            return Err(error::reads_only());
        }
        pin.check()?;
        let place = pin.hold.prepare(&lowered.classified, &lowered.sql)?;
        let statement = pin.checkout.statement();
        let suspect = (place == Place::Yes).then(|| self.ledger.suspect(Some(pin.checkout.route())));
        let noted = self.running.note(pin.checkout.connection());
        let checkout = &pin.checkout;
        let Some(suspect) = suspect else {
            let got = checkout.within(one(checkout.connection(), lowered, want)).await;
            drop(noted);
            let got = got.inspect_err(|error| statement.failed(error))?;
            if lowered.classified.class == StatementClass::Read {
                self.ledger.served(pin.checkout.route());
            }
            return Ok(match got {
                Got::Count(count) => {
                    statement.done();
                    Answer::Count(count)
                }
                Got::Rows(rows) => Answer::Rows(RoutedStream::new(rows, statement)),
            });
        };
        // Rare: what is written in a transaction is placed with its commit.
        let place = wanted(&suspect);
        let (kept, position) = Box::pin(run_and_place(checkout, lowered, want, place)).await;
        drop(noted);
        let ended = error::ended_with(kept.as_ref().err(), &lowered.sql, Dialect::Postgres);
        match kept {
            // It has not ended before its last row was read.
            Ok(Kept::Rows(first, rows @ Some(_))) if position.is_none() => {
                let rows = RoutedStream::of_write(first, rows, statement).writing(suspect.unread());
                return Ok(Answer::Rows(rows.placing(suspect.answered())));
            }
            _ => suspect.settle(ended, position.as_ref()),
        }
        match kept {
            Ok(Kept::Count(count)) => {
                statement.done();
                Ok(Answer::Count(count))
            }
            Ok(Kept::Rows(first, rows)) => Ok(Answer::Rows(RoutedStream::of_write(first, rows, statement))),
            Err(error) => {
                statement.failed(&error);
                Err(self.told(pin.checkout.route().node(), error))
            }
        }
    }

    /// Runs text that may hold several statements: on the primary, whatever they are.
    pub(super) async fn run_batch(&self, sql: &str) -> QueryResult<()> {
        let classified = scan(sql, Dialect::Postgres);
        let class = classified.effect();
        if self.reads_only && class == StatementClass::Write {
            return Err(error::reads_only());
        }
        let pin = match self.pin.get() {
            Some(pin) => Some(&**pin),
            None if class == StatementClass::Session => Some(self.pinned().await?),
            None => None,
        };
        if let Some(pin) = pin {
            pin.check()?;
            let place = pin.hold.prepare(&classified, sql)?;
            let ran = self.try_batch(&pin.checkout, sql, place).await;
            return match place {
                Place::Yes => ran.map_err(|error| self.told(pin.checkout.route().node(), error)),
                Place::No => ran,
            };
        }
        let reads = class == StatementClass::Read && !classified.may_write(sql);
        let place = if reads { Place::No } else { Place::Yes };
        let mut turn = self.turn();
        let cancelled = self.running.cancelled();
        loop {
            let checkout = match reads {
                true => self.on_the_primary(Access::Write, &mut turn).await?,
                false => self.writer(Access::Write, &mut turn).await?,
            };
            checkout.route().runs(sql);
            let chosen = checkout.chosen();
            let Err(error) = self.try_batch(&checkout, sql, place).await else {
                checkout.finish(Outcome::Answered);
                return Ok(());
            };
            checkout.route().failed(error::word(&error));
            checkout.finish(error::write_outcome(&error));
            if cancelled != self.running.cancelled() || !self.is_deposed(chosen, &error, &mut turn).await {
                return Err(if reads { error } else { self.told(chosen.0, error) });
            }
        }
    }

    async fn try_batch(&self, checkout: &Checkout, sql: &str, place: Place) -> QueryResult<()> {
        let statement = checkout.statement();
        let suspect = (place == Place::Yes).then(|| self.ledger.suspect(Some(checkout.route())));
        let noted = self.running.note(checkout.connection());
        let place = suspect.as_ref().map_or(Place::No, wanted);
        let (ran, position) = batch(checkout, sql, place).await;
        drop(noted);
        if let Some(suspect) = suspect {
            let ended = error::ended_with(ran.as_ref().err(), sql, Dialect::Postgres);
            suspect.settle(ended, position.as_ref());
        }
        match &ran {
            Ok(()) => statement.done(),
            Err(error) => statement.failed(error),
        }
        ran
    }

    /// A connection to write on.
    pub(crate) async fn writer(&self, access: Access, turn: &mut Turn) -> QueryResult<Checkout> {
        if self.reads_only {
            return Err(error::reads_only());
        }
        self.on_the_primary(access, turn).await
    }

    /// A connection to the primary. Nothing has been sent when this fails, so it waits for a primary that is gone.
    pub(crate) async fn on_the_primary(&self, access: Access, turn: &mut Turn) -> QueryResult<Checkout> {
        let router = self.router();
        let request = if access == Access::Session { Request::session() } else { Request::write() };
        let mut refusal = None;
        loop {
            let route = match turn.route(router, &request).await {
                Ok(route) => route,
                Err(none) => return Err(error::no_primary(&none, refusal, || router.connector().troubles())),
            };
            match route.pool().checkout().await {
                Ok(mut connection) => {
                    turn.connected(router);
                    self.adopt(&mut connection);
                    return Ok(Checkout::new(connection, route).writing(&self.ledger));
                }
                Err(refused) => {
                    let error = error::no_connection(route.name(), &refused);
                    if refused.is_exhausted() {
                        router.note_exhausted(&route);
                    }
                    match refused.fault(route.role()) {
                        // It would be no different later.
                        None => return Err(error),
                        Some(fault @ Fault::Overloaded) => {
                            route.finish(Outcome::Failed(fault));
                            return Err(error);
                        }
                        Some(fault) => turn.refused(router, route, fault),
                    }
                    refusal = Some(error);
                }
            }
        }
    }
}

/// Where it ended is asked behind it, and learned after its caller has the answer.
async fn write_and_place(
    checkout: Checkout,
    mut lowered: Box<Lowered<'static>>,
    want: Want,
    suspect: Suspect<DieselConnector>,
    noted: Option<Noted>,
    handover: Handover<Written>,
) -> Option<Written> {
    checkout.route().runs(&lowered.sql);
    let statement = checkout.statement();
    let has_custom_types = lowered.has_custom_types();
    let writing = async {
        let answer = answer(&checkout, &mut lowered, want, &statement, &suspect).await;
        drop(noted);
        match answer {
            Ok(answer) => {
                let unplaced = suspect.answered();
                drop(handover.send(Ok(answer)));
                Ok(unplaced)
            }
            Err(error) => {
                suspect.settle(error::ended_with(Some(&error), &lowered.sql, Dialect::Postgres), None);
                Err(error)
            }
        }
    };
    let (written, position) = placed(&checkout, has_custom_types, writing).await;
    match written {
        Ok(unplaced) => {
            place(checkout, unplaced, &statement, position.as_ref());
            None
        }
        Err(error) => Some(Err((refused(checkout, error), lowered))),
    }
}

/// Nobody wants to know where it ended. It is asked all the same where that is how one learns that all rows were sent.
async fn write(
    checkout: Checkout,
    lowered: &mut Lowered<'_>,
    want: Want,
    suspect: Suspect<DieselConnector>,
    noted: Option<Noted>,
) -> QueryResult<Answer> {
    checkout.route().runs(&lowered.sql);
    let statement = checkout.statement();
    let answer = whole_answer(&checkout, lowered, want, &statement, &suspect).await;
    drop(noted);
    match answer {
        Ok((answer, false)) => {
            suspect.wrote(None);
            checkout.finish(Outcome::Answered);
            Ok(answer)
        }
        Ok((answer, true)) => {
            let unplaced = suspect.answered();
            early::go_on(async move {
                let position = asking(&checkout).await;
                place(checkout, unplaced, &statement, position.as_ref());
            });
            Ok(answer)
        }
        Err(error) => {
            suspect.settle(error::ended_with(Some(&error), &lowered.sql, Dialect::Postgres), None);
            Err(refused(checkout, error))
        }
    }
}

/// Notes where a write ended. If that is known, its last row has been sent.
fn place(
    checkout: Checkout,
    unplaced: Unplaced<DieselConnector>,
    statement: &Statement,
    position: Option<&Position>,
) {
    unplaced.placed(position);
    if position.is_some() {
        statement.done();
    }
    checkout.finish(Outcome::Answered);
}

fn wanted(suspect: &Suspect<DieselConnector>) -> Place {
    if suspect.is_wanted() { Place::Yes } else { Place::No }
}

fn refused(checkout: Checkout, error: Error) -> Error {
    checkout.route().failed(error::word(&error));
    checkout.finish(error::write_outcome(&error));
    error
}

/// As [`answer`], and what has come already behind the first row; and whether there is more to come.
async fn whole_answer(
    checkout: &Checkout,
    lowered: &mut Lowered<'_>,
    want: Want,
    statement: &Statement,
    suspect: &Suspect<DieselConnector>,
) -> QueryResult<(Answer, bool)> {
    let first = async {
        match one(checkout.connection(), lowered, want).await? {
            Got::Count(count) => Ok(Kept::Count(count)),
            Got::Rows(mut rows) => match rows.next().await {
                Some(first) => at_hand(first?, rows),
                None => Ok(Kept::Rows(VecDeque::new(), None)),
            },
        }
    };
    match checkout.within(first).await.inspect_err(|error| statement.failed(error))? {
        Kept::Count(count) => {
            statement.done();
            Ok((Answer::Count(count), false))
        }
        Kept::Rows(first, rows) => {
            let goes_on = rows.is_some();
            let rows = RoutedStream::of_write(first, rows, statement.clone());
            let rows = if goes_on { rows.writing(suspect.unread()) } else { rows };
            Ok((Answer::Rows(rows), goes_on))
        }
    }
}

/// What a statement gives, up to its first row: whether it has failed is known then.
async fn answer(
    checkout: &Checkout,
    lowered: &mut Lowered<'_>,
    want: Want,
    statement: &Statement,
    suspect: &Suspect<DieselConnector>,
) -> QueryResult<Answer> {
    let got = checkout.within(one(checkout.connection(), lowered, want)).await;
    match got.inspect_err(|error| statement.failed(error))? {
        Got::Count(count) => {
            statement.done();
            Ok(Answer::Count(count))
        }
        Got::Rows(rows) => {
            let mut rows = RoutedStream::new(rows, statement.clone()).writing(suspect.unread());
            checkout.within(rows.peek()).await?;
            Ok(Answer::Rows(rows))
        }
    }
}
