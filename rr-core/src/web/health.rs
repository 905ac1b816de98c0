//! Health routes: what people look at, and what decides about traffic.

use axum::body::Body;
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};

use crate::connector::Connector;
use crate::router::{ClusterHealth, ClusterState, Router};

/// When a health route answers 503 instead of 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum HealthPolicy {
    /// When nothing can be written.
    #[default]
    Writes,
    /// When no node can serve reads.
    Reads,
    /// When anything is not as it should be.
    Strict,
}

impl HealthPolicy {
    const fn is_met(self, health: &ClusterHealth) -> bool {
        match self {
            Self::Writes => health.writes,
            Self::Reads => health.reads,
            Self::Strict => matches!(health.status, ClusterState::Healthy),
        }
    }
}

/// Three routes:
///
/// | route | answers |
/// |---|---|
/// | `/health/database` | the [health of the cluster](ClusterHealth) as JSON; 503 where the policy is not met |
/// | `/health/ready` | 200 where the policy is met |
/// | `/health/live` | 200 as long as the nodes are watched: after a 503 only a restart of the process helps |
///
/// They hold names and numbers, and no address. Keep them from the public all the same.
pub fn health_routes<C: Connector, S>(router: &Router<C>, policy: HealthPolicy) -> axum::Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let (database, ready, live) = (router.clone(), router.clone(), router.clone());
    axum::Router::new()
        .route(
            "/health/database",
            get(async move || {
                let health = database.health();
                let text = serde_json::to_string(&health).unwrap_or_default();
                answer(policy.is_met(&health), text)
            }),
        )
        .route(
            "/health/ready",
            get(async move || {
                let met = policy.is_met(&ready.health());
                answer(met, serde_json::json!({ "ready": met }).to_string())
            }),
        )
        .route(
            "/health/live",
            get(async move || {
                let live = live.is_watching();
                answer(live, serde_json::json!({ "live": live }).to_string())
            }),
        )
}

fn answer(well: bool, json: String) -> Response<Body> {
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
