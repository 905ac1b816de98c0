//! Finding a node for a statement, and taking a connection out of its pool.

use std::thread;

use diesel::QueryResult;
use diesel::connection::CacheSize;
use diesel::result::Error;
use rr_core::Router;
use rr_core::adapter::{Ledger, Next, Patience, Search, Turn};
use rr_core::engine::Fault;
use rr_core::route::{Access, Outcome, Request, Route};
use rr_core::topology::{Epoch, NodeId, Role};

use super::backend::Routable;
use super::connector::NodeConnector;
use super::node::{Care, Lease, Limit, NodePool};
use super::runtime;
use crate::error;
use crate::instrument::Shared;
use crate::verdict::{Verdict, may_last, verdict};

/// A connection of a node, and the route that led there. Dropping it gives the connection back.
pub(super) struct Checkout<C: Routable> {
    pub(super) lease: Lease<C>,
    pub(super) route: Option<Route<NodePool<C>>>,
}

impl<C: Routable> Checkout<C> {
    pub(super) fn conn(&mut self) -> &mut C {
        &mut self.lease.connection().conn
    }

    pub(super) fn role(&self) -> Role {
        self.route.as_ref().map_or(Role::Primary, Route::role)
    }

    pub(super) fn node(&self) -> Option<NodeId> {
        self.route.as_ref().map(Route::node)
    }

    pub(super) fn limit(&self) -> Option<Limit> {
        self.route.as_ref().and_then(|route| route.pool().limit())
    }

    /// Which node was chosen, and when.
    pub(super) fn chosen(&self) -> Option<(NodeId, Epoch)> {
        self.route.as_ref().map(|route| (route.node(), route.epoch()))
    }

    /// Gives up a connection that was dead before anything happened on it. The others of its pool are not trusted either.
    pub(super) fn broke(&mut self, router: &Router<NodeConnector<C>>, turn: &mut Turn) {
        if let Some(route) = self.route.take() {
            route.pool().purge();
            turn.broke(router, route, Fault::Lost);
        }
    }

    /// Tells what is run, for the span.
    pub(super) fn runs(&self, sql: &str) {
        self.route.iter().for_each(|route| route.runs(sql));
    }

    /// Tells of an error, for the span.
    pub(super) fn failed(&self, error: &Error) {
        self.route.iter().for_each(|route| route.failed(error::word(error)));
    }

    /// Says how the node did; the connection goes back when this is dropped.
    pub(super) fn report(&mut self, outcome: Outcome) {
        report(&mut self.route, outcome);
    }
}

/// Says how a node did. When a connection broke, the others of its pool are not trusted either.
pub(super) fn report<C: Routable>(route: &mut Option<Route<NodePool<C>>>, outcome: Outcome) {
    let Some(route) = route.take() else { return };
    if matches!(outcome, Outcome::Failed(Fault::Lost | Fault::ShuttingDown)) {
        route.pool().purge();
    }
    route.finish(outcome);
}

/// What an error of a read on a node of this role calls for. A connection that is gone is told as such by these drivers,
/// so that there is no need to ask it.
pub(super) fn next(error: &Error, role: Role, limit: Option<&Limit>) -> Next {
    match verdict(error, role) {
        Verdict::IfAlive(Next::Primary) if may_last(error) && limit.is_some_and(Limit::is_over) => Next::Tell,
        Verdict::Clear(next) | Verdict::IfAlive(next) => next,
    }
}

/// Takes connections on behalf of a handle.
pub(super) struct Opener<C: Routable> {
    pub(super) ledger: Ledger<NodeConnector<C>>,
    pub(super) instrumentation: Shared,
    pub(super) instrumented: bool,
    pub(super) cache: CacheSize,
}

impl<C: Routable> Opener<C> {
    pub(super) const fn router(&self) -> &Router<NodeConnector<C>> {
        &self.ledger.router
    }

    /// A connection for a read.
    pub(super) fn reader(&self, search: &mut Search) -> QueryResult<Checkout<C>> {
        let router = self.router();
        // A node had no connection to spare: when no other one serves either, that is why.
        let mut exhausted = None;
        loop {
            let request = search.request(&self.ledger);
            let routing = router.route_patiently(&request);
            let error = match runtime::wait(router.connector().runtime(), routing) {
                Err(none) => {
                    let again = !search.is_fresh() && pause(search.again());
                    if !again {
                        return Err(exhausted.unwrap_or_else(|| self.no_route(&none)));
                    }
                    continue;
                }
                Ok(route) => match route.pool().checkout(Care::Replayable) {
                    Ok(lease) => return Ok(self.adopt(lease, route)),
                    Err(refused) => {
                        let error = error::no_connection(route.name(), &refused);
                        search.failed(route.node());
                        if refused.is_exhausted() {
                            router.note_exhausted(&route);
                            exhausted = Some(error::no_connection(route.name(), &refused));
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

    /// A connection to the primary. Nothing has been sent when this fails, so it waits for a primary that is gone.
    pub(super) fn writer(&self, access: Access, care: Care, turn: &mut Turn) -> QueryResult<Checkout<C>> {
        let router = self.router();
        let request = if access == Access::Session { Request::session() } else { Request::write() };
        let mut refusal = None;
        loop {
            let routing = turn.route(router, &request);
            let route = match runtime::wait(router.connector().runtime(), routing) {
                Ok(route) => route,
                Err(none) => return Err(error::no_primary(&none, refusal, || router.connector().troubles())),
            };
            match route.pool().checkout(care) {
                Ok(lease) => {
                    turn.connected(router);
                    return Ok(self.adopt(lease, route));
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

    /// Notes that a read was served.
    pub(super) fn served(&self, checkout: &Checkout<C>) {
        if let Some(route) = &checkout.route {
            self.ledger.served(route);
        }
    }

    /// For a write that looks for a primary.
    pub(super) fn turn(&self) -> Turn {
        Turn::new(self.router())
    }

    /// Whether the node refused because it is the primary no more, so that the statement may go to the one that is.
    pub(super) fn is_deposed(&self, chosen: Option<(NodeId, Epoch)>, error: &Error, turn: &mut Turn) -> bool {
        let Some((node, epoch)) = chosen.filter(|_| error::refuses_to_write(error)) else { return false };
        let router = self.router();
        let asking = router.is_deposed(node, epoch, turn.left());
        let deposed = runtime::wait(router.connector().runtime(), asking);
        if deposed {
            tracing::debug!(target: "rr", error = error::word(error), "a write met a server that is the primary no more; it goes to the new one");
        }
        deposed
    }

    fn adopt(&self, mut lease: Lease<C>, mut route: Route<NodePool<C>>) -> Checkout<C> {
        let connection = lease.connection();
        connection.set_cache(self.cache);
        if self.instrumented {
            connection.relay.connect(Some(&self.instrumentation));
        }
        route.begin();
        Checkout { lease, route: Some(route) }
    }

    fn no_route(&self, none: &rr_core::RouteError) -> Error {
        error::no_route(none, &self.router().connector().troubles())
    }
}

/// Pauses, and says whether there is time for another try.
pub(super) fn pause(patience: &mut Patience) -> bool {
    patience.next_pause().map(thread::sleep).is_some()
}
