//! What a router tells of itself: instruments, spans and explanations, and that they agree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData, ResourceMetrics};
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider, Temporality};
use rr_core::{Config, Router};
use rr_tests::cluster::Cluster;
use rr_tests::plain::Plain;
use rr_tests::wait::{PATIENCE, until};

use crate::log::Log;
use crate::router::Result;

mod bounded;
mod golden;
mod guide;
mod observers;

/// A series: the labels with their values.
pub(crate) type Labels = BTreeMap<String, String>;

/// A metric as it was collected.
#[derive(Debug, Default)]
pub(crate) struct Metric {
    pub(crate) unit: String,
    pub(crate) kind: &'static str,
    /// The value of each series; of a histogram how often something was recorded.
    pub(crate) series: BTreeMap<Labels, f64>,
}

pub(crate) type Collected = BTreeMap<String, Metric>;

/// The one provider of this process: routers keep the instruments of that which there was when they were started.
fn provider() -> &'static (SdkMeterProvider, InMemoryMetricExporter) {
    static PROVIDER: OnceLock<(SdkMeterProvider, InMemoryMetricExporter)> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        let exporter = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(exporter.clone()).build();
        let onward = PeriodicReader::builder(Onward).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).with_reader(onward).build();
        opentelemetry::global::set_meter_provider(provider.clone());
        (provider, exporter)
    })
}

/// Where the test of OTLP has its metrics sent.
static EXPORTER: tokio::sync::Mutex<Option<opentelemetry_otlp::MetricExporter>> =
    tokio::sync::Mutex::const_new(None);

/// Sends metrics on to where a test wants them, since it cannot have a provider of its own.
struct Onward;

impl PushMetricExporter for Onward {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        match &*EXPORTER.lock().await {
            Some(exporter) => exporter.export(metrics).await,
            None => Ok(()),
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

/// As [`install`], and has the metrics exported as well. To be flushed.
pub(crate) async fn export_to(exporter: opentelemetry_otlp::MetricExporter) -> SdkMeterProvider {
    *EXPORTER.lock().await = Some(exporter);
    provider().0.clone()
}

/// Has what routers count from now on collected here. To be called before they are started.
pub(crate) fn install() {
    provider();
}

/// All metrics as they are now.
pub(crate) async fn collect() -> Result<Collected> {
    let read = || -> std::result::Result<Collected, String> {
        // One at a time, since a look empties what was exported.
        static LOOK: Mutex<()> = Mutex::new(());
        let _look = LOOK.lock().map_err(|_| "poisoned")?;
        let (provider, exporter) = provider();
        exporter.reset();
        provider.force_flush().map_err(|error| error.to_string())?;
        let mut all = Collected::new();
        for resource in exporter.get_finished_metrics().map_err(|error| error.to_string())? {
            for metric in resource.scope_metrics().flat_map(|scope| scope.metrics()) {
                let (kind, series) = series_of(metric.data());
                let unit = metric.unit().to_owned();
                all.insert(metric.name().to_owned(), Metric { unit, kind, series });
            }
        }
        Ok(all)
    };
    Ok(tokio::task::spawn_blocking(read).await??)
}

fn series_of(data: &AggregatedMetrics) -> (&'static str, BTreeMap<Labels, f64>) {
    macro_rules! points {
        ($points:expr, $value:expr) => {
            $points
                .map(|point| {
                    let labels = point.attributes().map(|kv| (kv.key.to_string(), kv.value.to_string()));
                    (labels.collect(), $value(point))
                })
                .collect()
        };
    }
    #[expect(clippy::cast_precision_loss, reason = "tests count to thousands")]
    match data {
        AggregatedMetrics::U64(MetricData::Sum(sum)) => {
            ("counter", points!(sum.data_points(), |p: &_| value_of(p) as f64))
        }
        AggregatedMetrics::U64(MetricData::Gauge(gauge)) => (
            "gauge",
            points!(gauge.data_points(), |p: &opentelemetry_sdk::metrics::data::GaugeDataPoint<u64>| {
                p.value() as f64
            }),
        ),
        AggregatedMetrics::F64(MetricData::Gauge(gauge)) => (
            "gauge",
            points!(gauge.data_points(), |p: &opentelemetry_sdk::metrics::data::GaugeDataPoint<f64>| {
                p.value()
            }),
        ),
        AggregatedMetrics::F64(MetricData::Histogram(histogram)) => (
            "histogram",
            points!(histogram.data_points(), |p: &opentelemetry_sdk::metrics::data::HistogramDataPoint<
                f64,
            >| p.count() as f64),
        ),
        other => unreachable!("an instrument of an unexpected kind: {other:?}"),
    }
}

fn value_of(point: &opentelemetry_sdk::metrics::data::SumDataPoint<u64>) -> u64 {
    point.value()
}

/// The value of a series that has at least these labels; 0 where there is none.
pub(crate) fn value(all: &Collected, name: &str, labels: &[(&str, &str)]) -> f64 {
    let Some(metric) = all.get(name) else { return 0.0 };
    let fits = |series: &Labels| {
        labels.iter().all(|(key, value)| series.get(*key).is_some_and(|found| found == value))
    };
    metric.series.iter().filter(|(series, _)| fits(series)).map(|(_, value)| value).sum()
}

/// The configuration for this cluster, with names that no other test has.
fn named(cluster: &Cluster, prefix: &str) -> Config {
    let mut config = rr_tests::plain::config(cluster);
    config.primary = config.primary.with_name(format!("{prefix}-primary"));
    for (n, replica) in config.replicas.iter_mut().enumerate() {
        *replica = replica.clone().with_name(format!("{prefix}-replica-{}", n + 1));
    }
    config
}

async fn start(config: Config) -> Result<Router<Plain>> {
    let router = Router::builder(Plain).config(config).start().await?;
    serving(&router).await?;
    Ok(router)
}

/// Waits until all replicas serve.
async fn serving(router: &Router<Plain>) -> Result {
    let fresh = || {
        let topology = router.topology();
        let of_replicas =
            topology.nodes().iter().filter(|node| Ok(node.id) != topology.primary().map(|p| p.id));
        topology.primary().is_ok() && of_replicas.into_iter().all(|node| node.fresh_as_of.is_some())
    };
    until("all replicas to serve", async || Ok(fresh())).await
}
