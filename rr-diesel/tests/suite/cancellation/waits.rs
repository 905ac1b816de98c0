//! Futures that are dropped while they wait: for a replica to catch up, or for a primary to write to.

use diesel_async::AsyncConnection;
use rr_tests::giving_up::{reads_that_wait, writes_that_wait};

use super::{Narrow, insert};
use crate::support::{PATIENCE, Result, place};

#[tokio::test(flavor = "multi_thread")]
async fn reads_that_wait_for_a_replica() -> Result {
    let narrow = Narrow::of(|config| config.causal_wait(PATIENCE)).await?;
    let pool = &narrow.pool;
    let write = async || Ok(insert(&mut pool.handle()).await.map(drop)?);
    let read = async || Ok(place(&mut pool.handle()).await?.standby);
    reads_that_wait(&narrow.cluster, pool.router(), write, read, async || narrow.settles().await).await
}

/// A pass that one of them kept would be missed by the next: the pool of the primary has room for one.
#[tokio::test(flavor = "multi_thread")]
async fn writes_that_wait_for_a_primary() -> Result {
    let narrow = Narrow::of(|config| config.write_wait(PATIENCE)).await?;
    let Narrow { cluster, pool, .. } = &narrow;
    let settles = async || narrow.settles().await;
    let write = async || Ok(insert(&mut pool.handle()).await.map(drop)?);
    writes_that_wait("a write", cluster, pool.router(), write, settles).await?;
    let transaction =
        async || Ok(pool.handle().transaction(async |conn| insert(conn).await.map(drop)).await?);
    writes_that_wait("a transaction", cluster, pool.router(), transaction, settles).await
}
