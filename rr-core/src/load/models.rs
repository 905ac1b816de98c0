//! Every interleaving of a few statements on one node and of whoever chooses by its load, by loom.

use std::sync::Arc;

use loom::thread::spawn;

use super::Load;
use crate::balance::{Balancer, Candidates, LeastConnections};
use crate::sync::is_exchanging;
use crate::topology::{Epoch, NoPrimary, Node, NodeId, Role, Rules, Topology};

/// A statement sent by the usual reason that meets this many faults and then, if it `recovers`, is answered.
fn serve(load: &Load, faults: u32, recovers: bool) -> (u64, Vec<u32>) {
    let nth = load.enter_as_usual();
    let runs = (0..faults).map(|_| load.fault()).collect();
    if recovers {
        load.success();
    }
    load.leave();
    (nth, runs)
}

#[test]
fn faults_at_once_are_all_in_the_run() {
    loom::model(|| {
        let load = Arc::new(Load::new());
        let other = spawn({
            let load = Arc::clone(&load);
            move || serve(&load, 2, false)
        });
        let mine = serve(&load, 1, false);
        let theirs = other.join().unwrap();
        assert!(theirs.1.is_sorted());
        // Health ejects a node whose run is long enough: with one that is lost it would stay.
        let mut told = [mine.1, theirs.1].concat();
        told.sort_unstable();
        assert_eq!(told, [1, 2, 3]);
        assert_eq!(load.fault(), 4);
    });
}

/// Of a store and an exchange of two threads loom also runs the order in which the store comes before an exchange that has
/// read what was there before it, which no memory model allows. Where stores are exchanges it does not.
#[test]
fn a_success_ends_the_run_of_whoever_met_faults_before() {
    if !is_exchanging() {
        return;
    }
    loom::model(|| {
        let load = Arc::new(Load::new());
        let recovering = spawn({
            let load = Arc::clone(&load);
            move || serve(&load, 2, true)
        });
        let told = load.fault();
        recovering.join().unwrap();
        assert!((1..=3).contains(&told), "{told}");
        // Ours may have come after that success; theirs did not.
        let next = load.fault();
        assert!((1..=2).contains(&next), "{told}, then {next}");
    });
}

#[test]
fn where_everybody_was_answered_last_no_fault_is_left() {
    loom::model(|| {
        let load = Arc::new(Load::new());
        let other = spawn({
            let load = Arc::clone(&load);
            move || serve(&load, 1, true)
        });
        let mine = serve(&load, 1, true);
        let theirs = other.join().unwrap();
        assert!(mine.1.iter().chain(&theirs.1).all(|run| (1..=2).contains(run)));
        assert_eq!(load.fault(), 1);
    });
}

#[test]
fn who_chooses_meanwhile_sees_no_more_statements_than_there_are() {
    /// In flight on the other node all the time: more than the model ever sends to the idle one.
    const BUSY: usize = 3;
    loom::model(|| {
        let node = |n| Node::new(NodeId::new(n), "n", "h:1", Role::Replica);
        let nodes = vec![node(0), node(1)];
        let topology =
            Topology::assemble(Epoch::default(), nodes, Err(NoPrimary::NotFound), Rules::default());
        let loads = [Arc::new(Load::new()), Arc::new(Load::new())];
        let [busy, idle] = &loads;
        let flights: Vec<_> = (0..BUSY).map(|_| busy.fly()).collect();
        let serving = [1, 0].map(|faults| {
            let load = Arc::clone(idle);
            spawn(move || serve(&load, faults, faults > 0).0)
        });
        assert_eq!(LeastConnections.choose(&Candidates::new(&topology, &loads, (0..2).collect()), 0), 1);
        let usual = idle.usual();
        assert!(usual <= 2, "{usual}");
        let mut places = serving.map(|thread| thread.join().unwrap());
        places.sort_unstable();
        assert_eq!(places, [0, 1], "each is another one in the count");
        assert_eq!((idle.in_flight(), idle.usual()), (0, 2));
        drop(flights);
        assert_eq!((busy.in_flight(), busy.usual()), (0, 0));
    });
}
