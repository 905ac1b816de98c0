//! Every interleaving of a few routes on one node, by loom.

use std::time::Duration;

use loom::thread::spawn;
use tokio::sync::mpsc;

use super::*;
use crate::config::{Config, NodeConfig};
use crate::engine::Engine;
use crate::requirement::Requirement;
use crate::snapshot::Common;
use crate::time::Clock;
use crate::topology::{NoPrimary, Rules};

fn member() -> Arc<Member<()>> {
    let node = NodeConfig::default().with_name("replica-1");
    let (role, epoch) = (Role::Replica, Epoch::default());
    let target = Target::new(&Config::default(), &node, Engine::Postgres, role, epoch);
    let common = Arc::new(Common::new(NodeId::new(0), node, Clock::start(), mpsc::channel(4).0));
    Arc::new(Member { common, role, epoch, max: 1, pool: (), target })
}

fn enter(member: &Arc<Member<()>>) -> Route<()> {
    let nobody = Topology::assemble(Epoch::default(), Vec::new(), Err(NoPrimary::NotFound), Rules::default());
    Route::enter(Arc::clone(member), RouteReason::Replica, &Request::read(Requirement::NONE), &nobody)
}

#[test]
fn however_routes_end_none_is_left_in_flight() {
    loom::model(|| {
        let member = member();
        let dropped = spawn({
            let member = Arc::clone(&member);
            move || {
                let route = enter(&member);
                assert!((1..=3).contains(&member.common.load.in_flight()));
                drop(route);
            }
        });
        let answered = spawn({
            let member = Arc::clone(&member);
            move || enter(&member).finish(Outcome::Answered)
        });
        enter(&member).finish(Outcome::Failed(Fault::Lost));
        dropped.join().unwrap();
        answered.join().unwrap();
        assert_eq!(member.common.load.in_flight(), 0);
    });
}

#[test]
fn an_average_of_two_latencies_at_once_is_made_of_them() {
    loom::model(|| {
        let load = Arc::new(crate::load::Load::new());
        let observing = spawn({
            let load = Arc::clone(&load);
            move || load.observe(Duration::from_nanos(800))
        });
        load.observe(Duration::from_nanos(8_000));
        observing.join().unwrap();
        // One update may be lost, no other value may come of it.
        assert!([800, 7_100, 8_000].contains(&load.latency_nanos()), "{}", load.latency_nanos());
    });
}
