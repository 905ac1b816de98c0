//! The metrics as Prometheus reads them.

use axum::body::Body;
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};

use crate::connector::Connector;
use crate::router::Router;

/// A route, `/metrics`, with [the router's metrics as text](Router::metrics_text).
///
/// It works with whatever meter provider the application has installed, and without one; what is exported by OTLP is the
/// same. Of several routers in one process, give each a route of its own: `axum::Router::nest("/orders", metrics(&orders))`.
///
/// It holds names and numbers, and no address. Keep it from the public all the same.
pub fn metrics<C: Connector, S>(router: &Router<C>) -> axum::Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let router = router.clone();
    axum::Router::new().route(
        "/metrics",
        get(async move || {
            let mut response = Response::new(Body::from(router.metrics_text()));
            let headers = response.headers_mut();
            let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            headers.insert(CONTENT_TYPE, text);
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }),
    )
}
