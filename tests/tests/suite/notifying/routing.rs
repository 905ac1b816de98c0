//! Notifiers that hang, panic and block, while statements are routed and a primary is replaced.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use super::own::Bad;
use super::*;
use crate::router::{all_serving, prepare, run, until, write};
use rr_core::config::FailoverMode;
use rr_core::notify::{Notification, Rules};
use rr_core::{Request, Requirement, Router};
use rr_tests::cluster::Cluster;
use rr_tests::load::Load;
use rr_tests::plain::{Plain, promoting};

/// On one thread, which all share: whoever held it up would hold up everything.
#[tokio::test]
async fn no_notifier_holds_up_a_statement_or_a_promotion() -> Result {
    let cluster = Cluster::builder().replicas(2).start().await?;
    prepare(&cluster).await?;
    // Dropped at the end, whatever the end is.
    let (gate, closed) = mpsc::channel::<()>();
    let closed = Mutex::new(closed);
    let (hanging, panicking, blocked) = (Bad::that(true), Bad::that(false), Arc::new(AtomicUsize::new(0)));
    let calls = Arc::clone(&blocked);
    let blocks = move |_: &Notification| {
        calls.fetch_add(1, Ordering::Relaxed);
        drop(closed.lock().map(|closed| closed.recv()));
    };
    let mut config = promoting(&cluster, FailoverMode::Automatic);
    config.pool.primary.checkout_timeout = Duration::from_millis(500);
    let forever = Rules::everything().timeout(Duration::MAX);
    let router = Router::builder(Plain)
        .config(config)
        .notifier_with(forever, hanging.clone())
        .notifier_with(Rules::everything(), panicking.clone())
        .on_notice(blocks)
        .start()
        .await?;
    all_serving(&router).await?;
    let load = Load::start(
        &router,
        async |(router, text): (Router<Plain>, String)| {
            write(&router, &text).await.map(drop).map_err(|error| error.to_string())
        },
        async |router: Router<Plain>| {
            let route = router.route(&Request::read(Requirement::NONE)).map_err(|error| error.to_string())?;
            run(route, "SELECT 'seen'").await.map(drop).map_err(|error| error.to_string())
        },
    );
    load.writes(20).await?;
    cluster.primary().crash().await?;
    until(&router, "the promotion", |r| !r.failover().history().is_empty()).await?;
    load.writes(20).await?;
    let done = load.end().await?;
    // A bare router runs nothing again: what met the dead primary has failed, and nothing waits.
    assert!(done.reads > 0, "{done:?}");
    let report = router.failover().history().pop().ok_or("a report")?;
    assert!(report.succeeded(), "{report}");

    // All that time, they had what they were given first, or panicked again and again.
    assert_eq!((hanging.calls(), blocked.load(Ordering::Relaxed)), (1, 1));
    assert!(panicking.calls() > 1);
    router.shutdown().await;
    drop(gate);
    Ok(())
}
