//! Writes that wait for a primary, on a clock that stands still while anybody works.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rr_core::adapter::Turn;
use rr_core::config::NodeConfig;
use rr_core::connector::Target;
use rr_core::engine::{Fault, TextRow};
use rr_core::requirement::Requirement;
use rr_core::tally::WriteStep;
use rr_core::topology::{NoPrimary, Role};
use rr_core::{Config, Connector, Request, RouteError, Router};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long writes wait in these tests. The timer's own grain is a millisecond.
const WAIT: Duration = Duration::from_secs(3);
const GRAIN: Duration = Duration::from_millis(1);

/// Two nodes that say they are what they are told to say.
#[derive(Clone, Default)]
struct Scripted(Arc<Script>);

#[derive(Default)]
struct Script {
    primary: AtomicBool,
    other: AtomicBool,
}

impl Script {
    fn say(&self, primary: bool, other: bool) {
        self.primary.store(primary, Ordering::Relaxed);
        self.other.store(other, Ordering::Relaxed);
    }
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

    async fn run(&self, is_first: &mut bool, _: &str) -> Result<TextRow, Infallible> {
        tokio::time::sleep(GRAIN).await;
        let writes = if *is_first { &self.0.primary } else { &self.0.other };
        let row = match writes.load(Ordering::Relaxed) {
            true => ["f", "0/9000", "000000010000000000000001", "", "", "7", "0", "16777216"],
            false => ["t", "0/9000", "", "1", "", "7", "1", "16777216"],
        };
        Ok(row.map(|text| Some(text.to_owned())).to_vec())
    }

    fn fault(&self, error: &Infallible, _: Role) -> Option<Fault> {
        match *error {}
    }
}

/// A router that has seen who writes.
async fn router(primary: bool, other: bool) -> (Router<Scripted>, Arc<Script>) {
    let mut config = Config::new("postgres://app@db-1/shop").expect("a URL");
    config.replicas.push(NodeConfig::new("postgres://app@db-2/shop").expect("a URL").with_name("other"));
    config.write_wait = WAIT;
    config.write_queue = 50;
    config.pool.primary.max = 2;
    let scripted = Scripted::default();
    let script = Arc::clone(&scripted.0);
    script.say(primary, other);
    let router = Router::builder(scripted).config(config).start().await.expect("a router");
    (router, script)
}

/// Looks for the primary, and says where it is.
async fn write(router: &Router<Scripted>) -> Result<String, RouteError> {
    let mut turn = Turn::new(router);
    let route = turn.route(router, &Request::write()).await?;
    turn.connected(router);
    Ok(route.name().to_string())
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_served_in_order_as_soon_as_there_is_a_primary() {
    let (router, script) = router(false, false).await;
    let (served, mut order) = mpsc::channel(64);
    let begun = Instant::now();
    for number in 0..50 {
        let (own, served) = (router.clone(), served.clone());
        tokio::spawn(async move {
            let node = write(&own).await.expect("a primary in time");
            served.try_send((number, node)).expect("there is room");
        });
        while router.waiting_writes() <= number {
            tokio::task::yield_now().await;
        }
    }
    tokio::time::sleep(WAIT / 4).await;
    script.say(false, true);
    for number in 0..50 {
        assert_eq!(order.recv().await, Some((number, "other".to_owned())));
    }
    assert!(begun.elapsed() < WAIT / 2, "{:?}", begun.elapsed());
    let counted = [WriteStep::Waited, WriteStep::Served, WriteStep::GaveUp].map(|s| router.counted_writes(s));
    assert_eq!((counted, router.waiting_writes()), ([50, 50, 0], 0));
}

/// Nobody sends a statement that could notice, and whatever the monitor does just then.
#[tokio::test(start_paused = true)]
async fn a_change_of_roles_is_seen_within_one_interval() {
    for phase in 0..25 {
        let (router, script) = router(true, false).await;
        tokio::time::sleep(Duration::from_millis(300 + 11 * phase)).await;
        assert_eq!(router.topology().primary().map(|node| node.name.to_string()), Ok("primary".to_owned()));
        script.say(false, true);
        let changed = Instant::now();
        while router.topology().primary().map_or(true, |node| &*node.name != "other") {
            tokio::time::sleep(GRAIN).await;
        }
        let monitor = &router.config().monitor;
        // One look at whoever is looked at next, and one at everybody else because of what it said.
        let within = monitor.interval + monitor.jitter + 5 * GRAIN;
        assert!(changed.elapsed() <= within, "{phase}: {:?} of {within:?}", changed.elapsed());
        router.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_more_than_may_wait_is_told_at_once() {
    let (router, _script) = router(false, false).await;
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let own = router.clone();
            tokio::spawn(async move { write(&own).await })
        })
        .collect();
    while router.waiting_writes() < 50 {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    assert_eq!(write(&router).await, Err(RouteError::WriteQueueFull { limit: 50 }));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // Whoever gives up makes room.
    waiting[7].abort();
    while router.waiting_writes() == 50 {
        tokio::task::yield_now().await;
    }
    let error = write(&router).await.unwrap_err();
    assert!(matches!(error, RouteError::NoPrimary { why: NoPrimary::NotFound, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_long_enough_is_told_why() {
    let (router, _script) = router(false, false).await;
    let begun = Instant::now();
    let error = write(&router).await.unwrap_err();
    assert!(matches!(error, RouteError::NoPrimary { why: NoPrimary::NotFound, .. }), "{error}");
    assert!((WAIT..=WAIT + GRAIN).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert_eq!((router.counted_writes(WriteStep::GaveUp), router.waiting_writes()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_split_brain_to_pass() {
    let (router, script) = router(false, false).await;
    let own = router.clone();
    let waiting = tokio::spawn(async move { write(&own).await });
    while router.waiting_writes() == 0 {
        tokio::task::yield_now().await;
    }
    script.say(true, true);
    let is_split =
        |error: &RouteError| matches!(error, RouteError::NoPrimary { why: NoPrimary::SplitBrain { .. }, .. });
    let error = waiting.await.expect("it did not panic").unwrap_err();
    assert!(is_split(&error), "{error}");
    let begun = Instant::now();
    let error = write(&router).await.unwrap_err();
    assert!(is_split(&error) && error.to_string().contains("`primary` and `other`"), "{error}");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_refuses_is_tried_again_after_each_answer_and_told_of_at_the_end() {
    let (router, _script) = router(true, false).await;
    let mut turn = Turn::new(&router);
    let begun = Instant::now();
    let mut tries = 0;
    let error = loop {
        match turn.route(&router, &Request::write()).await {
            Ok(route) => turn.refused(&router, route, Fault::Refused),
            Err(error) => break error,
        }
        tries += 1;
    };
    assert_eq!(error, RouteError::PrimaryUnreachable { node: "primary".into(), waited: WAIT });
    assert!((WAIT..=WAIT + GRAIN).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    // How many there are in that time depends on the real clock, which hardly moves here.
    assert!(tries >= 2, "{tries}");
}

#[tokio::test(start_paused = true)]
async fn a_shut_down_router_lets_nobody_wait() {
    let (router, _script) = router(false, false).await;
    let own = router.clone();
    let waiting = tokio::spawn(async move { write(&own).await });
    while router.waiting_writes() == 0 {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    router.shutdown().await;
    assert!(waiting.await.expect("it did not panic").is_err());
    assert!(write(&router).await.is_err());
    let read = Request::read(Requirement::PRIMARY);
    assert!(router.route_patiently(&read).await.is_err());
    assert!(begun.elapsed() < WAIT / 2, "{:?}", begun.elapsed());
}
