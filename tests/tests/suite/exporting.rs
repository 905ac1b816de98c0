//! What leaves the process: metrics as Prometheus scrapes them, metrics and spans by OTLP, and what is made of them in `deploy/`.
//! Prometheus and promtool are the real programs.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use http::Request as HttpRequest;
use http_body_util::BodyExt;
use rr_core::web::metrics;
use rr_core::{Request, Router};
use rr_tests::cluster::Cluster;
use rr_tests::plain::{Plain, config};
use rr_tests::prometheus::{Prometheus, promtool};
use rr_tests::wait;
use tower::ServiceExt;

use crate::router::{Result, all_serving, prepare, routed, run, start};

mod collector;
mod counted;
mod deployed;
mod otlp;
mod outage;
mod text;

/// What the route serves.
async fn scrape(router: &Router<Plain>) -> Result<String> {
    let app: axum::Router = metrics(router);
    let answer = app.oneshot(HttpRequest::get("/metrics").body(Body::empty())?).await?;
    Ok(String::from_utf8(answer.into_body().collect().await?.to_bytes().to_vec())?)
}

/// The value of one series, as it is written: `rr_routes_total{rr_node="a",…}`, labels in the order of the alphabet.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// The names of all metrics, as their series are called.
fn series_names(text: &str) -> BTreeSet<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.split(['{', ' ']).next()).filter(|name| !name.is_empty()).collect()
}

/// A file or folder of `deploy/`.
fn deploy(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path)
}
