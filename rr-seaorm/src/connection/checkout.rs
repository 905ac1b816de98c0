//! A connection of a node, taken out for one statement.

use std::time::Duration;

use futures_util::TryFutureExt;
use rr_core::Router;
use rr_core::route::{Outcome, Route};
use rr_core::topology::{NodeId, Role};
use sea_orm::sqlx::Connection as _;
use sea_orm::{ConnAcquireErr, DbErr};
use tokio::time::Instant;

use super::taken::{Taken, is_there};
use crate::connector::{NodePool, SeaOrmConnector};
use crate::error;

/// Whoever waits for a connection looks this often whether its node is still worth waiting for: the driver goes on
/// knocking at a closed door until its time is up.
const LOOK: Duration = Duration::from_millis(10);

/// A connection of a node, and the route that led there. Dropping it gives the connection back; nobody else gets that before a
/// statement under way has ended.
pub(crate) struct Checkout {
    pub(crate) conn: Taken,
    pub(crate) route: Route<NodePool>,
}

impl Checkout {
    /// Takes a connection out. With the error comes the route: what it says about the node has yet to be told.
    pub(crate) async fn take(
        router: &Router<SeaOrmConnector>,
        mut route: Route<NodePool>,
    ) -> Result<Self, (DbErr, Route<NodePool>)> {
        let acquiring = route.pool().pool().acquire().map_err(error::acquire);
        match while_there(router, &route, acquiring).await {
            Ok(conn) => {
                route.begin();
                Ok(Self { conn: Taken::new(conn, router, &route), route })
            }
            Err(error) => Err((error, route)),
        }
    }

    /// As [`take`](Self::take), for what cannot be run again: a connection that may have died with what was last noticed of its
    /// node is asked first.
    pub(crate) async fn take_alive(
        router: &Router<SeaOrmConnector>,
        mut route: Route<NodePool>,
    ) -> Result<Self, (DbErr, Route<NodePool>)> {
        loop {
            let mut checkout = Self::take(router, route).await?;
            let topology = router.topology();
            let broke = topology.node(checkout.node()).map(|node| node.steady_since);
            let pool = checkout.route.pool();
            if !broke.is_some_and(|at| pool.is_in_doubt(at)) {
                return Ok(checkout);
            }
            let pong = checkout.conn.ping().map_err(error::acquire);
            match Box::pin(within(Some(pool.connect_timeout()), checkout.route.name(), pong)).await {
                Ok(()) => return Ok(checkout),
                Err(error) => tracing::debug!(
                    target: "rr", error = &*error::word(&error), "a connection has died while nobody used it; another one is taken"
                ),
            }
            checkout.conn.discard();
            route = checkout.route;
        }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.route.node()
    }

    pub(crate) fn role(&self) -> Role {
        self.route.role()
    }

    /// Gives the connection back and says how its node did.
    pub(crate) fn finish(self, outcome: Outcome) {
        self.route.finish(outcome);
    }

    /// Closes the connection without a word (its node may hang), and says how its node did.
    pub(crate) fn discard(self, outcome: Outcome) {
        self.conn.discard();
        self.route.finish(outcome);
    }
}

/// Waits for something that has not begun to do anything on a node, as long as the node is there and does not take longer
/// than it should to open a connection.
pub(crate) async fn while_there<T>(
    router: &Router<SeaOrmConnector>,
    route: &Route<NodePool>,
    work: impl Future<Output = Result<T, DbErr>>,
) -> Result<T, DbErr> {
    let patience = route.pool().patience(route.in_flight());
    let mut work = std::pin::pin!(work);
    // Most often there is nothing to wait for.
    if let std::task::Poll::Ready(done) = futures_util::poll!(work.as_mut()) {
        return done;
    }
    let waiting = async {
        let wait = route.pool().waits().begin();
        let _queued = patience.is_none().then(|| route.pool().queue());
        let deadline = patience.map(|limit| (Instant::now() + limit, limit));
        loop {
            match tokio::time::timeout(LOOK, work.as_mut()).await {
                Ok(Ok(done)) => {
                    wait.served();
                    return Ok(done);
                }
                Ok(Err(error)) => {
                    if matches!(error, DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)) {
                        wait.in_vain();
                        router.note_exhausted(route);
                    }
                    return Err(error);
                }
                Err(_) if !is_there(router, route.node(), route.role()) => {
                    return Err(error::gone(route.name(), router.connector().troubles()));
                }
                Err(_) => match deadline {
                    Some((deadline, limit)) if Instant::now() >= deadline => {
                        return Err(error::unreached(route.name(), limit));
                    }
                    _ => {}
                },
            }
        }
    };
    Box::pin(waiting).await
}

/// Runs something within a node's limit: a node that hangs must not take the statement with it.
pub(crate) async fn within<T>(
    limit: Option<Duration>,
    node: &str,
    work: impl Future<Output = Result<T, DbErr>>,
) -> Result<T, DbErr> {
    let Some(limit) = limit else { return work.await };
    Box::pin(tokio::time::timeout(limit, work)).await.unwrap_or_else(|_| Err(error::too_slow(node, limit)))
}
