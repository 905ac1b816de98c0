//! Storms that the servers survive: there are connections for a few of many tasks.

use super::barrier::Barrier;
use super::census::Census;
use super::{CONNECTIONS, Client, Counts, Failure, Storm, TASKS, Turn, alarms, order, pools, recovered};
use crate::cluster::Cluster;

/// Answered statements for each task, on average, before anybody looks who got how many.
const SHARE: u64 = 8;
/// The same where the order is looked at.
const TURNS: u64 = 4;
/// So often may one task overtake another that waits. One or two come of threads that wait for a processor; without a line in front
/// of the pool it is dozens.
const OVERTAKEN: usize = 8;

/// Where everybody has the time to wait, every statement is answered, and nobody gets much less than the others: whoever
/// waits is served in the order of arrival, so that no task can have several turns while another one waits for its next.
///
/// # Errors
/// When servers or tasks fail. Everything else is asserted.
pub async fn everybody_is_served<D: Client>(db: &D, cluster: &Cluster) -> Result<Counts, Failure> {
    let mut notices = db.router().notices();
    let census = Census::begin(cluster).await?;
    for only in [Turn::Read, Turn::Write] {
        first_come_first_served(db, only).await?;
    }
    // Each task has the same mix, and is at another place of it.
    let next = |task: usize, turn: u64| match (task as u64 + turn) % 5 {
        0 => Turn::Write,
        _ => Turn::Read,
    };
    let storm = Storm::start(db, TASKS, next);
    let tasks = TASKS as u64;
    storm.until("statements to be answered", |counts| counts.ended() >= SHARE * tasks).await?;
    let (least, sum) = storm.shares();
    let counts = storm.end().await?.remove(0);
    assert_eq!(counts.answered(), counts.ended(), "{counts:?}");
    assert!(4 * least * tasks >= sum, "one of {tasks} tasks had {least} of {sum} statements answered");
    for (node, most) in cluster.nodes().iter().zip(census.most().await?) {
        let limit = i64::from(CONNECTIONS) + 1;
        assert!(most <= limit, "{} had {most} connections, and may have {limit}", node.name());
    }
    recovered(db, cluster).await?;
    assert_eq!(alarms(&mut notices), Vec::<String>::new());
    Ok(counts)
}

/// While one task waits, no other has turn after turn that it asks for later: a wait is bounded by one turn of each that was in
/// front, and by what a machine without a free processor lets pass on the way to the line and to the server.
///
/// Of reads only, and of writes only: reads among writes may wait for a replica to have these before they stand in line, and
/// those that come later wait less.
async fn first_come_first_served<D: Client>(db: &D, only: Turn) -> Result<(), Failure> {
    let storm = Storm::start(db, TASKS, move |_, _| only);
    storm.until("statements to be answered", |counts| counts.ended() >= TURNS * TASKS as u64).await?;
    let served = storm.end_with_order().await?.1;
    let overtaken = order::overtaken(&served, TASKS);
    let times = overtaken.by_one;
    assert!(times <= OVERTAKEN, "{only:?}: while one task waited, another had {times} turns: {overtaken:?}");
    Ok(())
}

/// Where the servers answer nobody for a while, each task is told in time that it gets no connection, and why; nobody takes
/// the nodes for dead, and what did get a connection is answered in the end.
///
/// # Errors
/// When servers or tasks fail. Everything else is asserted.
pub async fn nobody_waits_for_ever<D: Client>(db: &D, cluster: &Cluster) -> Result<Counts, Failure> {
    let mut notices = db.router().notices();
    let epoch = db.router().topology().epoch();
    let barrier = Barrier::close(cluster).await?;
    let next = |task, turn| match (turn, task % 4) {
        (0, 0) => Turn::Write,
        (0, _) => Turn::Read,
        _ => Turn::End,
    };
    let storm = Storm::start(db, TASKS, next);
    // As many as the servers have let in wait at the barrier, and the others for them.
    let held = u64::from(CONNECTIONS) * cluster.nodes().len() as u64;
    let tasks = TASKS as u64;
    storm.until("all others to be told", |counts| counts.ended() >= tasks - held).await?;
    let told = storm.counts();
    assert_eq!(told.no_connection, told.ended(), "{told:?}");
    let router = db.router();
    let waited_in_vain: u64 = pools(router).iter().filter_map(|state| state.timeouts).sum();
    assert!(waited_in_vain >= told.no_connection, "{waited_in_vain} of {} were counted", told.no_connection);
    barrier.open().await?;
    storm.until("the lucky ones to be answered", |counts| counts.ended() == tasks).await?;
    let counts = storm.end().await?.remove(0);
    assert_eq!(counts.answered() + counts.no_connection, tasks, "{counts:?}");
    assert!(counts.answered() > 0 && counts.answered() <= held, "{counts:?}");
    recovered(db, cluster).await?;
    assert_eq!(alarms(&mut notices), Vec::<String>::new());
    assert_eq!(db.router().topology().epoch(), epoch);
    Ok(counts)
}
