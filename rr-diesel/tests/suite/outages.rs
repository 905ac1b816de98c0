//! Servers that go away under load and while nothing happens: no read may fail.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use diesel_async::RunQueryDsl;
use futures_util::future::try_join_all;
use rr_diesel::RoutedPool;
use rr_tests::cluster::{Cluster, Node};
use rr_tests::outage::Outage;

use crate::readers::{Readers, Turns};
use crate::support::{Place, Result, boot, config, place, running, server_port, until};

/// A node whose statements failed is out for longer each time. Here it comes back soon, to be lost again.
async fn forgiving(cluster: &Cluster) -> Result<RoutedPool> {
    let config = config(cluster).with(|config| config.health.probation = Duration::from_millis(200));
    Ok(RoutedPool::start(config.build()?).await?)
}

/// A read that takes a while, so that servers go away under it.
pub(crate) const SLOW: &str = "SELECT standby, port, pg_sleep(0.1) FROM here";

/// Waits until such a read runs there.
pub(crate) async fn busy(node: &Node) -> Result {
    until("a slow read to run", async || Ok(running(node, "%pg_sleep(0.1)%").await? > 0)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_read_under_load_fails_whatever_happens_to_servers() -> Result {
    let cluster = boot(2).await?;
    let pool = forgiving(&cluster).await?;
    let mut readers = Readers::none();
    for number in 0..8 {
        let pool = pool.clone();
        readers.add(Duration::ZERO, async move |mut turns: Turns| {
            while turns.next().await {
                let there: Place = match number % 2 {
                    0 => sql_query(SLOW).get_result(&mut pool.handle()).await?,
                    _ => place(&mut pool.handle()).await?,
                };
                turns.served.count(there.standby);
            }
            Ok(())
        });
    }
    for outage in Outage::ALL {
        // First the one and then the other: after that the primary is all there is.
        for replica in cluster.replicas() {
            busy(replica).await.map_err(|error| format!("{outage:?}: {error}"))?;
            outage.begin(replica).await?;
            readers.more(200).await?;
        }
        Outage::end(&cluster).await?;
        readers.served.more_on_standbys(200).await?;
    }
    for outage in [Outage::Sessions, Outage::Killed] {
        outage.begin(cluster.primary()).await?;
        readers.more(300).await?;
    }
    let (standby, primary) = readers.finish().await?;
    println!("outages: {standby} reads on standbys, {primary} on the primary, none failed");
    Ok(())
}

/// Many reads at once, each on a connection of its own.
async fn burst(pool: &RoutedPool, hint: &str) -> QueryResult<Vec<Place>> {
    let read = async || sql_query(format!("{hint}{SLOW}")).get_result::<Place>(&mut pool.handle()).await;
    try_join_all((0..8).map(|_| read())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_died_in_the_pool_fail_no_read() -> Result {
    let cluster = boot(2).await?;
    let pool = forgiving(&cluster).await?;
    for outage in Outage::ALL {
        for replica in cluster.replicas() {
            let port = server_port(replica)?;
            let serves = async || Ok(burst(&pool, "").await?.iter().any(|there| there.port == port));
            until("a replica to serve", serves).await.map_err(|error| format!("{outage:?}: {error}"))?;
        }
        burst(&pool, "/*rr:primary*/").await?;
        // There are idle connections to all nodes now.
        for replica in cluster.replicas() {
            outage.begin(replica).await?;
        }
        Outage::Sessions.begin(cluster.primary()).await?;
        for _ in 0..3 {
            burst(&pool, "").await.map_err(|error| format!("{outage:?}: {error}"))?;
        }
        Outage::end(&cluster).await?;
    }
    Ok(())
}
