//! No label has values that an application makes.

use rr_core::config::Secret;
use rr_core::consistency::Consistency;
use rr_core::{Outcome, Request, Session};

use super::*;

/// The labels that there are.
const LABELS: [&str; 11] = [
    "rr.kind",
    "rr.level",
    "rr.node",
    "rr.notifier",
    "rr.outcome",
    "rr.reason",
    "rr.role",
    "rr.source",
    "rr.state",
    "rr.step",
    "rr.class",
];

/// The series of these nodes, and of no node in particular.
fn series(all: &Collected) -> BTreeSet<(String, Labels)> {
    let own = |labels: &Labels| labels.get("rr.node").is_none_or(|node| node.starts_with("bounded-"));
    let of = |(name, metric): (&String, &Metric)| {
        let own = metric.series.keys().filter(|labels| own(labels));
        own.map(|labels| (name.clone(), labels.clone())).collect::<Vec<_>>()
    };
    all.iter().flat_map(of).collect()
}

#[tokio::test]
async fn a_thousand_statements_and_sessions_make_no_series() -> Result {
    install();
    let cluster = Cluster::builder().replicas(1).start().await?;
    crate::router::prepare(&cluster).await?;
    let mut config = named(&cluster, "bounded");
    config.session.keys = vec![Secret::new("a key of the test of bounds, long enough")];
    let router = start(config).await?;
    let statement = |n: u32| -> Result {
        let level = Consistency::Bounded(Duration::from_millis(u64::from(60_000 + n)));
        let session = Session::new();
        session.wrote_unplaced(router.now());
        let requirement = router.requirement(Some(&session), Some(level));
        for request in [Request::write(), Request::read(requirement).at_level(level).of_session(&session)] {
            let route = router.route(&request)?;
            route.runs(&format!("SELECT f_{n}('generated-{n}')"));
            route.failed(&format!("generated-{n}"));
            route.finish(Outcome::Answered);
        }
        drop(router.token(&session)?);
        Ok(())
    };
    // What is there from the first one on.
    (0..32).try_for_each(statement)?;
    until("all to be known of the nodes", async || {
        let all = collect().await?;
        let known = |node| value(&all, "rr.node.latency", &[("rr.node", node)]) > 0.0;
        Ok(["bounded-primary", "bounded-replica-1"].into_iter().all(known))
    })
    .await?;
    let before = series(&collect().await?);
    (1000..2000).try_for_each(statement)?;
    let after = series(&collect().await?);
    let made: Vec<_> =
        after.difference(&before).filter(|(_, labels)| labels.contains_key("rr.node")).collect();
    assert!(made.is_empty(), "{made:#?}");
    for (name, labels) in &after {
        for (key, value) in labels {
            assert!(LABELS.contains(&key.as_str()), "{name} has the label {key}");
            assert!(!value.contains("generated") && value.len() < 40, "{name}: {key} = {value}");
        }
    }
    let words = after.iter().filter(|(_, labels)| !labels.contains_key("rr.node")).count();
    assert!(words < 200, "{words} series that are of no node");
    Ok(())
}
