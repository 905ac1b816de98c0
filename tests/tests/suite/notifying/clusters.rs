//! What happens to real servers, from the server to the receiver.

use super::receiver::{Received, Receiver};
use super::*;
use crate::router::{all_serving, healthy, prepare, until};
use rr_core::Router;
use rr_core::config::FailoverMode;
use rr_core::world::Turn;
use rr_tests::cluster::Cluster;
use rr_tests::plain::{Plain, config, promoting};
use tokio::sync::mpsc;

fn texts(all: &[Received]) -> Vec<&str> {
    all.iter().filter_map(|one| one.body["text"].as_str()).collect()
}

/// The events of one action about one node.
fn events<'a>(all: &'a [Received], action: &str) -> Vec<&'a str> {
    let about = |one: &&Received| one.body["event_action"] == action;
    let keys = all.iter().filter(about).filter_map(|one| one.body["dedup_key"].as_str());
    keys.filter(|key| *key == "shop/health/replica-1").collect()
}

#[tokio::test]
async fn a_replica_that_dies_opens_an_incident_and_closes_it_when_it_is_back() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let (slack, pager) = (Receiver::start([]).await?, Receiver::start([]).await?);
    let mut config = config(&cluster);
    config.cluster_name = Some("shop".to_owned());
    let mut incidents = NotifyConfig::pagerduty("R0UT1NG").with_min_severity(Severity::Error);
    incidents.url = Some(pager.url("http", "/v2/enqueue").into());
    config.notify = vec![NotifyConfig::slack(slack.url("http", "/services/x")), incidents];
    let router = start(config).await?;
    all_serving(&router).await?;
    // One that an earlier process may have left open.
    pager.until("what is well", |all| events(all, "resolve").len() == 1).await?;

    cluster.replica(1)?.kill9().await?;
    let told = pager.until("an incident", |all| events(all, "trigger").len() == 1).await?;
    let incident = told.iter().find(|one| one.body["event_action"] == "trigger").ok_or("an incident")?;
    assert_eq!(incident.body["routing_key"], "R0UT1NG");
    assert_eq!(incident.body["payload"]["severity"], "error");
    assert_eq!(incident.body["payload"]["source"], "replica-1");
    let down = "*ERROR* [shop] `replica-1` is unhealthy (was degraded)";
    slack.until("a message", |all| texts(all).contains(&down)).await?;

    cluster.replica(1)?.start().await?;
    until(&router, "the replica to be back", |r| healthy(r, "replica-1")).await?;
    pager.until("its end", |all| events(all, "resolve").len() == 2).await?;
    let back = |text: &&str| text.starts_with("*OVER* [shop] `replica-1` is ");
    slack.until("a message of its end", |all| texts(all).iter().any(back)).await?;
    router.shutdown().await;
    assert_eq!(events(&pager.received(), "trigger").len(), 1);
    Ok(())
}

#[tokio::test]
async fn lag_and_failovers_reach_callbacks_and_receivers() -> Result {
    let cluster = Cluster::builder().replicas(2).start().await?;
    prepare(&cluster).await?;
    let receiver = Receiver::start([]).await?;
    let mut config = config(&cluster);
    let level = |tenths: u64| Duration::from_millis(tenths * 100);
    (config.lag.info, config.lag.warning) = (level(5), level(6));
    (config.lag.error, config.lag.critical, config.lag.hold) = (level(7), level(8), Duration::ZERO);
    config.notify = vec![NotifyConfig::webhook(receiver.url("http", "/hook"))];
    let (sender, mut heard) = mpsc::channel(256);
    let call = move |notification: &rr_core::notify::Notification| {
        drop(sender.blocking_send(notification.clone()));
    };
    let router = Router::builder(Plain).config(config).on_notice(call).start().await?;
    all_serving(&router).await?;
    let mut next = async |what: &str, wanted: &dyn Fn(&rr_core::notify::Notification) -> bool| -> Result {
        loop {
            let next = tokio::time::timeout(rr_tests::wait::PATIENCE, heard.recv()).await;
            let next = next.map_err(|_| format!("waited in vain for {what}"))?.ok_or("it ended")?;
            if wanted(&next) {
                return Ok(());
            }
        }
    };

    cluster.replica(1)?.pause_replay().await?;
    cluster.primary().sql("INSERT INTO note (text) VALUES ('unseen')").await?;
    // Whoever looks late finds it worse at once.
    let critical = |told: &rr_core::notify::Notification| {
        told.kind == "lag" && told.severity == Severity::Critical && told.turn == Turn::Opens
    };
    next("critical lag", &critical).await?;
    cluster.replica(1)?.resume_replay().await?;
    next("the end of the lag", &|told| told.kind == "lag" && told.turn == Turn::Closes).await?;

    cluster.primary().kill9().await?;
    next("a dead primary", &|told| told.kind == "health" && told.severity == Severity::Error).await?;
    cluster.replica(2)?.promote().await?;
    next("the failover", &|told| told.kind == "primary" && told.node.as_deref() == Some("replica-2")).await?;
    let about = |all: &[Received], kind: &str, severity: &str| {
        all.iter().any(|one| one.body["kind"] == kind && one.body["severity"] == severity)
    };
    let both = |all: &[Received]| about(all, "lag", "critical") && about(all, "primary", "warning");
    receiver.until("lag and the failover", both).await?;
    router.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_router_has_done_by_itself_is_told() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let receiver = Receiver::start([]).await?;
    let mut config = promoting(&cluster, FailoverMode::Automatic);
    let mut hook = NotifyConfig::webhook(receiver.url("http", "/hook")).with_min_severity(Severity::Info);
    hook.kinds = vec!["promotion".to_owned()];
    config.notify = vec![hook];
    let router = start(config).await?;
    all_serving(&router).await?;
    cluster.primary().crash().await?;
    let told = receiver.until("the promotion", |all| !all.is_empty()).await?;
    let report = router.failover().history().pop().ok_or("a report")?;
    assert!(report.succeeded(), "{report}");
    router.shutdown().await;
    assert_eq!(receiver.received().len(), 1, "once");
    let body = &told[0].body;
    assert_eq!((&body["kind"], &body["severity"]), (&"promotion".into(), &"warning".into()), "{body}");
    let text = body["text"].as_str().unwrap_or_default();
    // All of it but the first write, which comes later: how long each part took, and what is left to do.
    for part in
        ["failover from `primary` to `replica-1`", "detection", "promotion", "make `primary` a replica"]
    {
        assert!(text.contains(part), "{body}");
    }
    Ok(())
}
