//! How long reads wait, on a clock that stands still while anybody works: what is asserted is the time that was waited on
//! purpose, to the millisecond, on however busy a machine.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rr_core::config::NodeConfig;
use rr_core::connector::Target;
use rr_core::engine::{Fault, TextRow};
use rr_core::position::{Lsn, PgPosition, Timeline};
use rr_core::tally::Step;
use rr_core::topology::Role;
use rr_core::{Config, Connector, Consistency, Outcome, Request, RouteReason, Router, Session};
use tokio::time::Instant;

/// How long a read waits in these tests. The timer's own grain is a millisecond.
const WAIT: Duration = Duration::from_millis(20);
const GRAIN: Duration = Duration::from_millis(1);

/// Where the primary is.
const PRIMARY: u64 = 0x9000;

/// A primary, and a replica that does as it is told.
#[derive(Clone, Default)]
struct Scripted(Arc<Script>);

#[derive(Default)]
struct Script {
    /// Where the replica is.
    at: AtomicU64,
    /// How much further it is each time that it is asked.
    stride: AtomicU64,
    /// It answers no more.
    hangs: AtomicBool,
    /// How often any of the two was asked.
    asked: AtomicU64,
}

impl Connector for Scripted {
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
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        if !*primary && self.0.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let stride = self.0.stride.load(Ordering::Relaxed);
        if stride > 0 {
            // While it is asked time goes by, or else none would.
            tokio::time::sleep(GRAIN).await;
        }
        let replica = || self.0.at.fetch_add(stride, Ordering::Relaxed);
        let lsn = format!("0/{:X}", if *primary { PRIMARY } else { replica() });
        let row = match *primary {
            true => ["f", &lsn, "000000010000000000000001", "", "", "7", "0", "16777216"],
            false => ["t", &lsn, "", "1", "", "7", "1", "16777216"],
        };
        Ok(row.map(|text| Some(text.to_owned())).to_vec())
    }

    fn fault(&self, error: &Infallible, _: Role) -> Option<Fault> {
        match *error {}
    }
}

/// A router whose replica stands at 0/5000, and a session that wrote up to 0/8000.
async fn behind() -> (Router<Scripted>, Arc<Script>, Session) {
    let mut config = Config::new("postgres://app@db-1/shop").expect("a URL");
    config.replicas.push(NodeConfig::new("postgres://app@db-2/shop").expect("a URL").with_name("replica-1"));
    config.causal_wait = WAIT;
    config.max_lag = None;
    let scripted = Scripted::default();
    let script = Arc::clone(&scripted.0);
    script.at.store(0x5000, Ordering::Relaxed);
    let router = Router::builder(scripted).config(config).start().await.expect("a router");
    let session = Session::new();
    session.wrote(&PgPosition::new(Timeline::FIRST, Lsn::from_u64(0x8000)).into());
    (router, script, session)
}

/// Where a read of the session goes, why, and how long it waited for that.
async fn read(router: &Router<Scripted>, session: &Session) -> (String, RouteReason, Duration) {
    let request = Request::read(router.requirement(Some(session), Some(Consistency::Session)));
    let begun = Instant::now();
    let route = router.route_within(&request, router.config().causal_wait).await.expect("a route");
    (route.name().to_string(), route.reason(), begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_stands_still_costs_one_wait_and_no_more() {
    let (router, script, session) = behind().await;
    let (node, reason, waited) = read(&router, &session).await;
    assert_eq!((&*node, reason), ("primary", RouteReason::ReplicasBehind));
    assert!((WAIT..=WAIT + GRAIN).contains(&waited), "{waited:?}");
    for _ in 0..100 {
        let (node, _, waited) = read(&router, &session).await;
        assert_eq!((&*node, waited), ("primary", Duration::ZERO));
    }
    assert_eq!((router.counted(Step::Waited), router.counted(Step::Spared)), (1, 100));
    // Other sessions that lack something of it do not wait either.
    let other = Session::new();
    other.wrote(&PgPosition::new(Timeline::FIRST, Lsn::from_u64(0x7000)).into());
    assert_eq!(read(&router, &other).await.2, Duration::ZERO);
    // When it moves, it is known soon, and serves.
    script.at.store(PRIMARY, Ordering::Relaxed);
    let seen = tokio::time::timeout(Duration::from_secs(10), async {
        while read(&router, &session).await.0 != "replica-1" {
            tokio::time::sleep(GRAIN).await;
        }
    });
    assert!(seen.await.is_ok(), "it has caught up and nobody asks it");
}

#[tokio::test(start_paused = true)]
async fn no_read_waits_longer_than_it_may() {
    // A replica that moves all the time and does not get there.
    let (router, script, session) = behind().await;
    script.stride.store(1, Ordering::Relaxed);
    for _ in 0..5 {
        let (node, _, waited) = read(&router, &session).await;
        assert_eq!(node, "primary");
        assert!(waited <= WAIT + GRAIN, "{waited:?}");
    }
    // One that does not answer.
    let (router, script, session) = behind().await;
    script.hangs.store(true, Ordering::Relaxed);
    for _ in 0..5 {
        let (node, _, waited) = read(&router, &session).await;
        assert_eq!(node, "primary");
        assert!(waited <= WAIT + GRAIN, "{waited:?}");
    }
    // Many who wait at once wait together.
    let (router, _, session) = behind().await;
    let begun = Instant::now();
    let readers: Vec<_> = (0..100)
        .map(|_| {
            let (router, session) = (router.clone(), session.clone());
            tokio::spawn(async move { read(&router, &session).await.0 })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.await.expect("it did not panic"), "primary");
    }
    assert!(begun.elapsed() <= WAIT + GRAIN, "{:?}", begun.elapsed());
}

/// How often the servers are asked while so many wait for the same.
async fn asked_by(readers: usize) -> u64 {
    let (router, script, session) = behind().await;
    script.stride.store(1, Ordering::Relaxed);
    let before = script.asked.load(Ordering::Relaxed);
    let reading = (0..readers).map(|_| {
        let (router, session) = (router.clone(), session.clone());
        tokio::spawn(async move { read(&router, &session).await.0 })
    });
    for reader in reading.collect::<Vec<_>>() {
        assert_eq!(reader.await.expect("it did not panic"), "primary");
    }
    script.asked.load(Ordering::Relaxed) - before
}

#[tokio::test(start_paused = true)]
async fn many_who_wait_ask_no_more_than_one() {
    let (one, many) = (asked_by(1).await, asked_by(200).await);
    assert!(one > 0 && many <= one + 2, "one asks {one} times, and 200 ask {many} times");
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_faults_is_one_look() {
    let (router, script, _) = behind().await;
    let before = script.asked.load(Ordering::Relaxed);
    for _ in 0..1_000 {
        let route = router.route(&Request::write()).expect("a route");
        route.finish(Outcome::Failed(Fault::ReadOnly));
    }
    tokio::time::sleep(WAIT).await;
    let asked = script.asked.load(Ordering::Relaxed) - before;
    assert!((2..=4).contains(&asked), "{asked} looks at two servers");
}

#[tokio::test(start_paused = true)]
async fn who_gets_there_in_time_is_not_waited_for_any_longer() {
    let (router, script, session) = behind().await;
    let reading = read(&router, &session);
    let moving = async {
        tokio::time::sleep(WAIT / 4).await;
        script.at.store(PRIMARY, Ordering::Relaxed);
    };
    let ((node, reason, waited), ()) = tokio::join!(reading, moving);
    assert_eq!((&*node, reason), ("replica-1", RouteReason::CaughtUp));
    assert!((WAIT / 4..WAIT).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_next_waits_for_one_look() {
    let (router, script, session) = behind().await;
    script.at.store(PRIMARY, Ordering::Relaxed);
    assert_eq!(read(&router, &session).await.0, "replica-1");
    for further in 1..100 {
        // Some begin while the server is being asked, and some when the poke of one before has just been heard.
        for _ in 0..further % 16 {
            tokio::task::yield_now().await;
        }
        let position = PRIMARY + further;
        session.wrote(&PgPosition::new(Timeline::FIRST, Lsn::from_u64(position)).into());
        script.at.store(position, Ordering::Relaxed);
        let (node, reason, waited) = read(&router, &session).await;
        assert_eq!(
            (&*node, reason, waited),
            ("replica-1", RouteReason::CaughtUp, Duration::ZERO),
            "{further}"
        );
    }
}
