//! What a router tells while it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Mutex;

use super::*;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use rr_core::Consistency;

/// Every metric that was collected, with the values of the label `rr.node` that it had.
fn collect(
    provider: &SdkMeterProvider,
    exporter: &InMemoryMetricExporter,
) -> Result<BTreeMap<String, BTreeSet<String>>> {
    provider.force_flush()?;
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for resource in exporter.get_finished_metrics()? {
        for metric in resource.scope_metrics().flat_map(|scope| scope.metrics()) {
            let nodes = found.entry(metric.name().to_owned()).or_default();
            let mut note = |attributes: Vec<(String, String)>| {
                nodes.extend(
                    attributes.into_iter().filter(|(key, _)| key == "rr.node").map(|(_, value)| value),
                );
            };
            macro_rules! labels {
                ($points:expr) => {
                    $points.for_each(|point| {
                        note(
                            point.attributes().map(|kv| (kv.key.to_string(), kv.value.to_string())).collect(),
                        )
                    })
                };
            }
            match metric.data() {
                AggregatedMetrics::U64(MetricData::Sum(sum)) => labels!(sum.data_points()),
                AggregatedMetrics::U64(MetricData::Gauge(gauge)) => labels!(gauge.data_points()),
                AggregatedMetrics::F64(MetricData::Gauge(gauge)) => labels!(gauge.data_points()),
                AggregatedMetrics::F64(MetricData::Histogram(histogram)) => labels!(histogram.data_points()),
                other => return Err(format!("{} is of an unexpected kind: {other:?}", metric.name()).into()),
            }
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_instrument_reports_every_node() -> Result {
    let exporter = InMemoryMetricExporter::default();
    let provider =
        SdkMeterProvider::builder().with_reader(PeriodicReader::builder(exporter.clone()).build()).build();
    let _the_only_one = GLOBAL_PROVIDER.lock().await;
    opentelemetry::global::set_meter_provider(provider.clone());
    let (_cluster, router) = routed(1).await?;
    run(router.route(&read())?, IN_RECOVERY).await?;
    run(router.route(&Request::write())?, IN_RECOVERY).await?;
    let found = tokio::task::spawn_blocking({
        let provider = provider.clone();
        move || collect(&provider, &exporter).map_err(|error| error.to_string())
    });
    let found = found.await??;
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
        assert_eq!(found.get(name), Some(&both), "{name}: {found:?}");
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
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::NEW)
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
    drop(route.span());
    drop(route);
    cluster.replica(1)?.kill9().await?;
    until(&router, "the replica to be down", |r| !healthy(r, "replica-1")).await?;
    let text = String::from_utf8(log.0.lock().map_err(|_| "poisoned")?.clone())?;
    let span = "rr.statement{node=\"replica-1\" role=replica class=\"read\" reason=\"replica\" level=session epoch=1}";
    assert!(text.contains(span), "{text}");
    assert!(text.contains("probe failed") && text.contains("`replica-1` is unhealthy"), "{text}");
    assert_eq!(text.matches(" WARN rr: probe failed").count(), 1, "told once, not with every probe: {text}");
    assert!(!text.contains("hunter2"));
    Ok(())
}
