//! A write on its way to a connection of the primary.

use std::time::Duration;

use super::Patience;
use crate::connector::Connector;
use crate::engine::Fault;
use crate::route::{Access, Outcome, Request, Route, RouteError};
use crate::router::Router;
use crate::tally::WriteStep;
use crate::time::Moment;
use crate::writers::{Ticket, Word};

/// A write (or a transaction) that looks for a connection to the primary, and nothing of which was sent so far.
///
/// While there is no primary, or it cannot be connected to, it waits in the router's queue: first come, first served, up
/// to `write_wait`, and at most `write_queue` of them. It is woken by what the monitor finds out. Dropped, it leaves the
/// queue.
///
/// ```no_run
/// # use rr_core::adapter::Turn;
/// # use rr_core::engine::Fault;
/// # use rr_core::{Connector, Request, RouteError, Router};
/// # async fn connect<P>(pool: &P) -> Result<(), ()> { Ok(()) }
/// # async fn example<C: Connector>(router: &Router<C>) -> Result<(), RouteError> {
/// let mut turn = Turn::new(router);
/// let connection = loop {
///     let route = turn.route(router, &Request::write()).await?;
///     match connect(route.pool()).await {
///         Ok(connection) => break connection,
///         Err(_) => turn.refused(router, route, Fault::Refused),
///     }
/// };
/// turn.connected(router);
/// // … send the write.
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Turn {
    patience: Patience,
    limit: Duration,
    ticket: Option<Ticket>,
    /// The place that it had in the queue.
    place: Option<u64>,
    /// The primary has refused it a connection, so that it must not try again at once.
    was_refused: bool,
    /// A connection turned out to be dead.
    has_broken: bool,
    /// Since when it waits.
    since: Option<Moment>,
}

impl Turn {
    /// It may wait as long as the router's configuration says, from its first failure on.
    #[must_use]
    pub fn new<C: Connector>(router: &Router<C>) -> Self {
        let limit = router.config().write_wait;
        Self {
            patience: Patience::new(limit),
            limit,
            ticket: None,
            place: None,
            was_refused: false,
            has_broken: false,
            since: None,
        }
    }

    /// How much longer it may wait.
    pub fn left(&mut self) -> Duration {
        self.patience.left()
    }

    /// The primary, as soon as there is one to connect to.
    ///
    /// # Errors
    /// [`RouteError::NoPrimary`] when there was none in time or more waiting is in vain, [`RouteError::WriteQueueFull`],
    /// and [`RouteError::PrimaryUnreachable`] when there is one that [refused](Self::refused) until the time was over.
    pub async fn route<C: Connector>(
        &mut self,
        router: &Router<C>,
        request: &Request<'_>,
    ) -> Result<Route<C::Pool>, RouteError> {
        if !self.was_refused && router.writers().waiting() == 0 {
            let routed = router.route(request);
            if !matches!(&routed, Err(error) if waits_for(error)) {
                return routed;
            }
        }
        Box::pin(self.wait(router, request)).await
    }

    #[cold]
    async fn wait<C: Connector>(
        &mut self,
        router: &Router<C>,
        request: &Request<'_>,
    ) -> Result<Route<C::Pool>, RouteError> {
        let left = self.patience.left();
        if left.is_zero() {
            return self.last_chance(router, request);
        }
        let deadline = tokio::time::Instant::now() + left;
        loop {
            let Ok(mut ticket) = router.writers().enter(self.place) else {
                router.count_write(WriteStep::Refused);
                return Err(RouteError::WriteQueueFull { limit: router.config().write_queue });
            };
            if self.place.replace(ticket.place).is_none() {
                router.count_write(WriteStep::Waited);
                self.since = Some(router.now());
                tracing::debug!(target: "rr", "a write waits for a primary");
            }
            router.probe_now();
            let word = tokio::time::timeout_at(deadline, ticket.word()).await;
            match word {
                Ok(Word::Go) => match router.route(request) {
                    Err(error) if waits_for(&error) => continue,
                    Err(error) => return Err(error),
                    Ok(route) => {
                        self.was_refused = false;
                        self.ticket = Some(ticket);
                        return Ok(route);
                    }
                },
                Ok(Word::Futile) => return router.route(request),
                Err(_) => {
                    router.count_write(WriteStep::GaveUp);
                    self.note_wait(router);
                    return self.last_chance(router, request);
                }
            }
        }
    }

    /// There is no time to wait: what there is has to do.
    fn last_chance<C: Connector>(
        &self,
        router: &Router<C>,
        request: &Request<'_>,
    ) -> Result<Route<C::Pool>, RouteError> {
        let route = router.route(request)?;
        // What others have just found out it need not find out by itself.
        if !self.was_refused && !router.writers().is_refused() {
            return Ok(route);
        }
        Err(RouteError::PrimaryUnreachable { node: route.name().clone(), waited: self.limit })
    }

    /// It has a connection, and sends what it has to send.
    pub fn connected<C: Connector>(&mut self, router: &Router<C>) {
        if let Some(ticket) = self.ticket.take() {
            ticket.served();
            router.count_write(WriteStep::Served);
            self.note_wait(router);
        }
    }

    #[cold]
    fn note_wait<C: Connector>(&mut self, router: &Router<C>) {
        if let Some(since) = self.since.take() {
            let waited = router.now().since(since);
            router.note_wait("there was no primary to connect to", Access::Write, None, waited);
        }
    }

    /// The primary could not be connected to, because of this fault.
    pub fn refused<C: Connector>(&mut self, router: &Router<C>, route: Route<C::Pool>, fault: Fault) {
        self.was_refused = true;
        // Before the pass goes back: the next one would only find out the same.
        router.writers().refused(route.node(), route.epoch(), router.now());
        self.ticket = None;
        route.finish(Outcome::Failed(fault));
    }

    /// The connection that it got turned out to be dead before anything happened on it. Another one is worth a try, once.
    pub fn broke<C: Connector>(&mut self, router: &Router<C>, route: Route<C::Pool>, fault: Fault) {
        if self.has_broken {
            return self.refused(router, route, fault);
        }
        self.has_broken = true;
        self.ticket = None;
        route.finish(Outcome::Failed(fault));
    }
}

/// Whether a write waits while this is so.
fn waits_for(error: &RouteError) -> bool {
    matches!(error, RouteError::NoPrimary { why, .. } if why.may_pass())
}
