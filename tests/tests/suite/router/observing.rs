//! What a router tells while it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Mutex;

use super::*;
use rr_core::Consistency;

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
        "rr.probe.duration",
        "rr.routes",
    ] {
        assert!(found.get(name).is_some_and(|nodes| nodes.is_superset(&both)), "{name}: {found:?}");
    }
    for name in ["rr.epoch", "rr.notices"] {
        assert!(found.contains_key(name), "{name}: {found:?}");
    }
    Ok(())
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().map_err(|_| std::io::Error::other("poisoned"))?.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_statement_has_a_span_with_its_route_and_never_a_secret() -> Result {
    let log = Log::default();
    let sink = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::CLOSE)
        .with_writer(move || sink.clone())
        .finish();
    let _guard = tracing_subscriber::util::SubscriberInitExt::set_default(subscriber);
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
    let text = String::from_utf8(log.0.lock().map_err(|_| "poisoned")?.clone())?;
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
