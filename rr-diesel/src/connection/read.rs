//! Reads: on a replica that may serve them, and again elsewhere when that goes wrong.

use std::time::Duration;

use diesel::QueryResult;
use diesel::result::{DatabaseErrorKind, Error};
use diesel_async::SimpleAsyncConnection;
use rr_core::Requirement;
use rr_core::config::ReadPreference;
use rr_core::engine::Fault;
use rr_core::route::{Outcome, Request};
use rr_core::topology::{NodeId, Role};

use super::{Patience, RoutedPgConnection};
use crate::checkout::Checkout;
use crate::error;
use crate::hint::{Place as Asked, Wish};
use crate::lower::Lowered;
use crate::run::{Got, Place, Want, run};
use crate::stream::RoutedStream;

/// How long a read is tried again, from its first failure on.
const PATIENCE: Duration = Duration::from_secs(5);

/// For a node to show that it is alive after an error that does not say.
const PING: Duration = Duration::from_millis(500);

/// What a statement has for its caller.
pub(super) enum Answer {
    Rows(RoutedStream),
    Count(usize),
}

/// The search for a node that serves one read.
pub(crate) struct Search {
    tried: Vec<NodeId>,
    primary: bool,
    wish: Wish,
    patience: Patience,
}

impl Default for Search {
    fn default() -> Self {
        Self { tried: Vec::new(), primary: false, wish: Wish::default(), patience: Patience::new(PATIENCE) }
    }
}

impl Search {
    /// Another node may do, this one did not.
    pub(crate) fn failed(&mut self, node: NodeId) {
        self.tried.push(node);
    }

    /// Whether to go on.
    pub(crate) fn has_time(&mut self) -> bool {
        self.patience.has_time()
    }

    pub(crate) fn of(wish: &Wish) -> Self {
        Self { primary: wish.place == Some(Asked::Primary), wish: wish.clone(), ..Self::default() }
    }
}

/// What to do after an error.
enum Next {
    /// Tell the application.
    Tell,
    /// The node is not able; another one may be.
    Elsewhere(Fault),
    /// Only the primary can tell.
    Primary,
    /// It is no read.
    Misrouted,
}

impl RoutedPgConnection {
    pub(super) async fn read(&self, lowered: &Lowered, want: Want) -> QueryResult<Answer> {
        let mut search = Search::of(&lowered.wish);
        let cancelled = self.running.cancelled();
        loop {
            let checkout = self.reader(&mut search).await?;
            let (role, node) = (checkout.route().role(), checkout.route().node());
            let error = match self.serve(checkout, lowered, want).await {
                Ok(answer) => return Ok(answer),
                Err((error, checkout)) => {
                    let next = match cancelled == self.running.cancelled() {
                        true => next(&error, role, &checkout).await,
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
                            search.tried.push(node);
                        }
                        Next::Primary => {
                            checkout.finish(Outcome::Answered);
                            search.primary = true;
                        }
                        Next::Misrouted => {
                            checkout.finish(Outcome::Answered);
                            self.router().connector().classes().learn_write(lowered.id, &lowered.sql);
                            return self.write(lowered, want).await;
                        }
                    }
                    error
                }
            };
            tracing::debug!(target: "rr", %error, "a read is tried again");
            if !search.patience.has_time() {
                return Err(error);
            }
        }
    }

    /// A connection for a read.
    pub(crate) async fn reader(&self, search: &mut Search) -> QueryResult<Checkout> {
        let router = self.router();
        loop {
            let requirement = if search.primary { Requirement::PRIMARY } else { self.ledger.requirement() };
            let level = router.config().consistency;
            let mut request = Request::read(requirement).at_level(level).avoiding(&search.tried);
            if search.wish.place == Some(Asked::Replica) {
                request = request.prefer(ReadPreference::ReplicaPreferred);
            }
            if let Some(group) = &search.wish.group {
                request = request.in_group(group);
            }
            let error = match router.route_within(&request, router.config().causal_wait).await {
                Err(error) if search.tried.is_empty() => {
                    return Err(error::no_route(&error, router.connector()));
                }
                Err(error) => {
                    // All nodes failed one after the other: begin again, but not at once.
                    search.tried.clear();
                    if search.patience.pause().await {
                        continue;
                    }
                    return Err(error::no_route(&error, router.connector()));
                }
                Ok(route) => match route.pool().checkout().await {
                    Ok(mut connection) => {
                        self.adopt(&mut connection);
                        return Ok(Checkout::new(connection, route));
                    }
                    Err(refused) => {
                        let error = error::no_connection(route.name(), &refused);
                        search.tried.push(route.node());
                        match refused.fault(route.role()) {
                            Some(fault) => route.finish(Outcome::Failed(fault)),
                            None => drop(route),
                        }
                        error
                    }
                },
            };
            if !search.patience.has_time() {
                return Err(error);
            }
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
        let (got, _) = run(&checkout, lowered, want, Place::No).await;
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

/// What an error of a read says. SQLSTATE cannot be seen, so that what is not clear is settled by asking.
async fn next(error: &Error, role: Role, checkout: &Checkout) -> Next {
    let on_replica = role == Role::Replica;
    match error {
        error if error::is_lost(error) => Next::Elsewhere(Fault::Lost),
        Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _) if on_replica => Next::Misrouted,
        Error::DatabaseError(DatabaseErrorKind::SerializationFailure, _) if on_replica => {
            Next::Elsewhere(Fault::Conflict)
        }
        Error::DatabaseError(DatabaseErrorKind::Unknown, information) => {
            let text = information.message();
            if !is_alive(checkout).await {
                Next::Elsewhere(Fault::ShuttingDown)
            } else if !on_replica || text.starts_with("canceling statement due to") {
                Next::Tell
            } else if text.contains("hot standby") || text.contains("during recovery") {
                Next::Misrouted
            } else {
                // A table that is not there yet, or simply an error: the primary has the last word.
                Next::Primary
            }
        }
        _ => Next::Tell,
    }
}

async fn is_alive(checkout: &Checkout) -> bool {
    let mut conn = &checkout.connection().conn;
    matches!(tokio::time::timeout(PING, conn.batch_execute(crate::capture::MARK)).await, Ok(Ok(())))
}
