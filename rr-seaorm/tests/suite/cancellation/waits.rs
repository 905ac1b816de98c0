//! Futures that are dropped while they wait: for a replica to catch up, or for a primary to write to.

use std::time::Duration;

use rr_tests::giving_up::{reads_that_wait, writes_that_wait};
use sea_orm::TransactionTrait;

use super::{Narrow, insert};
use crate::support::{PATIENCE, Result, on_standby};

#[tokio::test(flavor = "multi_thread")]
async fn reads_that_wait_for_a_replica() -> Result {
    let narrow = Narrow::of(|config| config.causal_wait(PATIENCE)).await?;
    let db = &narrow.db;
    let write = async || Ok(insert(db).await?);
    let read = async || Ok(on_standby(db).await?);
    reads_that_wait(&narrow.cluster, db.router(), write, read, async || narrow.settles().await).await
}

/// A pass that one of them kept would be missed by the next: the pool of the primary has room for one.
#[tokio::test(flavor = "multi_thread")]
async fn writes_that_wait_for_a_primary() -> Result {
    // The driver tries to connect again and again for so long, before the write begins to wait.
    let narrow = Narrow::of(|config| {
        config
            .write_wait(PATIENCE)
            .with(|config| config.pool.primary.checkout_timeout = Duration::from_millis(200))
    })
    .await?;
    let Narrow { cluster, db, .. } = &narrow;
    let settles = async || narrow.settles().await;
    writes_that_wait("a write", cluster, db.router(), async || Ok(insert(db).await?), settles).await?;
    let transaction = async || {
        let transaction = db.begin().await?;
        insert(&transaction).await?;
        Ok(transaction.commit().await?)
    };
    writes_that_wait("a transaction", cluster, db.router(), transaction, settles).await
}
