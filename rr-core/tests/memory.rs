//! What sessions, decisions and classifications cost in memory. A test binary of its own, because it counts every allocation of the process.

use std::alloc::System;
use std::convert::Infallible;

use rr_core::config::{NodeConfig, Secret, Strategy};
use rr_core::connector::Target;
use rr_core::engine::{Fault, TextRow};
use rr_core::position::PgPosition;
use rr_core::sql::{Dialect, classify};
use rr_core::topology::Role;
use rr_core::{Config, Connector, Outcome, Position, Request, Router, Session};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Answers every probe as if it were at 0/5000.
struct InMemory;

impl Connector for InMemory {
    type Pool = ();
    type Control = bool;
    type Error = Infallible;

    fn pool(&self, _: &Target) -> Result<(), Infallible> {
        Ok(())
    }

    async fn control(&self, target: &Target) -> Result<bool, Infallible> {
        Ok(target.node.name == "primary")
    }

    async fn run(&self, primary: &mut bool, _: &str) -> Result<TextRow, Infallible> {
        let row = if *primary {
            ["f", "0/5000", "000000010000000000000001", "", "", "7", "0", "16777216"]
        } else {
            ["t", "0/5000", "", "1", "", "7", "1", "16777216"]
        };
        Ok(row.map(|text| Some(text.to_owned())).to_vec())
    }

    fn fault(&self, error: &Infallible, _: Role) -> Option<Fault> {
        match *error {}
    }
}

fn at(text: &str) -> Position {
    text.parse::<PgPosition>().expect("a position").into()
}

#[tokio::test]
async fn sessions_are_small_and_leave_nothing_behind() {
    let mut config = Config::new("postgres://app@db-1/shop").expect("a URL");
    config.replicas.push(NodeConfig::new("postgres://app@db-2/shop").expect("a URL").with_name("replica-1"));
    config.session.keys = vec![Secret::new("of at least thirty-two characters")];
    let router = Router::builder(InMemory).config(config).start().await.expect("a router");
    let session = Session::new();
    session.wrote(&at("1:0/3000"));
    session.saw(&at("1:0/4000"));
    let token = router.token(&session).expect("a token");

    let mut kept = usize::MAX;
    for _ in 0..ATTEMPTS {
        let region = Region::new(ALLOCATOR);
        let resumed = router.resume(token.as_str()).await.expect("a session");
        kept = kept.min(left(&region));
        assert_eq!((resumed.last_write(), resumed.last_read()), (Some(at("1:0/3000")), Some(at("1:0/4000"))));
    }
    assert!(kept <= 256, "a resumed session keeps {kept} bytes");

    // Without the monitor, whose history grows whenever it gets to run.
    router.shutdown().await;
    let (one, other) = (at("1:0/3000"), at("1:0/2000,2:0/4000"));
    let mut behind = usize::MAX;
    for _ in 0..ATTEMPTS {
        let region = Region::new(ALLOCATOR);
        for n in 0..1_000_000 {
            let session = Session::new();
            session.wrote(&one);
            if n % 8 == 0 {
                // The long way, for positions of several timelines.
                session.saw(&other);
            }
            std::hint::black_box(session.clone());
        }
        for _ in 0..1_000 {
            drop(router.resume(token.as_str()).await.expect("a session"));
        }
        behind = behind.min(left(&region));
    }
    assert_eq!(behind, 0, "a million sessions left something behind");
}

#[tokio::test]
async fn a_decision_and_a_classification_allocate_nothing() {
    for strategy in STRATEGIES {
        for replicas in [1, 3, 16] {
            assert_eq!(allocated(strategy, replicas).await, 0, "{strategy:?} with {replicas} replicas");
        }
    }
}

const STRATEGIES: [Strategy; 6] = [
    Strategy::RoundRobin,
    Strategy::Weighted,
    Strategy::Random,
    Strategy::LeastLag,
    Strategy::LeastConnections,
    Strategy::P2c,
];

/// How often something was allocated by decisions among so many replicas, and by classifications.
async fn allocated(strategy: Strategy, replicas: usize) -> usize {
    let mut config = Config::new("postgres://app@db-1/shop").expect("a URL");
    for n in 1..=replicas {
        let node = NodeConfig::new(format!("postgres://app@replica-{n}/shop")).expect("a URL");
        config.replicas.push(node.with_name(format!("replica-{n}")));
    }
    config.balance = strategy;
    let router = Router::builder(InMemory).config(config).start().await.expect("a router");
    router.shutdown().await;
    router.process_session().wrote(&at("1:0/3000"));
    let session = Session::new();
    session.wrote(&at("1:0/3000"));
    let chosen = router.route(&Request::read(router.requirement(None, None))).expect("a route");
    assert_eq!(chosen.role(), Role::Replica, "{strategy:?} has {replicas} replicas to choose from");
    drop(chosen);
    let mut allocated = usize::MAX;
    for _ in 0..ATTEMPTS {
        let region = Region::new(ALLOCATOR);
        for _ in 0..1_000 {
            for session in [None, Some(&session)] {
                let request = Request::read(router.requirement(session, None));
                router.route(&request).expect("a route").finish(Outcome::Answered);
            }
            drop(router.route(&Request::write()));
            for text in
                ["SELECT 1", "WITH a AS (SELECT 'x;''') INSERT INTO b SELECT * FROM a", "/* rr:primary */"]
            {
                std::hint::black_box(classify(text, Dialect::Postgres));
            }
        }
        allocated = allocated.min(region.change().allocations);
    }
    allocated
}

/// The runner of the tests has a thread of its own, which allocates when it likes: what a session costs, it costs each time.
const ATTEMPTS: u32 = 5;

/// Bytes that were allocated and are still in use. What was allocated before counts for nothing when it is given back.
fn left(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.bytes_allocated.saturating_sub(change.bytes_deallocated)
}
