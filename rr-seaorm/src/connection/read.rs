//! Reads: on a replica that may serve them, and again elsewhere when that goes wrong.

use std::ops::{Deref, DerefMut};

use rr_core::adapter::{Next, Search, Wish};
use rr_core::engine::Fault;
use rr_core::route::{Access, Outcome, Route};
use rr_core::sql::StatementClass;
use rr_core::topology::Role;
use rr_core::{Connector, Router};
use sea_orm::{ConnAcquireErr, DbErr};

use super::RoutedConnection;
use super::checkout::{Checkout, within};
use crate::connector::{NodePool, SeaOrmConnector};
use crate::error;
use crate::job::{Job, reading_only};
use crate::metric::Timing;

impl RoutedConnection {
    pub(super) async fn read<J: Job>(&self, wish: Wish, job: &J) -> Result<J::Out, DbErr> {
        let mut search = Attempts::new(self.router(), wish);
        loop {
            let mut checkout = self.reader(&mut search).await?;
            let care = self.care(checkout.role(), job.sql());
            if care == Care::Write {
                drop(checkout);
                return Box::pin(self.write(Access::Write, job)).await;
            }
            checkout.route.runs(job.sql());
            let timing = Timing::start(self.callback(), self.router());
            let limit = self.deadline.or_else(|| checkout.route.pool().statement_timeout());
            let guarded = care == Care::Guard;
            let conn = &mut checkout.conn;
            conn.sends(limit);
            let result = match guarded {
                false => within(limit, checkout.route.name(), job.run(conn)).await,
                true => Box::pin(within(limit, checkout.route.name(), reading_only(job, conn))).await,
            };
            checkout.conn.answered();
            timing.end(job.statement(), result.is_err());
            let error = match result {
                Ok(out) => {
                    self.ledger.served(&checkout.route);
                    checkout.finish(Outcome::Answered);
                    return Ok(out);
                }
                Err(error) => error,
            };
            match self.judge(&mut search, &error, checkout, guarded) {
                Verdict::Again => {}
                Verdict::Tell => return Err(error),
                Verdict::Misrouted => {
                    self.connector().classes().learn_write(None, job.sql());
                    return Box::pin(self.write(Access::Write, job)).await;
                }
            }
        }
    }

    /// What a read needs on the node that was found for it.
    pub(crate) fn care(&self, role: Role, sql: &str) -> Care {
        if role == Role::Replica {
            return Care::None;
        }
        let classified = self.connector().classes().classify(None, sql);
        if classified.class != StatementClass::Read {
            return Care::Write;
        }
        if !classified.may_write(sql) {
            return Care::None;
        }
        // Without replicas nobody reads elsewhere, so that it costs nothing to count it as a write.
        let alone = !self.reads_only && self.router().topology().nodes().len() == 1;
        if alone { Care::Write } else { Care::Guard }
    }

    /// What follows from an error of a read of which no row was delivered.
    #[cold]
    pub(crate) fn judge(
        &self,
        search: &mut Attempts,
        error: &DbErr,
        checkout: Checkout,
        guarded: bool,
    ) -> Verdict {
        let (role, node) = (checkout.role(), checkout.node());
        let fault = error::fault(error, role);
        let next = match fault {
            // The primary was told to refuse.
            Some(Fault::ReadOnly) if guarded => Next::Misrouted,
            fault => Next::after(fault, role),
        };
        // A fault of the node is told with the outcome.
        if !matches!(next, Next::Elsewhere(_)) {
            checkout.route.failed(&error::word(error));
        }
        match next {
            Next::Tell => {
                checkout.finish(Outcome::Answered);
                return Verdict::Tell;
            }
            Next::Misrouted => {
                checkout.finish(Outcome::Answered);
                return Verdict::Misrouted;
            }
            Next::Primary => {
                checkout.finish(Outcome::Answered);
                search.insist_on_primary();
            }
            Next::Elsewhere(fault) => {
                match fault {
                    // The server cancelled the statement alone.
                    Fault::Conflict => checkout.finish(Outcome::Failed(fault)),
                    fault => checkout.discard(Outcome::Failed(fault)),
                }
                search.failed(node);
            }
        }
        if error::is_too_slow(error) && search.is_slow_everywhere() {
            return Verdict::Tell;
        }
        tracing::debug!(target: "rr", error = &*error::word(error), "a read is tried again");
        if search.may_replay(self.router()) { Verdict::Again } else { Verdict::Tell }
    }

    /// A connection for a read.
    pub(crate) async fn reader(&self, search: &mut Attempts) -> Result<Checkout, DbErr> {
        let router = self.router();
        loop {
            let route = self.route_for(search).await?;
            match Checkout::take(router, route).await {
                Ok(checkout) => return Ok(checkout),
                Err((error, route)) => self.missed(search, error, route)?,
            }
        }
    }

    /// A node for a read, as long as any is worth a try.
    pub(crate) async fn route_for(&self, search: &mut Attempts) -> Result<Route<NodePool>, DbErr> {
        let router = self.router();
        loop {
            if self.connector().lent().is_some() {
                search.mind_lent(&self.ledger);
            }
            let request = search.request(&self.ledger);
            // What is rare is boxed here and elsewhere: a statement's future is small enough to be allocated cheaply.
            let routed = match router.route_now(&request) {
                Some(routed) => routed,
                None => Box::pin(router.route_patiently(&request)).await,
            };
            match routed {
                Ok(route) => return Ok(route),
                // All nodes failed one after the other: begin again, but not at once.
                Err(_) if !search.is_fresh() && Box::pin(search.again().pause()).await => {}
                Err(_) if search.exhausted => return Err(error::exhausted()),
                Err(error) => return Err(error::no_route(error, self.connector().troubles())),
            }
        }
    }

    /// A node had no connection for a read.
    #[cold]
    pub(crate) fn missed(
        &self,
        search: &mut Attempts,
        error: DbErr,
        route: Route<NodePool>,
    ) -> Result<(), DbErr> {
        if self.is_closed_with(&error) {
            return Err(error);
        }
        search.failed(route.node());
        match error::fault(&error, route.role()) {
            Some(fault @ Fault::Overloaded) => {
                search.exhausted = true;
                route.finish(Outcome::Failed(fault));
            }
            Some(fault) => route.finish(Outcome::Failed(fault)),
            None => drop(route),
        }
        if search.has_time() { Ok(()) } else { Err(error) }
    }

    /// Whether this is what a connection says that was closed.
    pub(crate) fn is_closed_with(&self, error: &DbErr) -> bool {
        matches!(error, DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed))
            && self.connector().is_closed()
    }
}

/// The search for a node that serves a read, and how often it took too long.
pub(crate) struct Attempts {
    search: Search,
    slow: u8,
    /// A node had no connection to spare: when no other one serves either, that is why.
    exhausted: bool,
}

/// A statement that took too long on this many nodes is slow itself.
const SLOW: u8 = 2;

impl Attempts {
    pub(crate) fn new(router: &Router<SeaOrmConnector>, wish: Wish) -> Self {
        Self { search: Search::new(router, wish), slow: 0, exhausted: false }
    }

    /// Counts one more.
    const fn is_slow_everywhere(&mut self) -> bool {
        self.slow += 1;
        self.slow >= SLOW
    }
}

impl Deref for Attempts {
    type Target = Search;
    fn deref(&self) -> &Search {
        &self.search
    }
}

impl DerefMut for Attempts {
    fn deref_mut(&mut self) -> &mut Search {
        &mut self.search
    }
}

/// How a read is run that may turn out to be a write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// It cannot write there.
    None,
    /// The server is told to refuse, as a replica would.
    Guard,
    /// As a write, which it is or may be.
    Write,
}

/// What to do after an error of a read.
pub(crate) enum Verdict {
    /// Try again with what the search says now.
    Again,
    /// Tell the application.
    Tell,
    /// It is no read.
    Misrouted,
}
