//! A thousand tasks and ten connections to each node; and replicas that are lost meanwhile.

use std::time::Duration;

use diesel::result::Error;
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use rr_core::Router;
use rr_core::config::ConfigBuilder;
use rr_diesel::{DieselConnector, RoutedPool, is_checkout_timeout};
use rr_tests::cluster::Cluster;
use rr_tests::storm::{Client, Ended, GROUND, READ, WRITE, losses, overload, waiting};

use crate::support::{PATIENCE, Result, boot, config};

/// A row of what storms read.
#[derive(QueryableByName)]
pub(crate) struct Shelter {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    standby: bool,
    #[diesel(sql_type = diesel::sql_types::Integer)]
    port: i32,
}

impl From<Shelter> for Ended {
    fn from(row: Shelter) -> Self {
        Self::Read { standby: row.standby, port: row.port }
    }
}

/// A pool as storms use it.
#[derive(Clone)]
pub(crate) struct Diesel(pub(crate) RoutedPool);

impl Client for Diesel {
    type Connector = DieselConnector;

    fn router(&self) -> &Router<DieselConnector> {
        self.0.router()
    }

    async fn read(&self) -> Ended {
        let read: QueryResult<Shelter> = sql_query(READ).get_result(&mut self.0.handle()).await;
        read.map_or_else(|error| ended(&error), Ended::from)
    }

    async fn write(&self) -> Ended {
        let written = sql_query(WRITE).execute(&mut self.0.handle()).await;
        written.map_or_else(|error| ended(&error), |_| Ended::Written)
    }
}

/// What an error means; its words must say what to change.
pub(crate) fn ended(error: &Error) -> Ended {
    let text = error.to_string();
    if is_checkout_timeout(error) && text.contains("`checkout_timeout`") {
        Ended::NoConnection
    } else if text.contains("`primary_reads.per_second`") {
        Ended::NoBudget
    } else {
        Ended::Failed(text)
    }
}

async fn start(settings: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Result<(Cluster, Diesel)> {
    let cluster = boot(2).await?;
    cluster.primary().sql(GROUND).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let pool = RoutedPool::start(settings(config(&cluster)).build()?).await?;
    Ok((cluster, Diesel(pool)))
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_served() -> Result {
    let (cluster, db) = start(|config| waiting(config, PATIENCE)).await?;
    println!("{:?}", overload::everybody_is_served(&db, &cluster).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_ever() -> Result {
    let (cluster, db) = start(|config| waiting(config, Duration::from_millis(200))).await?;
    println!("{:?}", overload::nobody_waits_for_ever(&db, &cluster).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_survives_its_replicas() -> Result {
    let (cluster, db) = start(losses::with_budget).await?;
    println!("{:?}", losses::the_primary_survives_its_replicas(&db, &cluster).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_will_do() -> Result {
    let (cluster, db) = start(losses::stale_ok).await?;
    println!("{:?}", losses::what_is_old_will_do(&db, &cluster).await?);
    Ok(())
}
