//! SeaORM's metric callback: told of each statement, as a plain connection does it.

use std::sync::Arc;

use rr_core::Router;
use rr_core::time::Moment;
use sea_orm::Statement;
use sea_orm::metric::Info;

use crate::SeaOrmConnector;

/// What an application wants to be told through.
pub(crate) type Callback = Arc<dyn Fn(&Info<'_>) + Send + Sync>;

/// A statement whose time is taken, if anybody wants to know.
pub(crate) struct Timing<'a> {
    of: Option<(&'a Callback, &'a Router<SeaOrmConnector>, Moment)>,
}

impl<'a> Timing<'a> {
    pub(crate) fn start(callback: Option<&'a Callback>, router: &'a Router<SeaOrmConnector>) -> Self {
        Self { of: callback.map(|callback| (callback, router, router.now())) }
    }

    pub(crate) fn end(self, statement: Option<&Statement>, failed: bool) {
        if let (Some((callback, router, start)), Some(statement)) = (self.of, statement) {
            callback(&Info { elapsed: router.now().since(start), statement, failed });
        }
    }
}
