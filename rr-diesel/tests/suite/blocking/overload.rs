//! A thousand tasks on threads, and ten connections to each node.

use std::time::Duration;

use diesel::prelude::*;
use diesel::{PgConnection, sql_query};
use rr_core::Router;
use rr_diesel::blocking::NodeConnector;
use rr_tests::cluster::Cluster;
use rr_tests::storm::{Client, Ended, GROUND, READ, WRITE, overload, waiting};

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
            Ok(Ended::Read { standby: row.standby })
        })
        .await
    }

    async fn write(&self) -> Ended {
        self.run(|pool| sql_query(WRITE).execute(&mut pool.handle()).map(|_| Ended::Written)).await
    }
}

async fn start(limit: Duration) -> Result<(Cluster, Blocking)> {
    let cluster = boot(2).await?;
    cluster.primary().sql(GROUND).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let pool = RoutedPool::start(waiting(config(&cluster), limit).build()?)?;
    Ok((cluster, Blocking(pool)))
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_served() -> Result {
    let (cluster, db) = start(PATIENCE).await?;
    println!("{:?}", overload::everybody_is_served(&db, &cluster).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_ever() -> Result {
    let (cluster, db) = start(Duration::from_millis(200)).await?;
    println!("{:?}", overload::nobody_waits_for_ever(&db, &cluster).await?);
    Ok(())
}
