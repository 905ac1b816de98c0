//! What became of writes that were not answered.

use std::sync::Arc;

use super::Router;
use crate::adapter::Turn;
use crate::connector::Connector;
use crate::engine::postgres::{Status, outcome_sql, read_outcome};
use crate::outcome::{Doubt, OutcomeUnknown, Resolution, TransactionId, Unanswered};
use crate::position::{PgPosition, Position};
use crate::route::{Request, Route};
use crate::tally::WriteStep;

impl<C: Connector> Router<C> {
    /// Notes that a write was sent and not answered. For adapters.
    #[must_use]
    pub fn unanswered(
        &self,
        node: &Arc<str>,
        during: Unanswered,
        transaction: Option<TransactionId>,
    ) -> OutcomeUnknown {
        self.count_write(WriteStep::OutcomeUnknown);
        let unknown = OutcomeUnknown::new(Arc::clone(node), during, transaction);
        if let Some(left_out) = self.inner.shared.throttles.unanswered.pass(self.now()) {
            tracing::warn!(target: "rr", left_out, "{unknown}");
        }
        unknown
    }

    /// Asks the primary what became of a write that was not answered; waits for one up to `write_wait`.
    ///
    /// An answer that it was committed or not is proven; see [`outcome`](crate::outcome).
    pub async fn resolve(&self, unknown: &OutcomeUnknown) -> Resolution {
        let Some(transaction) = &unknown.transaction else { return Resolution::Unknown(Doubt::NoNumber) };
        match self.ask_for(&unknown.node, transaction).await {
            Ok(resolution) => resolution,
            Err(doubt) => Resolution::Unknown(doubt),
        }
    }

    async fn ask_for(&self, node: &str, transaction: &TransactionId) -> Result<Resolution, Doubt> {
        let mut turn = Turn::new(self);
        let nobody = |error: &dyn std::fmt::Display| Doubt::NoPrimary(error.to_string());
        let route = turn.route(self, &Request::write()).await.map_err(|error| nobody(&error))?;
        turn.connected(self);
        // Whatever it was that broke the connection, this is about afterwards.
        let asked_at = self.now();
        let history = |topology: &crate::topology::Topology| {
            let primary = topology.primary().ok()?;
            let Some(Position::Postgres(now)) = &primary.applied else { return None };
            let is_new = primary.sampled_at.is_some_and(|at| at >= asked_at);
            is_new.then(|| (primary.id, now.clone()))
        };
        // Without any patience for writes there is enough for one look.
        let patience = turn.left().max(self.config().monitor.timeout);
        let looked = self.look(patience, None, history).await;
        let (id, now) = looked.ok_or_else(|| nobody(&"it does not answer"))?;
        if id != route.node() {
            return Err(nobody(&"it has just changed"));
        }
        if !now.covers(&transaction.at) {
            return Err(Doubt::OtherHistory { at: transaction.at.clone().into(), now: now.into() });
        }
        self.ask_server(node, &route, &now, transaction).await
    }

    async fn ask_server(
        &self,
        node: &str,
        route: &Route<C::Pool>,
        now: &PgPosition,
        transaction: &TransactionId,
    ) -> Result<Resolution, Doubt> {
        let shared = &self.inner.shared;
        let limits = &shared.config.monitor;
        // On the same server and timeline, the log may have been cut off and written anew.
        let was_there = &**route.name() == node && now.head().0 == transaction.at.head().0;
        let sql = outcome_sql(transaction, was_there);
        let nobody = |error: &dyn std::fmt::Display| Doubt::NoPrimary(error.to_string());
        let asking = async {
            let mut control =
                shared.connector.control(route.target()).await.map_err(|error| nobody(&error))?;
            shared.connector.run(&mut control, &sql).await.map_err(|error| nobody(&error))
        };
        let asked = tokio::time::timeout(limits.connect_timeout + limits.timeout, asking).await;
        let row = asked.map_err(|_| nobody(&"it did not answer in time"))??;
        let (status, timeline) = read_outcome(&row).map_err(|error| nobody(&error))?;
        // Judged by the history of one timeline, and answered on it.
        if timeline != now.head().0 {
            return Err(nobody(&"it has just changed"));
        }
        match status {
            Status::Committed => Ok(Resolution::Committed),
            Status::Aborted => Ok(Resolution::Aborted),
            Status::InProgress => Ok(Resolution::InProgress),
            Status::Crashed => Err(Doubt::Crashed),
            Status::Forgotten => Err(Doubt::Forgotten),
        }
    }
}
