//! Everything that is no read: on the primary, once.

use std::sync::Arc;

use rr_core::Router;
use rr_core::adapter::Turn;
use rr_core::engine::Fault;
use rr_core::outcome::Unanswered;
use rr_core::route::{Access, Outcome, Request, Route};
use rr_core::topology::{Epoch, NodeId, Role};
use sea_orm::DbErr;

use super::RoutedConnection;
use super::checkout::{Checkout, within};
use crate::connector::{NodePool, SeaOrmConnector};
use crate::error;
use crate::job::Job;
use crate::metric::Timing;

impl RoutedConnection {
    /// Runs a statement on the primary, once. What a server refuses because it is the primary no more is run on the one that
    /// is.
    pub(super) async fn write<J: Job>(&self, access: Access, job: &J) -> Result<J::Out, DbErr> {
        self.check_writes()?;
        let mut turn = Turn::new(self.router());
        loop {
            let checkout = self.writer(access, &mut turn).await?;
            let chosen = (checkout.node(), checkout.route.epoch());
            match self.try_write(checkout, job).await {
                Err(error) if self.is_deposed(chosen, &error, &mut turn).await => {}
                done => return done,
            }
        }
    }

    async fn try_write<J: Job>(&self, mut checkout: Checkout, job: &J) -> Result<J::Out, DbErr> {
        let suspect = self.ledger.suspect(Some(&checkout.route));
        checkout.route.runs(job.sql());
        let timing = Timing::start(self.callback(), self.router());
        let limit = checkout.route.pool().statement_timeout();
        let node = Arc::clone(checkout.route.name());
        checkout.conn.sends(limit);
        let result = within(limit, &node, job.run(&mut checkout.conn)).await;
        checkout.conn.answered();
        // Noted before the caller knows, and after the server has answered: every sample of the primary that is taken from
        // now on includes it.
        suspect.settle(error::ended_with(result.as_ref().err(), job.sql()), None);
        timing.end(job.statement(), result.is_err());
        match &result {
            Ok(_) => checkout.finish(Outcome::Answered),
            Err(error) => {
                checkout.route.failed(&error::word(error));
                let outcome = error::outcome(error, checkout.role());
                if error::is_lost(error) { checkout.discard(outcome) } else { checkout.finish(outcome) }
            }
        }
        result.map_err(|error| write_failed(self.router(), &node, error))
    }

    /// Whether the node refused because it is the primary no more, so that the statement may go to the one that is.
    async fn is_deposed(&self, (node, epoch): (NodeId, Epoch), error: &DbErr, turn: &mut Turn) -> bool {
        if error::fault(error, Role::Primary) != Some(Fault::ReadOnly) {
            return false;
        }
        let deposed = Box::pin(self.router().is_deposed(node, epoch, turn.left())).await;
        if deposed {
            tracing::debug!(target: "rr", error = &*error::word(error), "a write met a server that is the primary no more; it goes to the new one");
        }
        deposed
    }

    /// A connection to the primary. Nothing has been sent when this fails, so it waits for a primary that is gone.
    pub(crate) async fn writer(&self, access: Access, turn: &mut Turn) -> Result<Checkout, DbErr> {
        let router = self.router();
        let mut refusal = None;
        loop {
            let route = match turn.route(router, &request(access)).await {
                Ok(route) => route,
                Err(none) => return Err(error::no_primary(none, refusal, || self.connector().troubles())),
            };
            match Checkout::take_alive(router, route).await {
                Ok(checkout) => {
                    turn.connected(router);
                    return Ok(checkout);
                }
                Err((error, route)) => refusal = Some(self.shut_out(error, route, turn)?),
            }
        }
    }

    /// The primary had no connection. The error comes back if it may be different later.
    #[cold]
    pub(crate) fn shut_out(
        &self,
        error: DbErr,
        route: Route<NodePool>,
        turn: &mut Turn,
    ) -> Result<DbErr, DbErr> {
        if self.is_closed_with(&error) {
            return Err(error);
        }
        match error::fault(&error, route.role()) {
            // It would be no different later.
            None => Err(error),
            // Nor would more waiting help: the time to wait for a connection is over.
            Some(fault @ Fault::Overloaded) => {
                route.finish(Outcome::Failed(fault));
                Err(error)
            }
            // An idle connection was dead.
            Some(fault @ Fault::Lost) => {
                turn.broke(self.router(), route, fault);
                Ok(error)
            }
            Some(fault) => {
                turn.refused(self.router(), route, fault);
                Ok(error)
            }
        }
    }
}

/// The error of a write, which says so where nobody knows what became of it.
#[cold]
pub(crate) fn write_failed(router: &Router<SeaOrmConnector>, node: &Arc<str>, error: DbErr) -> DbErr {
    if !error::is_unanswered(&error) {
        return error;
    }
    error::not_answered(router.unanswered(node, Unanswered::Statement, None), error)
}

pub(crate) const fn request(access: Access) -> Request<'static> {
    if matches!(access, Access::Session) { Request::session() } else { Request::write() }
}
