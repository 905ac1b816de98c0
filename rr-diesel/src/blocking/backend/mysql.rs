//! MySQL: its types only, as its servers cannot be watched yet.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use diesel::MysqlConnection;
use diesel::connection::{DefaultLoadingMode, LoadConnection, MultiConnectionHelper, SimpleConnection};
use diesel::migration::MigrationConnection;
use diesel::r2d2::R2D2Connection;
use diesel::result::QueryResult;
use rr_core::connector::Target;
use rr_core::position::Position;
use rr_core::sql::Dialect;
use rr_core::topology::Role;

use super::{Routable, attached};
use crate::blocking::RoutedConnection;
use crate::connector::ConnectError;

impl Routable for MysqlConnection {
    const DIALECT: Dialect = Dialect::MySql;

    fn address(target: &Target) -> Result<String, ConnectError> {
        Ok(target.node.url.expose().to_owned())
    }

    fn set_up(&mut self, role: Role, _: Option<Duration>) -> QueryResult<()> {
        match role {
            Role::Primary => Ok(()),
            Role::Replica => self.batch_execute("SET SESSION TRANSACTION READ ONLY"),
        }
    }

    fn position(&mut self, _: &AtomicU64) -> Option<Position> {
        None
    }
}

attached!(MysqlConnection, DefaultLoadingMode);

#[expect(dead_code, reason = "shows what the routed connection can do")]
fn is_complete(
    handle: RoutedConnection<MysqlConnection>,
) -> impl LoadConnection + R2D2Connection + MigrationConnection + MultiConnectionHelper {
    handle
}
