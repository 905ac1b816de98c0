//! The same for Diesel's own, synchronous connections.
//!
//! The harness needs a runtime with threads of its own: its network runs there while a test blocks.

use diesel::prelude::*;
use diesel::{PgConnection, sql_query};
use rr_tests::cluster::Cluster;

use crate::support::{self, PLACE, Place, Result};

mod consistency;
mod explaining;
mod failures;
mod hints;
mod kinds;
mod language;
mod lending;
mod levels;
mod load;
mod midway;
mod outages;
mod overload;
mod partly;
mod pools;
mod promotions;
mod readers;
mod routes;
mod settings;
mod standbys;
mod starting;
mod surface;
mod tls;
mod types;
mod waiting;

type RoutedPool = rr_diesel::blocking::RoutedPool<PgConnection>;
type RoutedConnection = rr_diesel::blocking::RoutedConnection<PgConnection>;

fn pool(cluster: &Cluster) -> Result<RoutedPool> {
    Ok(RoutedPool::start(support::config(cluster).build()?)?)
}

/// Where a read of this handle goes.
fn place(conn: &mut RoutedConnection) -> QueryResult<Place> {
    sql_query(PLACE).get_result(conn)
}

/// Where a statement went that says so in a column `standby`.
fn standby_says(conn: &mut RoutedConnection, sql: &str) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Standby {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        standby: bool,
    }
    sql_query(sql).get_result::<Standby>(conn).map(|row| row.standby)
}
