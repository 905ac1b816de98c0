//! The servers that a benchmark measures against.
//!
//! Where there are two processors the servers have one to themselves, and what is measured has another. Left to itself
//! the scheduler puts client and server now on one, now on two of them; a round trip takes twice as long in one case
//! as in the other, and that would be all that a comparison shows.

use std::time::Duration;

use rr_tests::cluster::{Builder, Cluster};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Error;

/// For whatever healthy servers do within a second.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Boots a primary and standbys that share all processors with what is measured, for loads of many clients that leave
/// the processors idle, or keep all of them busy: where a single process runs makes no difference then.
pub(crate) async fn anywhere(replicas: usize) -> Result<Cluster, Error> {
    Ok(Cluster::builder().replicas(replicas).durable().start().await?)
}

/// Boots a primary and a standby whose commits wait for the disk, as in production.
pub(crate) async fn boot() -> Result<Cluster, Error> {
    boot_as(|cluster| cluster).await
}

/// As [`boot`], with more settings.
pub(crate) async fn boot_as(settings: impl FnOnce(Builder) -> Builder) -> Result<Cluster, Error> {
    let cluster = settings(Cluster::builder().replicas(1).durable());
    let processors = sched_getaffinity(None)?;
    let mut usable = (0..CpuSet::MAX_CPU).filter(|&cpu| processors.is_set(cpu));
    let (Some(ours), Some(theirs)) = (usable.next(), usable.next()) else {
        println!("one processor: client and servers share it");
        return Ok(cluster.start().await?);
    };
    // Processes and threads inherit it from the thread that starts them.
    stay_on(theirs)?;
    let cluster = cluster.start().await;
    stay_on(ours)?;
    Ok(cluster?)
}

fn stay_on(cpu: usize) -> Result<(), Error> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}
