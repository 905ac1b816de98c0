//! Everything that is no read: on the primary, once.

use rr_core::adapter::Patience;
use rr_core::engine::Fault;
use rr_core::route::{Access, Outcome, Request, Route};
use sea_orm::DbErr;

use super::RoutedConnection;
use super::checkout::{Checkout, within};
use crate::connector::NodePool;
use crate::error;
use crate::job::Job;
use crate::metric::Timing;

impl RoutedConnection {
    pub(super) async fn write<J: Job>(&self, access: Access, job: &J) -> Result<J::Out, DbErr> {
        self.check_writes()?;
        let mut checkout = self.writer(access).await?;
        let suspect = self.ledger.suspect();
        let timing = Timing::start(self.callback(), self.router());
        let limit = checkout.route.pool().statement_timeout();
        let result = within(limit, checkout.route.name(), job.run(&mut checkout.conn)).await;
        // Noted before the caller knows, and after the server has answered: every sample of the primary that is taken from
        // now on includes it.
        suspect.settle(error::ended(result.as_ref().err()), None);
        timing.end(job.statement(), result.is_err());
        match &result {
            Ok(_) => checkout.finish(Outcome::Answered),
            Err(error) => {
                let outcome = error::outcome(error, checkout.role());
                if error::is_lost(error) { checkout.discard(outcome) } else { checkout.finish(outcome) }
            }
        }
        result
    }

    /// A connection to the primary. Nothing has been sent when this fails, so it waits for a primary that is gone.
    pub(crate) async fn writer(&self, access: Access) -> Result<Checkout, DbErr> {
        let router = self.router();
        let mut patience = Patience::new(router.config().write_wait);
        loop {
            let error = match router.route(&request(access)) {
                Err(error) => error::no_route(error, self.connector().troubles()),
                Ok(route) => match Checkout::take(router, route).await {
                    Ok(checkout) => return Ok(checkout),
                    Err((error, route)) => self.shut_out(error, route)?,
                },
            };
            if !Box::pin(patience.pause()).await {
                return Err(error);
            }
        }
    }

    /// The primary had no connection. The error comes back if it may be different later.
    #[cold]
    pub(crate) fn shut_out(&self, error: DbErr, route: Route<NodePool>) -> Result<DbErr, DbErr> {
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
            Some(fault) => {
                route.finish(Outcome::Failed(fault));
                Ok(error)
            }
        }
    }
}

pub(crate) const fn request(access: Access) -> Request<'static> {
    if matches!(access, Access::Session) { Request::session() } else { Request::write() }
}
