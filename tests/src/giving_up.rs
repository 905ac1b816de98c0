//! Work that is dropped while it waits, at each of the awaits that it comes to.
//!
//! What an adapter has to show is the same for all of them: its handles, its statements and how it is seen that everything was
//! given back are its own.

use std::error::Error;
use std::fmt::Display;
use std::pin::pin;

use rr_core::tally::Step;
use rr_core::{Connector, Router};

use crate::cluster::Cluster;
use crate::wait::{polled, until};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Drops `work` at each of its awaits, until it was done twice with what the one before has left. `settles` waits until nothing
/// is left of what was given up.
///
/// # Errors
/// Those of the work, and when it does not wait or what was given up does not settle.
pub async fn at_each_await<E: Display>(
    what: &str,
    work: impl AsyncFn() -> std::result::Result<(), E>,
    settles: impl AsyncFn() -> Result,
) -> Result {
    let (mut polls, mut given_up, mut tries) = (1, 0, 0);
    loop {
        let at = |error: &dyn Display| format!("{what}, polled {polls} times: {error}");
        let mut completed = 0;
        for _ in 0..2 {
            match polled(polls, work()).await.transpose() {
                Ok(done) => completed += u32::from(done.is_some()),
                Err(error) => return Err(at(&error).into()),
            }
            settles().await.map_err(|error| at(&error))?;
        }
        given_up += 2 - completed;
        match (completed, given_up) {
            // The server may have answered before it is asked whether it has: then nothing was given up yet.
            (2, 0) => tries += 1,
            (2, _) => return Ok(()),
            _ => polls += 1,
        }
        assert!(tries < 100, "{what} never waited");
    }
}

/// A read that waits for a replica to have what was written, whose replay stands still until then. `read` says whether a
/// standby has answered, and `settles` waits until nothing is left of what was given up.
///
/// # Errors
/// Those of the work, and when it does not wait or what was given up does not settle.
pub async fn reads_that_wait<C: Connector>(
    cluster: &Cluster,
    router: &Router<C>,
    write: impl AsyncFn() -> Result,
    read: impl AsyncFn() -> Result<bool>,
    settles: impl AsyncFn() -> Result,
) -> Result {
    let replica = cluster.replica(1)?;
    let stand_still = async || {
        replica.pause_replay().await?;
        write().await?;
        Ok(router.counted(Step::Waited))
    };
    let waits = |before| router.counted(Step::Waited) > before;
    let go_on = async || Ok(replica.resume_replay().await?);
    let done = sweep("a read", stand_still, waits, go_on, read, settles).await?;
    assert_eq!(done, [true; 2], "it was waited for");
    Ok(())
}

/// A write that has to wait because the primary cannot be reached. `settles` waits until nothing is left of what was given up.
///
/// # Errors
/// Those of the work, and when it does not wait or what was given up does not settle.
pub async fn writes_that_wait<C: Connector>(
    what: &str,
    cluster: &Cluster,
    router: &Router<C>,
    write: impl AsyncFn() -> Result,
    settles: impl AsyncFn() -> Result,
) -> Result {
    let link = cluster.primary().link();
    let waits = |()| router.waiting_writes() == 1;
    let heal = async || Ok(link.heal().await?);
    let settles = async || {
        assert_eq!(router.waiting_writes(), 0, "{what}: its place is left");
        settles().await
    };
    sweep(what, async || Ok(link.cut().await?), waits, heal, write, settles).await.map(drop)
}

/// Drops `work` once it waits for an obstacle: first while that stands, then behind it at each await, until it was done twice
/// with what the one before has left.
async fn sweep<B: Copy, T>(
    what: &str,
    put_up: impl AsyncFn() -> Result<B>,
    is_met: impl Fn(B) -> bool,
    take_down: impl AsyncFn() -> Result,
    work: impl AsyncFn() -> Result<T>,
    settles: impl AsyncFn() -> Result,
) -> Result<Vec<T>> {
    let (mut given_up, mut all) = (0_u32, Vec::new());
    for polls in 1.. {
        let before = put_up().await?;
        let mut working = Box::pin(work());
        let mut waits = pin!(until("it to wait", async || Ok(is_met(before))));
        loop {
            tokio::select! {
                waits = &mut waits => break waits?,
                done = &mut working => match done {
                    Ok(_) => return Err(format!("{what} did not wait").into()),
                    // The pool had a connection that was dead already, and has it no more.
                    Err(_) => working = Box::pin(work()),
                },
            }
        }
        let at = |error| format!("{what}, polled {polls} times: {error}");
        if polls > 1 {
            take_down().await?;
        }
        let done = polled(polls, working.as_mut()).await.transpose().map_err(at)?;
        drop(working);
        take_down().await?;
        settles().await.map_err(at)?;
        match done {
            None => given_up += 1,
            Some(done) => all.push(done),
        }
        if all.len() == 2 {
            break;
        }
    }
    assert!(given_up > 0, "{what} was never dropped");
    Ok(all)
}
