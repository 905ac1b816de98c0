//! An application that exports metrics and spans by OTLP, a receiver of it, and the text route beside it.

use std::collections::BTreeMap;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{MetricExporter, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::trace::SdkTracerProvider;
use rr_core::{Consistency, Requirement};
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::collector::{Attributes, Collector};
use super::*;

/// What an application sets up before it starts a router.
fn exporters(url: &str) -> std::result::Result<(MetricExporter, SdkTracerProvider), String> {
    // Its HTTP client asks for one; rr brings none for others.
    let _there_already = rustls::crypto::ring::default_provider().install_default();
    let metrics = MetricExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
    let metrics = metrics.with_endpoint(format!("{url}/v1/metrics")).build().map_err(|e| e.to_string())?;
    let spans = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
    let spans = spans.with_endpoint(format!("{url}/v1/traces")).build().map_err(|e| e.to_string())?;
    Ok((metrics, SdkTracerProvider::builder().with_batch_exporter(spans).build()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_and_spans_arrive_and_the_text_says_the_same() -> Result {
    let collector = Collector::start().await?;
    let url = collector.url.clone();
    // The exporter's client blocks.
    let (metrics, tracers) = tokio::task::spawn_blocking(move || exporters(&url)).await??;
    let meters = crate::metrics::export_to(metrics).await;
    let layer = tracing_opentelemetry::layer().with_tracer(tracers.tracer("application"));
    let guard = tracing_subscriber::registry().with(layer).set_default();

    let (cluster, router) = routed(1).await?;
    for _ in 0..3 {
        let route = router.route(&Request::read(Requirement::NONE).at_level(Consistency::Eventual))?;
        let span = route.span();
        route.runs("SELECT 'hunter2'");
        run(route, "SELECT 'hunter2'").instrument(span).await?;
    }
    let route = router.route(&Request::write())?;
    let span = route.span();
    run(route, "SELECT 'hunter2'").instrument(span).await?;
    drop(guard);
    let flushed = tokio::task::spawn_blocking({
        let (meters, tracers) = (meters.clone(), tracers.clone());
        move || meters.force_flush().and_then(|()| tracers.force_flush()).map_err(|error| error.to_string())
    });
    flushed.await??;

    let metrics = collector.metrics();
    let reads = [("rr.node", "replica-1"), ("rr.role", "replica"), ("rr.reason", "replica")];
    let with = |(name, unit): (&str, &str), wanted: &[(&str, &str)]| {
        let (told, points) = metrics.get(name).unwrap_or_else(|| panic!("{name} in {:?}", metrics.keys()));
        assert_eq!(told, unit, "{name}");
        let all = |point: &&Attributes| {
            wanted.iter().all(|(key, value)| point.get(*key).map(String::as_str) == Some(value))
        };
        assert!(points.iter().any(|point| all(&point)), "{name} with {wanted:?}: {points:?}");
    };
    with(("rr.routes", "{statement}"), &reads);
    with(("rr.routes", "{statement}"), &[("rr.node", "primary"), ("rr.reason", "write")]);
    with(("rr.lag", "s"), &reads[..2]);
    with(("rr.lag.size", "By"), &reads[..2]);
    with(("rr.nodes", "{node}"), &[("rr.role", "replica"), ("rr.state", "healthy")]);
    with(("rr.probe.duration", "s"), &reads[1..2]);
    with(("rr.pool.connections", "{connection}"), &[("rr.node", "replica-1"), ("rr.state", "idle")]);
    with(("rr.notices", "{notice}"), &[("rr.kind", "primary")]);

    let text = scrape(&router).await?;
    let read = "rr_routes_total{rr_node=\"replica-1\",rr_reason=\"replica\",rr_role=\"replica\"}";
    assert_eq!(value(&text, read), Some(3.0), "the text is there beside an application's provider: {text}");
    let ours: BTreeMap<_, _> = metrics.keys().map(|name| (name.replace('.', "_"), name)).collect();
    for (begin, name) in ours {
        assert!(series_names(&text).iter().any(|series| series.starts_with(&begin)), "{name} in {text}");
    }

    let spans = collector.spans();
    let of = |node: &'static str| {
        spans.iter().filter(move |(_, of)| of.get("rr.node").is_some_and(|at| at == node))
    };
    assert_eq!((of("replica-1").count(), of("primary").count()), (3, 1), "{spans:#?}");
    let port = cluster.replica(1)?.link().port().to_string();
    let wanted = [
        ("db.system.name", "postgresql"),
        ("db.operation.name", "SELECT"),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
        ("rr.role", "replica"),
        ("rr.class", "read"),
        ("rr.reason", "replica"),
        ("rr.level", "eventual"),
        ("rr.epoch", "1"),
    ];
    for (name, span) in of("replica-1") {
        assert_eq!(name, "rr.statement");
        for (key, value) in wanted {
            assert_eq!(span.get(key).map(String::as_str), Some(value), "{key} in {span:?}");
        }
    }
    assert!(!format!("{spans:?}").contains("hunter2"));
    Ok(())
}
