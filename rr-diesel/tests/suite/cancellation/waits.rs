//! Futures that are dropped while they wait: for a replica to catch up, or for a primary to write to.

use std::pin::pin;

use diesel::prelude::*;
use diesel_async::AsyncConnection;
use rr_core::tally::Step;
use rr_diesel::RoutedPool;
use rr_tests::wait::polled;

use super::{Narrow, insert};
use crate::support::{PATIENCE, Result, place, until};

/// A read that waits for the replica, whose replay stands still until then.
#[tokio::test(flavor = "multi_thread")]
async fn reads_that_wait_for_a_replica() -> Result {
    let narrow = Narrow::of(|config| config.causal_wait(PATIENCE)).await?;
    let replica = narrow.cluster.replica(1)?;
    let waited = || narrow.pool.router().counted(Step::Waited);
    let (mut given_up, mut again) = (0_u32, 0_u32);
    for polls in 1.. {
        replica.pause_replay().await?;
        insert(&mut narrow.pool.handle()).await?;
        let before = waited();
        let mut reading =
            Box::pin(async { QueryResult::Ok(place(&mut narrow.pool.handle()).await?.standby) });
        tokio::select! {
            done = &mut reading => return Err(format!("it did not wait: {done:?}").into()),
            waits = until("the read to wait", async || Ok(waited() > before)) => waits?,
        }
        // At first it is dropped while the replica stands still.
        if polls > 1 {
            replica.resume_replay().await?;
        }
        let done = polled(polls, reading.as_mut()).await.transpose()?;
        drop(reading);
        replica.resume_replay().await?;
        narrow.settles().await.map_err(|error| format!("polled {polls} times: {error}"))?;
        match done {
            None => given_up += 1,
            Some(standby) => {
                assert!(standby, "it was waited for");
                again += 1;
                if again == 2 {
                    break;
                }
            }
        }
    }
    assert!(given_up > 0, "it was never dropped");
    Ok(())
}

impl Narrow {
    /// Drops a write at each of its awaits, that has to wait because the primary cannot be reached.
    async fn sweep_waiting(&self, what: &str, write: impl AsyncFn(&RoutedPool) -> QueryResult<()>) -> Result {
        let router = self.pool.router();
        let link = self.cluster.primary().link();
        let (mut given_up, mut again) = (0_u32, 0_u32);
        for polls in 1.. {
            link.cut().await?;
            let mut writing = Box::pin(write(&self.pool));
            let mut waits = pin!(until("the write to wait", async || Ok(router.waiting_writes() == 1)));
            loop {
                tokio::select! {
                    waits = &mut waits => break waits?,
                    done = &mut writing => match done {
                        Ok(()) => return Err(format!("{what} did not wait").into()),
                        // The pool had a connection that was dead already, and has it no more.
                        Err(_) => writing = Box::pin(write(&self.pool)),
                    },
                }
            }
            // At first it is dropped while there is no primary.
            if polls > 1 {
                link.heal().await?;
            }
            let done = polled(polls, writing.as_mut()).await;
            drop(writing);
            assert_eq!(router.waiting_writes(), 0, "{what}, polled {polls} times: its place is left");
            link.heal().await?;
            self.settles().await.map_err(|error| format!("{what}, polled {polls} times: {error}"))?;
            let Some(done) = done else {
                given_up += 1;
                continue;
            };
            done.map_err(|error| format!("{what}, polled {polls} times: {error}"))?;
            again += 1;
            if again == 2 {
                break;
            }
        }
        assert!(given_up > 0, "{what} was never dropped");
        Ok(())
    }
}

/// A pass that one of them kept would be missed by the next: the pool of the primary has room for one.
#[tokio::test(flavor = "multi_thread")]
async fn writes_that_wait_for_a_primary() -> Result {
    let narrow = Narrow::of(|config| config.write_wait(PATIENCE)).await?;
    narrow.sweep_waiting("a write", async |pool| insert(&mut pool.handle()).await.map(drop)).await?;
    narrow
        .sweep_waiting("a transaction", async |pool| {
            pool.handle().transaction(async |conn| insert(conn).await.map(drop)).await
        })
        .await
}
