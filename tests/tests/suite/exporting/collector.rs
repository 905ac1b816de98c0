//! A receiver of OTLP over HTTP that keeps what it is sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::Result;

/// Attributes, as text.
pub(super) type Attributes = BTreeMap<String, String>;

#[derive(Default)]
struct Kept {
    metrics: Vec<Metric>,
    spans: Vec<Span>,
}

pub(super) struct Collector {
    pub(super) url: String,
    kept: Arc<Mutex<Kept>>,
    serving: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Collector {
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let kept = Arc::new(Mutex::new(Kept::default()));
        let (metrics, spans) = (Arc::clone(&kept), Arc::clone(&kept));
        let service = axum::Router::new()
            .route(
                "/v1/metrics",
                post(async move |body: Bytes| {
                    let sent = ExportMetricsServiceRequest::decode(body).expect("metrics of OTLP");
                    let scopes = sent.resource_metrics.into_iter().flat_map(|one| one.scope_metrics);
                    let ours =
                        scopes.filter(|one| one.scope.as_ref().is_some_and(|scope| scope.name == "rr"));
                    metrics.lock().expect("no panic").metrics.extend(ours.flat_map(|one| one.metrics));
                }),
            )
            .route(
                "/v1/traces",
                post(async move |body: Bytes| {
                    let sent = ExportTraceServiceRequest::decode(body).expect("spans of OTLP");
                    let scopes = sent.resource_spans.into_iter().flat_map(|one| one.scope_spans);
                    spans.lock().expect("no panic").spans.extend(scopes.flat_map(|one| one.spans));
                }),
            );
        let serving =
            async move { axum::serve(listener, service).await.expect("it serves until it is dropped") };
        Ok(Self { url, kept, serving: tokio::spawn(serving) })
    }

    /// Every metric by name, with its unit and the attributes of all its points.
    pub(super) fn metrics(&self) -> BTreeMap<String, (String, Vec<Attributes>)> {
        let mut found: BTreeMap<String, (String, Vec<Attributes>)> = BTreeMap::new();
        for metric in &self.kept.lock().expect("no panic").metrics {
            let points: Vec<_> = match metric.data.as_ref().expect("data") {
                Data::Gauge(gauge) => gauge.data_points.iter().map(|one| text(&one.attributes)).collect(),
                Data::Sum(sum) => sum.data_points.iter().map(|one| text(&one.attributes)).collect(),
                Data::Histogram(all) => all.data_points.iter().map(|one| text(&one.attributes)).collect(),
                Data::ExponentialHistogram(_) | Data::Summary(_) => panic!("{metric:?}"),
            };
            let entry = found.entry(metric.name.clone()).or_default();
            entry.0.clone_from(&metric.unit);
            entry.1.extend(points);
        }
        found
    }

    /// Every span, by name.
    pub(super) fn spans(&self) -> Vec<(String, Attributes)> {
        let kept = self.kept.lock().expect("no panic");
        kept.spans.iter().map(|span| (span.name.clone(), text(&span.attributes))).collect()
    }
}

fn text(attributes: &[KeyValue]) -> Attributes {
    let one = |value: &Option<AnyValue>| match value.as_ref().and_then(|any| any.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(yes)) => yes.to_string(),
        other => format!("{other:?}"),
    };
    attributes.iter().map(|pair| (pair.key.clone(), one(&pair.value))).collect()
}
