//! Reads: on a replica that may serve them, and again elsewhere when that goes wrong.

use std::time::Duration;

use diesel::QueryResult;
use diesel::result::Error;
use diesel_async::SimpleAsyncConnection;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use rr_core::adapter::{Classes, Next, Search};
use rr_core::engine::Fault;
use rr_core::route::Outcome;
use rr_core::topology::Role;

use super::RoutedPgConnection;
use crate::checkout::Checkout;
use crate::error;
use crate::lower::{Lowered, Rows};
use crate::run::{Got, Want, one};
use crate::stream::{PgRow, RoutedStream};
use crate::verdict::{Verdict, may_last, verdict};

/// For a node to show that it has closed the connection, after an error that does not say.
const PING: Duration = Duration::from_millis(500);

/// What a statement has for its caller.
#[expect(clippy::large_enum_variant, reason = "nearly all are rows, and a box costs more than a copy")]
pub(super) enum Answer {
    Rows(RoutedStream),
    Count(usize),
}

/// Where a read has led.
#[expect(clippy::large_enum_variant, reason = "nearly all are answers, and a box costs more than a copy")]
pub(super) enum Read {
    Answered(Answer),
    /// It is a write. Replicas may have failed it before for a reason that cannot be seen.
    IsWrite {
        was_doubted: bool,
    },
}

impl RoutedPgConnection {
    /// Runs what looked like a read as a write.
    #[cold]
    pub(super) fn write_instead(
        &self,
        lowered: Lowered<'_>,
        want: Want,
        was_doubted: bool,
    ) -> BoxFuture<'_, QueryResult<Answer>> {
        let lowered = lowered.kept();
        Box::pin(async move {
            let doubted = was_doubted.then(|| (lowered.id, lowered.sql.to_string()));
            let written = self.write(lowered, want).await;
            if let (Ok(_), Some((id, sql))) = (&written, doubted) {
                self.classes().note_refused(id, &sql, self.router().now());
            }
            written
        })
    }

    /// Runs a read, or what looks like one.
    pub(super) async fn read(&self, lowered: &mut Lowered<'_>, want: Want) -> QueryResult<Read> {
        let mut wish = lowered.wish.clone();
        wish.leaning = self.classes().is_refused(lowered.id, &lowered.sql, || self.router().now());
        let mut search = Search::new(self.router(), wish);
        let cancelled = self.running.cancelled();
        loop {
            let checkout = self.reader(&mut search).await?;
            checkout.route().runs(&lowered.sql);
            let role = checkout.route().role();
            let guarded = role == Role::Primary && lowered.classified.may_write(&lowered.sql);
            if guarded && !self.reads_only {
                return Ok(Read::IsWrite { was_doubted: search.doubts_replicas() });
            }
            let after = {
                let served = match guarded {
                    false => self.serve(&checkout, lowered, want).await,
                    true => Box::pin(self.serve_guarded(&checkout, lowered, want)).await,
                };
                match served {
                    Ok(served) => {
                        self.note_refused(&search, lowered);
                        return Ok(Read::Answered(served.answer(checkout)));
                    }
                    Err(error) => {
                        let cancelled = cancelled != self.running.cancelled();
                        let failure = Failure { error, checkout, cancelled };
                        Box::pin(self.after(failure, &mut search, lowered))
                    }
                }
            };
            match after.await? {
                Again::Read => {}
                Again::Write => return Ok(Read::IsWrite { was_doubted: false }),
            }
        }
    }

    /// What to do after a read has failed, unless it is to tell the application.
    async fn after(
        &self,
        failure: Failure,
        search: &mut Search,
        lowered: &Lowered<'_>,
    ) -> QueryResult<Again> {
        let Failure { error, checkout, cancelled } = failure;
        let (role, node) = (checkout.route().role(), checkout.route().node());
        let next = if cancelled { Next::Tell } else { next(&error, role, &checkout).await };
        // A fault of the node is told with the outcome.
        if !matches!(next, Next::Elsewhere(_)) {
            checkout.route().failed(error::word(&error));
        }
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
                if may_last(&error) {
                    search.doubt_replicas();
                }
            }
            Next::Misrouted => {
                checkout.finish(Outcome::Answered);
                self.classes().learn_write(lowered.id, &lowered.sql);
                return Ok(Again::Write);
            }
        }
        tracing::debug!(target: "rr", error = error::word(&error), "a read is tried again");
        if search.may_replay(self.router()) { Ok(Again::Read) } else { Err(error) }
    }

    #[inline]
    fn classes(&self) -> &Classes {
        self.router().connector().classes()
    }

    /// Remembers what replicas failed, now that the primary has served it.
    #[inline]
    fn note_refused(&self, search: &Search, lowered: &Lowered<'_>) {
        if search.doubts_replicas() {
            self.classes().note_refused(lowered.id, &lowered.sql, self.router().now());
        }
    }

    /// A connection for a read.
    pub(crate) async fn reader(&self, search: &mut Search) -> QueryResult<Checkout> {
        let router = self.router();
        // A node had no connection to spare: when no other one serves either, that is why.
        let mut exhausted = None;
        loop {
            // What is rare is boxed here and below, and what is needed no more is dropped before the next await: a read's
            // future is small enough to be allocated cheaply.
            let routed = {
                let request = search.request(&self.ledger);
                match router.route_now(&request) {
                    Some(routed) => routed,
                    None => Box::pin(router.route_patiently(&request)).await,
                }
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
                    let none = || error::no_route(&error, &router.connector().troubles());
                    return Err(exhausted.map_or_else(none, |error: Box<Error>| *error));
                }
                Ok(route) => match route.pool().checkout().await {
                    Ok(mut connection) => {
                        self.adopt(&mut connection);
                        return Ok(Checkout::new(connection, route));
                    }
                    Err(refused) => {
                        let error = error::no_connection(route.name(), &refused);
                        search.failed(route.node());
                        if refused.is_exhausted() {
                            router.note_exhausted(&route);
                            exhausted = Some(Box::new(error::no_connection(route.name(), &refused)));
                        }
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
        checkout: &Checkout,
        lowered: &mut Lowered<'_>,
        want: Want,
    ) -> QueryResult<Served> {
        checkout.refuse_writes().await?;
        self.serve(checkout, lowered, want).await
    }

    /// Runs a read on a connection up to its first row: whatever is wrong with the statement itself shows by then.
    async fn serve(&self, checkout: &Checkout, lowered: &mut Lowered<'_>, want: Want) -> QueryResult<Served> {
        let number = checkout.work().begin();
        let _noted = self.running.note(checkout.connection());
        let served = match checkout.within(one(checkout.connection(), lowered, want)).await {
            Ok(Got::Count(count)) => Served::Count(count),
            Ok(Got::Rows(mut rows)) => match checkout.within(rows.next().map(Ok)).await? {
                Some(Ok(first)) => Served::First(number, rows, first),
                Some(Err(error)) => {
                    checkout.work().failed(number, &error);
                    checkout.work().ended(number);
                    return Err(error);
                }
                None => Served::Nothing,
            },
            Err(error) => {
                if !error::is_lost(&error) {
                    checkout.work().done(number);
                }
                return Err(error);
            }
        };
        if !matches!(served, Served::First(..)) {
            checkout.work().done(number);
        }
        self.ledger.served(checkout.route());
        Ok(served)
    }
}

/// What a read has given so far.
enum Served {
    /// The number that the statement has on its connection, its rows, and the first of them.
    First(u64, Rows, PgRow),
    /// There are no rows.
    Nothing,
    Count(usize),
}

impl Served {
    /// What its caller gets. With it the connection goes back, unless there may be more rows.
    #[inline]
    fn answer(self, checkout: Checkout) -> Answer {
        let answer = match self {
            Self::First(number, rows, first) => {
                return Answer::Rows(RoutedStream::of_read(rows, first, checkout, number));
            }
            Self::Nothing => Answer::Rows(RoutedStream::empty()),
            Self::Count(count) => Answer::Count(count),
        };
        checkout.finish(Outcome::Answered);
        answer
    }
}

/// A read that failed, and where.
struct Failure {
    error: Error,
    checkout: Checkout,
    /// The application has asked to stop it.
    cancelled: bool,
}

/// How a statement that has failed as a read is run again.
enum Again {
    Read,
    Write,
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
