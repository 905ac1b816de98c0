//! Every interleaving of a publication with somebody who reads, and with somebody who waits, by loom. What is inside of the
//! pointer and of the channel is not ours; their twins are in `crate::sync`.

use loom::thread::{JoinHandle, spawn};

use super::*;
use crate::consistency::Consistency;
use crate::position::{Lsn, PgPosition, Position, Timeline};
use crate::requirement::Requirement;
use crate::select::{Ask, Selected};
use crate::session::{Session, Written};
use crate::sync::block_on;
use crate::time::Moment;
use crate::topology::{Epoch, HealthState, Node, Rules};

fn at(lsn: u64) -> Position {
    Position::Postgres(PgPosition::new(Timeline::FIRST, Lsn::from_u64(lsn)))
}

const fn millis(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

fn written(at: u64) -> Written {
    Written { by: millis(at), on: Some(Timeline::FIRST) }
}

/// A primary that was at `primary` when it was asked at `sampled`, and a replica that was at `replica`.
fn known(sampled: u64, primary: u64, replica: u64) -> Snapshot<()> {
    let node = |number: u32, role, applied| {
        let mut node = Node::new(NodeId::new(number), &format!("n{number}"), "h:1", role);
        node.health = HealthState::Healthy;
        (node.applied, node.ceiling) = (Some(at(applied)), Some(at(applied)));
        node.sampled_at = Some(millis(sampled));
        node.fresh_as_of = (applied >= primary).then(|| millis(sampled));
        node
    };
    let nodes = vec![node(0, Role::Primary, primary), node(1, Role::Replica, replica)];
    let topology = Topology::assemble(Epoch::default(), nodes, Ok(NodeId::new(0)), Rules::default());
    Snapshot::new(Arc::new(topology), Vec::new())
}

/// What the worker and the routes share of it.
#[derive(Clone)]
struct Stage {
    own: Session,
    snapshot: Arc<Swap<Snapshot<()>>>,
    news: Arc<News>,
}

impl Stage {
    fn new(first: Snapshot<()>) -> Self {
        Self {
            own: Session::new(),
            snapshot: Arc::new(Swap::from_pointee(first)),
            news: Arc::new(News::new(0)),
        }
    }

    /// As the worker does, each of these in turn: when the primary was asked, where it and its replica were.
    fn publishing(&self, all: &'static [(u64, u64, u64)]) -> JoinHandle<()> {
        let stage = self.clone();
        spawn(move || {
            for &(sampled, primary, replica) in all {
                stage.own.settle(millis(sampled), &at(primary));
                show(&stage.snapshot, &stage.news, known(sampled, primary, replica));
            }
        })
    }

    /// Where a replica was that a read with this requirement is sent to, as far as is known now.
    fn sent_to(&self, requirement: &Requirement) -> Option<Position> {
        let snapshot = self.snapshot.load();
        match Ask::new(requirement, millis(10)).select(&snapshot.topology) {
            Selected::Among(set) => {
                let replicas = set.iter().map(|index| snapshot.topology.nodes()[index].applied.clone());
                replicas.flatten().next()
            }
            _ => None,
        }
    }

    fn requirement(&self) -> Requirement {
        self.own.requirement(Consistency::Session)
    }
}

/// The write ended at 100, which only the monitor finds out. The replica has it in the end, or has it not.
#[test]
fn who_reads_while_it_is_published_where_a_write_ended_is_sent_to_nobody_without_it() {
    for last in [&[(6, 100, 90)], &[(6, 100, 100)]] {
        loom::model(move || {
            let stage = Stage::new(known(4, 90, 90));
            assert_eq!(stage.sent_to(&Requirement::NONE), Some(at(90)), "who owes nothing reads there");
            stage.own.note(None, written(5));
            let publishing = stage.publishing(last);
            let sent_to = stage.sent_to(&stage.requirement());
            assert!(sent_to.is_none_or(|replica| replica.covers(&at(100))));
            publishing.join().unwrap();
            assert_eq!(stage.sent_to(&stage.requirement()), (last[0].2 == 100).then(|| at(100)));
        });
    }
}

/// The second write ends at 110, after the sample that places the first.
#[test]
fn who_writes_while_a_snapshot_is_published_is_sent_to_nobody_without_that_write() {
    loom::model(|| {
        let stage = Stage::new(known(4, 90, 90));
        stage.own.note(None, written(5));
        let publishing = stage.publishing(&[(6, 100, 100)]);
        stage.own.note(None, written(7));
        assert_eq!(stage.sent_to(&stage.requirement()), None);
        publishing.join().unwrap();
        assert_eq!(stage.sent_to(&stage.requirement()), None);
    });
}

/// At the second of these the replica has what was written.
const CATCHES_UP: &[(u64, u64, u64)] = &[(6, 100, 90), (8, 100, 100)];

/// As `Router::wait` does: what was published since the decision counts as news. Loom would tell of one who sleeps on.
#[test]
fn who_waits_after_a_decision_sleeps_through_no_publication() {
    loom::model(|| {
        let stage = Stage::new(known(4, 90, 90));
        stage.own.note(None, written(5));
        let requirement = stage.requirement();
        let publishing = stage.publishing(CATCHES_UP);
        if stage.sent_to(&requirement).is_none() {
            let mut published = stage.news.subscribe();
            published.mark_changed();
            while stage.sent_to(&requirement).is_none() {
                block_on(published.changed()).unwrap();
            }
        }
        publishing.join().unwrap();
    });
}

/// As `Router::route_patiently` does: it listens, and decides then.
#[test]
fn who_listens_before_a_decision_sleeps_through_no_publication() {
    loom::model(|| {
        let stage = Stage::new(known(4, 90, 90));
        stage.own.note(None, written(5));
        let requirement = stage.requirement();
        let publishing = stage.publishing(CATCHES_UP);
        let mut published = stage.news.subscribe();
        while stage.sent_to(&requirement).is_none() {
            block_on(published.changed()).unwrap();
        }
        publishing.join().unwrap();
    });
}
