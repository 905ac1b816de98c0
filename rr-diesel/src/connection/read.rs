//! Reads: on a replica that may serve them, and again elsewhere when that goes wrong.

use std::time::Duration;

use diesel::QueryResult;
use diesel::result::Error;
use diesel_async::SimpleAsyncConnection;
use rr_core::adapter::{Next, Search};
use rr_core::engine::Fault;
use rr_core::route::Outcome;
use rr_core::topology::Role;

use super::RoutedPgConnection;
use crate::checkout::Checkout;
use crate::error;
use crate::lower::Lowered;
use crate::run::{Got, Want, one};
use crate::stream::RoutedStream;
use crate::verdict::{Verdict, verdict};

/// For a node to show that it has closed the connection, after an error that does not say.
const PING: Duration = Duration::from_millis(500);

/// What a statement has for its caller.
#[expect(clippy::large_enum_variant, reason = "nearly all are rows, and a box costs more than a copy")]
pub(super) enum Answer {
    Rows(RoutedStream),
    Count(usize),
}

impl RoutedPgConnection {
    pub(super) async fn read(&self, lowered: Lowered, want: Want) -> QueryResult<Answer> {
        let mut search = Search::new(self.router(), lowered.wish.clone());
        let cancelled = self.running.cancelled();
        loop {
            let checkout = self.reader(&mut search).await?;
            let (role, node) = (checkout.route().role(), checkout.route().node());
            let guarded = role == Role::Primary && lowered.classified.may_write(&lowered.sql);
            if guarded && !self.reads_only {
                drop(checkout);
                return Box::pin(self.write(lowered, want)).await;
            }
            let served = match guarded {
                false => self.serve(checkout, &lowered, want).await,
                true => Box::pin(self.serve_guarded(checkout, &lowered, want)).await,
            };
            let error = match served {
                Ok(answer) => return Ok(answer),
                Err((error, checkout)) => {
                    let next = match cancelled == self.running.cancelled() {
                        true => Box::pin(next(&error, role, &checkout)).await,
                        false => Next::Tell,
                    };
                    match next {
                        Next::Tell => {
                            checkout.finish(error::outcome(&error));
                            return Err(error);
                        }
                        Next::Elsewhere(fault) => {
                            if fault != Fault::Conflict {
                                checkout.discard();
                            }
                            checkout.finish(Outcome::Failed(fault));
                            search.failed(node);
                        }
                        Next::Primary => {
                            checkout.finish(Outcome::Answered);
                            search.insist_on_primary();
                        }
                        Next::Misrouted => {
                            checkout.finish(Outcome::Answered);
                            self.router().connector().classes().learn_write(lowered.id, &lowered.sql);
                            return Box::pin(self.write(lowered, want)).await;
                        }
                    }
                    error
                }
            };
            tracing::debug!(target: "rr", %error, "a read is tried again");
            if !search.may_replay(self.router()) {
                return Err(error);
            }
        }
    }

    /// A connection for a read.
    pub(crate) async fn reader(&self, search: &mut Search) -> QueryResult<Checkout> {
        let router = self.router();
        loop {
            let request = search.request(&self.ledger);
            // What is rare is boxed here and below: a read's future is small enough to be allocated cheaply.
            let routed = match router.route_now(&request) {
                Some(routed) => routed,
                None => Box::pin(router.route_within(&request, router.config().causal_wait)).await,
            };
            let error = match routed {
                Err(error) if search.is_fresh() => {
                    return Err(error::no_route(&error, &router.connector().troubles()));
                }
                Err(error) => {
                    // All nodes failed one after the other: begin again, but not at once.
                    if Box::pin(search.again().pause()).await {
                        continue;
                    }
                    return Err(error::no_route(&error, &router.connector().troubles()));
                }
                Ok(route) => match route.pool().checkout().await {
                    Ok(mut connection) => {
                        self.adopt(&mut connection);
                        return Ok(Checkout::new(connection, route));
                    }
                    Err(refused) => {
                        let error = error::no_connection(route.name(), &refused);
                        search.failed(route.node());
                        match refused.fault(route.role()) {
                            Some(fault) => route.finish(Outcome::Failed(fault)),
                            None => drop(route),
                        }
                        error
                    }
                },
            };
            if !search.has_time() {
                return Err(error);
            }
        }
    }

    /// As [`Self::serve`], where the primary would let the statement write.
    async fn serve_guarded(
        &self,
        checkout: Checkout,
        lowered: &Lowered,
        want: Want,
    ) -> Result<Answer, (Error, Checkout)> {
        match checkout.refuse_writes().await {
            Ok(()) => self.serve(checkout, lowered, want).await,
            Err(error) => Err((error, checkout)),
        }
    }

    /// Runs a read on a connection up to its first row. On an error the connection comes back with it.
    async fn serve(
        &self,
        checkout: Checkout,
        lowered: &Lowered,
        want: Want,
    ) -> Result<Answer, (Error, Checkout)> {
        let statement = checkout.statement();
        let noted = self.running.note(checkout.connection());
        let got = checkout.within(one(checkout.connection(), lowered, want)).await;
        let answer = match got {
            Ok(Got::Count(count)) => {
                statement.done();
                Ok(Answer::Count(count))
            }
            Ok(Got::Rows(rows)) => {
                let mut rows = RoutedStream::new(rows, statement, None);
                match checkout.within(rows.peek()).await {
                    Ok(()) => Ok(Answer::Rows(rows)),
                    Err(error) => Err(error),
                }
            }
            Err(error) => {
                if !error::is_lost(&error) {
                    statement.done();
                }
                Err(error)
            }
        };
        drop(noted);
        if answer.is_ok() {
            self.ledger.served(checkout.route());
        }
        match answer {
            Ok(Answer::Rows(mut rows)) => {
                rows.hold(checkout);
                Ok(Answer::Rows(rows))
            }
            Ok(count) => {
                checkout.finish(Outcome::Answered);
                Ok(count)
            }
            Err(error) => Err((error, checkout)),
        }
    }
}

/// What an error of a read says; what it leaves open is settled by asking the node.
async fn next(error: &Error, role: Role, checkout: &Checkout) -> Next {
    match verdict(error, role) {
        Verdict::Clear(next) => next,
        Verdict::IfAlive(_) if is_closed(checkout).await => Next::Elsewhere(Fault::ShuttingDown),
        Verdict::IfAlive(next) => next,
    }
}

/// Whether the server has closed the connection. One that is only slow has said what is wrong with the statement.
async fn is_closed(checkout: &Checkout) -> bool {
    let mut conn = &checkout.connection().conn;
    let pinged = tokio::time::timeout(PING, conn.batch_execute(crate::capture::MARK)).await;
    if pinged.is_err() {
        checkout.discard();
    }
    matches!(pinged, Ok(Err(_)))
}
