//! What a router tells while it runs.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::log::Log;
use rr_core::Consistency;
use tracing_subscriber::filter::LevelFilter;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_instrument_reports_every_node() -> Result {
    crate::metrics::install();
    let (_cluster, router) = routed(1).await?;
    run(router.route(&read())?, IN_RECOVERY).await?;
    run(router.route(&Request::write())?, IN_RECOVERY).await?;
    let all = crate::metrics::collect().await?;
    let nodes = |metric: &crate::metrics::Metric| {
        metric.series.keys().filter_map(|labels| labels.get("rr.node").cloned()).collect::<BTreeSet<_>>()
    };
    let found: BTreeMap<String, BTreeSet<String>> =
        all.iter().map(|(name, metric)| (name.clone(), nodes(metric))).collect();
    let both: BTreeSet<String> = ["primary", "replica-1"].map(str::to_owned).into();
    for name in [
        "rr.in_flight",
        "rr.lag",
        "rr.lag.size",
        "rr.node.health",
        "rr.node.weight",
        "rr.probes",
        "rr.routes",
    ] {
        assert!(found.get(name).is_some_and(|nodes| nodes.is_superset(&both)), "{name}: {found:?}");
    }
    for name in ["rr.epoch", "rr.notices", "rr.probe.duration"] {
        assert!(found.contains_key(name), "{name}: {found:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_statement_has_a_span_with_its_route_and_never_a_secret() -> Result {
    let log = Log::default();
    let _listening = log.listen(LevelFilter::TRACE);
    let cluster = Cluster::builder().replicas(1).start().await?;
    let mut config = config(&cluster);
    let secret = |url: String| url.replace("app@", "app:hunter2@");
    config.primary = NodeConfig::new(secret(cluster.primary().url()))?.with_name("primary");
    config.replicas = vec![NodeConfig::new(secret(cluster.replica(1)?.url()))?.with_name("replica-1")];
    let router = start(config).await?;
    all_serving(&router).await?;
    let request = read().at_level(Consistency::Session);
    let route = router.route(&request)?;
    route.runs("SELECT 'hunter2'");
    drop(route);
    cluster.replica(1)?.kill9().await?;
    until(&router, "the replica to be down", |r| !healthy(r, "replica-1")).await?;
    let text = log.text();
    let span = text.lines().find(|line| line.contains("rr.statement{")).ok_or("a span")?;
    for field in [
        "db.system.name=\"postgresql\"",
        "db.operation.name=\"SELECT\"",
        "server.address=\"127.0.0.1\"",
        "rr.node=\"replica-1\"",
        "rr.role=\"replica\"",
        "rr.class=\"read\"",
        "rr.reason=\"replica\"",
        "rr.level=session",
        "rr.epoch=1",
    ] {
        assert!(span.contains(field), "{field}: {span}");
    }
    assert!(text.contains("probe failed") && text.contains("`replica-1` is unhealthy"), "{text}");
    assert_eq!(text.matches(" WARN rr: probe failed").count(), 1, "told once, not with every probe: {text}");
    assert!(!text.contains("hunter2"));
    Ok(())
}
