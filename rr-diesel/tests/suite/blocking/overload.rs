//! A thousand tasks on threads, and ten connections to each node; and replicas that are lost meanwhile.

use std::time::Duration;

use diesel::prelude::*;
use diesel::{PgConnection, sql_query};
use rr_core::Router;
use rr_core::config::ConfigBuilder;
use rr_diesel::blocking::NodeConnector;
use rr_tests::cluster::Cluster;
use rr_tests::storm::{Client, Ended, GROUND, READ, TASKS, WRITE, losses, overload, waiting};
use tokio::runtime::Builder;

use super::RoutedPool;
use crate::overload::{Shelter, ended};
use crate::support::{PATIENCE, Result, boot, config};

/// A pool as storms use it.
#[derive(Clone)]
struct Blocking(RoutedPool);

impl Blocking {
    async fn run(&self, work: impl FnOnce(&RoutedPool) -> QueryResult<Ended> + Send + 'static) -> Ended {
        let pool = self.0.clone();
        let ran = tokio::task::spawn_blocking(move || work(&pool)).await;
        match ran {
            Ok(done) => done.unwrap_or_else(|error| ended(&error)),
            Err(error) => Ended::Failed(error.to_string()),
        }
    }
}

impl Client for Blocking {
    type Connector = NodeConnector<PgConnection>;

    fn router(&self) -> &Router<Self::Connector> {
        self.0.router()
    }

    async fn read(&self) -> Ended {
        self.run(|pool| {
            let row: Shelter = sql_query(READ).get_result(&mut pool.handle())?;
            Ok(row.into())
        })
        .await
    }

    async fn write(&self) -> Ended {
        self.run(|pool| sql_query(WRITE).execute(&mut pool.handle()).map(|_| Ended::Written)).await
    }
}

/// Lets a test have a thread for each task; there are 512 by default.
fn on_threads(test: impl Future<Output = Result>) -> Result {
    let threads = TASKS + 100;
    Builder::new_multi_thread().enable_all().max_blocking_threads(threads).build()?.block_on(test)
}

async fn start(settings: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Result<(Cluster, Blocking)> {
    let cluster = boot(2).await?;
    cluster.primary().sql(GROUND).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let pool = RoutedPool::start(settings(config(&cluster)).build()?)?;
    Ok((cluster, Blocking(pool)))
}

#[test]
fn everybody_is_served() -> Result {
    on_threads(async {
        let (cluster, db) = start(|config| waiting(config, PATIENCE)).await?;
        println!("{:?}", overload::everybody_is_served(&db, &cluster).await?);
        Ok(())
    })
}

#[test]
fn nobody_waits_for_ever() -> Result {
    on_threads(async {
        let (cluster, db) = start(|config| waiting(config, Duration::from_millis(200))).await?;
        println!("{:?}", overload::nobody_waits_for_ever(&db, &cluster).await?);
        Ok(())
    })
}

#[test]
fn the_primary_survives_its_replicas() -> Result {
    on_threads(async {
        let (cluster, db) = start(losses::with_budget).await?;
        println!("{:?}", losses::the_primary_survives_its_replicas(&db, &cluster).await?);
        Ok(())
    })
}

#[test]
fn what_is_old_will_do() -> Result {
    on_threads(async {
        let (cluster, db) = start(losses::stale_ok).await?;
        println!("{:?}", losses::what_is_old_will_do(&db, &cluster).await?);
        Ok(())
    })
}
