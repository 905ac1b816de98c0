//! A connection that was taken out of its pool, and its way back.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use rr_core::Router;
use rr_core::route::Route;
use rr_core::router::WeakRouter;
use rr_core::topology::{HealthState, NodeId, Role};
use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::postgres::{PgConnection, Postgres};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use crate::connector::{NodePool, SeaOrmConnector};

/// How often a connection on its way back is held against what is known of its node.
const LOOK: Duration = Duration::from_millis(100);

/// A connection out of a pool. Dropped, it goes back as soon as the server has answered for all that was sent on it.
///
/// The driver (sqlx 0.9) waits for that answer as long as the network has it wait: a quarter of an hour where packets vanish.
/// Its place in the pool is taken meanwhile. So it is closed instead, and its place is free,
/// - when nothing was under way, and the server does not answer within the time that it has for opening a connection;
/// - when a statement was given up, and that statement's limit is over. Without a limit the server may take its time: it has as
///   many statements as the pool has places, and no more;
/// - when its node has gone, as all can see who would wait for it, or the pools are closed.
pub(crate) struct Taken {
    /// There until it is dropped.
    held: Option<(PoolConnection<Postgres>, Way)>,
    closing: bool,
}

/// What is known of the way back.
struct Way {
    router: WeakRouter<SeaOrmConnector>,
    node: NodeId,
    role: Role,
    /// Limit for what is under way, where there is one.
    limit: Option<Duration>,
    /// How long a server may take that has nothing to do.
    prompt: Duration,
}

impl Taken {
    pub(crate) fn new(
        conn: PoolConnection<Postgres>,
        router: &Router<SeaOrmConnector>,
        route: &Route<NodePool>,
    ) -> Self {
        let (node, role, prompt) = (route.node(), route.role(), route.pool().connect_timeout());
        let way = Way { router: router.downgrade(), node, role, limit: Some(prompt), prompt };
        Self { held: Some((conn, way)), closing: false }
    }

    /// A statement is sent, with this limit.
    pub(crate) fn sends(&mut self, limit: Option<Duration>) {
        if let Some((_, way)) = &mut self.held {
            way.limit = limit;
        }
    }

    /// The server has answered.
    pub(crate) fn answered(&mut self) {
        if let Some((_, way)) = &mut self.held {
            way.limit = Some(way.prompt);
        }
    }

    /// Closes it when it is dropped.
    pub(crate) const fn close_on_drop(&mut self) {
        self.closing = true;
    }

    /// Closes it now, without a word: its node may hang.
    pub(crate) fn discard(mut self) {
        drop(self.held.take().map(|(conn, _)| conn.detach()));
    }
}

impl Deref for Taken {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match &self.held {
            Some((conn, _)) => conn,
            None => unreachable!("it is there until it is dropped"),
        }
    }
}

impl DerefMut for Taken {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match &mut self.held {
            Some((conn, _)) => conn,
            None => unreachable!("it is there until it is dropped"),
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Some((mut conn, way)) = self.held.take() else { return };
        if self.closing {
            conn.close_on_drop();
        } else if let Ok(runtime) = Handle::try_current() {
            // As the driver does it when a connection is dropped, but for the waiting.
            // Boxed, because it is 7 kB, and a task is copied several times.
            runtime.spawn(way.wait(Box::pin(conn.return_to_pool())));
        }
    }
}

impl Way {
    /// What is dropped here is closed.
    async fn wait(self, mut back: impl Future<Output = ()> + Unpin) {
        let mut deadline = self.limit.and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                break;
            }
            let look = deadline.map_or(now + LOOK, |deadline| deadline.min(now + LOOK));
            if timeout_at(look, &mut back).await.is_ok() {
                return;
            }
            let Some(router) = self.router.upgrade() else { break };
            if !is_there(&router, self.node, self.role) {
                break;
            }
            if router.connector().is_closed() {
                deadline.get_or_insert(now + self.prompt);
            }
        }
        tracing::debug!(target: "rr", "a connection is closed: its server did not answer in time");
    }
}

/// Whether the node is still what it was chosen for, and answers.
pub(super) fn is_there(router: &Router<SeaOrmConnector>, node: NodeId, role: Role) -> bool {
    let topology = router.topology();
    let Some(node) = topology.node(node) else { return false };
    let is_primary = topology.primary().is_ok_and(|primary| primary.id == node.id);
    let present = if is_primary { Role::Primary } else { Role::Replica };
    present == role && node.health != HealthState::Unhealthy
}
