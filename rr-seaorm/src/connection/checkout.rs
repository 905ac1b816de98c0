//! A connection of a node, taken out for one statement.

use std::time::Duration;

use futures_util::TryFutureExt;
use rr_core::Router;
use rr_core::adapter::Waiting;
use rr_core::route::{Outcome, Route};
use rr_core::topology::{NodeId, Role};
use sea_orm::sqlx::Connection as _;
use sea_orm::{ConnAcquireErr, DbErr};

use super::taken::{Taken, is_there};
use crate::connector::{NodePool, SeaOrmConnector};
use crate::error;

/// For so long nothing but the answer itself is waited for.
const SOON: Duration = Duration::from_millis(10);

/// How long a node is waited for that was chosen although it does not answer: what is known of it may be out of date.
const BELATED: Duration = Duration::from_millis(10);

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
        let taken = match route.pool().idle() {
            Some(conn) => Ok(conn),
            None => {
                let acquiring = Box::pin(route.pool().pool().acquire().map_err(error::acquire));
                while_there(router, &route, acquiring).await
            }
        };
        match taken {
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

/// Waits for a connection and for what it takes to begin on it, as long as the node is there (the driver goes on knocking at a
/// closed door until its time is up) and does not take longer than it should to open a connection.
pub(crate) async fn while_there<T>(
    router: &Router<SeaOrmConnector>,
    route: &Route<NodePool>,
    mut work: impl Future<Output = Result<T, DbErr>> + Unpin,
) -> Result<T, DbErr> {
    let patience = route.pool().patience(route.in_flight());
    // Where a connection is idle, that of somebody else is not waited for.
    let queues = route.pool().pool().num_idle() == 0;
    // Most often there is nothing to wait for, or for an answer only: then nobody need know and nothing else be heard.
    if let std::task::Poll::Ready(done) = futures_util::poll!(&mut work) {
        return done;
    }
    if !queues && let Ok(done) = tokio::time::timeout(SOON, &mut work).await {
        return done;
    }
    let waiting = async {
        let wait = queues.then(|| route.pool().waits().begin());
        let _queued = patience.is_none().then(|| route.pool().queue());
        let late = async {
            let Some(limit) = patience else { return std::future::pending().await };
            tokio::time::sleep(limit).await;
            limit
        };
        let mut late = std::pin::pin!(late);
        let is_there = || is_there(router, route.node(), route.role());
        loop {
            let news = router.news();
            let there = is_there();
            let look = async { if there { news.await } else { tokio::time::sleep(BELATED).await } };
            let done = tokio::select! {
                biased;
                done = &mut work => done,
                limit = &mut late => return Err(error::unreached(route.name(), limit)),
                () = look => match is_there() {
                    true => continue,
                    false => return Err(error::gone(route.name(), router.connector().troubles())),
                },
            };
            match &done {
                Ok(_) => wait.into_iter().for_each(Waiting::served),
                Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)) => {
                    wait.into_iter().for_each(Waiting::in_vain);
                    router.note_exhausted(route);
                }
                Err(_) => {}
            }
            return done;
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
