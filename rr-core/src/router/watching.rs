//! What the router did lately, for people.

use super::Router;
use crate::connector::Connector;
use crate::journal::Told;
use crate::route::Route;
use crate::trail::Routed;

impl<C: Connector> Router<C> {
    /// Tells, now and then, of a statement for which no connection of a node's pool became free in time: for errors of
    /// drivers, which do not say whose pool it was, and what to change.
    #[cold]
    pub fn note_exhausted(&self, route: &Route<C::Pool>) {
        if let Some(left_out) = self.inner.shared.throttles.exhausted.pass(self.now()) {
            let (node, role, pool) = (route.name(), route.role(), &route.target().pool);
            tracing::warn!(
                target: "rr", %node, %role, max = pool.max, checkout_timeout = ?pool.checkout_timeout, left_out,
                "no connection of a pool became free in time; raise its `max` or `checkout_timeout`, or shed load"
            );
        }
    }

    /// Where statements went that were noted after number `after`, the oldest first. Samples: a look asks for the next 64
    /// routes, and what nobody asks for is not noted. So look again and again, four times a second say, as long as
    /// somebody wants to know, and begin with 0.
    #[must_use]
    pub fn recent_routes(&self, after: u64) -> Vec<Routed> {
        self.inner.shared.trail.look(after, self.now())
    }

    /// The notices after number `after`, the oldest first, as far as they are kept (the last 128). To be told of each at
    /// once, subscribe to [`Router::notices`].
    #[must_use]
    pub fn recent_notices(&self, after: u64) -> Vec<Told> {
        self.inner.shared.journal.after(after)
    }

    /// All figures of this router, in the text format of Prometheus (0.0.4), for an application that has a page for them
    /// already; else there is the route `web::metrics`.
    #[cfg(feature = "prometheus")]
    #[must_use]
    pub fn metrics_text(&self) -> String {
        self.inner.shared.metrics.text()
    }
}
