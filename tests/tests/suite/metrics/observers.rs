//! Observers, and what is told of statements that waited.

use std::sync::atomic::{AtomicU32, Ordering};

use rr_core::engine::Fault;
use rr_core::observe::{Ended, Facts, RouteObserver};
use rr_core::{Outcome, Request, Requirement};

use tracing_subscriber::filter::LevelFilter;

use super::*;

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl RouteObserver for Notes {
    fn routed(&self, facts: &Facts) {
        self.note(format!("{} to {}: {}", facts.class, facts.role, facts.reason));
    }

    fn ended(&self, _: &Facts, ended: Ended) {
        self.note(format!("{:?}", ended.outcome));
    }
}

impl Notes {
    fn note(&self, text: String) {
        self.0.lock().expect("nobody panics with it").push(text);
    }
}

#[tokio::test]
async fn an_observer_is_told_where_a_statement_goes_and_how_it_ends() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    let notes = Arc::new(Notes::default());
    let builder = Router::builder(Plain).config(named(&cluster, "observed"));
    let router = builder.observer(Arc::clone(&notes) as _).start().await?;
    serving(&router).await?;
    router.route(&Request::read(Requirement::NONE))?.finish(Outcome::Answered);
    router.route(&Request::write())?.finish(Outcome::Failed(Fault::Overloaded));
    drop(router.route(&Request::session())?);
    let notes = notes.0.lock().map_err(|_| "poisoned")?.clone();
    assert_eq!(
        notes,
        [
            "read to replica: replica",
            "Some(Answered)",
            "write to primary: write",
            "Some(Failed(Overloaded))",
            "session to primary: session_state",
            "None"
        ]
    );
    Ok(())
}

struct Panics(AtomicU32);

impl RouteObserver for Panics {
    fn ended(&self, _: &Facts, _: Ended) {
        self.0.fetch_add(1, Ordering::Relaxed);
        panic!("an observer of the application");
    }
}

#[tokio::test]
async fn an_observer_that_panics_harms_no_statement_and_is_told_no_more() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    let panics = Arc::new(Panics(AtomicU32::new(0)));
    let builder = Router::builder(Plain).config(named(&cluster, "panics"));
    let router = builder.observer(Arc::clone(&panics) as _).start().await?;
    for _ in 0..3 {
        router.route(&Request::write())?.finish(Outcome::Answered);
    }
    assert_eq!(panics.0.load(Ordering::Relaxed), 1);
    Ok(())
}

#[derive(Default)]
struct Counts(AtomicU32);

impl RouteObserver for Counts {
    fn ended(&self, _: &Facts, _: Ended) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn an_observer_may_be_told_of_a_sample() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    let counts = Arc::new(Counts::default());
    let builder = Router::builder(Plain).config(named(&cluster, "sampled"));
    let router = builder.observer_of_one_in(10, Arc::clone(&counts) as _).start().await?;
    for _ in 0..10_000 {
        router.route(&Request::write())?.finish(Outcome::Answered);
    }
    let told = counts.0.load(Ordering::Relaxed);
    assert!((500..2000).contains(&told), "about one in ten: {told}");
    Ok(())
}

#[tokio::test]
async fn a_read_that_waited_long_is_told_of_once_with_why() -> Result {
    let log = Log::default();
    let cluster = Cluster::builder().replicas(1).start().await?;
    crate::router::prepare(&cluster).await?;
    let mut config = named(&cluster, "slow");
    config.slow_route = Some(Duration::from_millis(1));
    let router = start(config).await?;
    cluster.replica(1)?.pause_replay().await?;
    let _listening = log.listen(LevelFilter::DEBUG);
    for text in ["one", "two"] {
        let at = crate::router::write(&router, text).await?;
        let request = Request::read(Requirement::covering(at));
        drop(router.route_within(&request, Duration::from_millis(20)).await?);
    }
    let text = log.take();
    let told = text.lines().filter(|line| line.contains("a statement waited long for its node"));
    let told: Vec<&str> = told.collect();
    assert_eq!(told.len(), 1, "{text}");
    assert!(told[0].contains("WARN") && told[0].contains("no replica had what it must see"), "{}", told[0]);
    Ok(())
}
