//! The crate `sqlx-pool-router`, used as its documentation uses it: queries of sqlx, each on the pool that the application names.
//!
//! It knows a primary and one replica. Which of them has what, it does not: an application that must see its own write says
//! `write()` for a read.

use rr_tests::cluster::Cluster;
use sqlx_0_8::postgres::PgPoolOptions;
use sqlx_0_8::{PgPool, query, query_as};
use sqlx_pool_router::DbPools;

use crate::Error;
use crate::causal::Seen;
use crate::causal::orms::Notes;

#[derive(Clone)]
pub(crate) struct PoolRouter(DbPools);

/// Of the size of the other pools, and as unpinged as they are.
async fn pool(url: &str) -> Result<PgPool, Error> {
    Ok(PgPoolOptions::new().max_connections(10).test_before_acquire(false).connect(url).await?)
}

impl PoolRouter {
    pub(crate) async fn connect(cluster: &Cluster) -> Result<Self, Error> {
        let primary = pool(&cluster.primary().direct_url()).await?;
        let replica = pool(&cluster.replica(1)?.direct_url()).await?;
        Ok(Self(DbPools::with_replica(primary, replica)))
    }
}

impl Notes for PoolRouter {
    async fn read(&self, row: i32, on_primary: bool) -> Result<Seen, Error> {
        let pool = if on_primary { self.0.write() } else { self.0.read() };
        let found = query_as("SELECT version, standby FROM seen WHERE id = $1").bind(row);
        let (version, standby) = found.fetch_one(pool).await?;
        Ok(Seen { version, standby })
    }

    async fn write(&self, row: i32, version: i64) -> Result<(), Error> {
        let update = query("UPDATE note SET version = $1 WHERE id = $2").bind(version).bind(row);
        update.execute(self.0.write()).await?;
        Ok(())
    }
}
