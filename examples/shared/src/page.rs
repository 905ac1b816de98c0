//! What a browser shows at `/`.

use axum::routing::get;
use rr_core::{Connector, Router};

/// The page of an instance.
pub(crate) fn page_routes<C: Connector, S>(_router: &Router<C>) -> axum::Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let routes = "POST /login, GET /notes, POST /notes, GET /notes/{id}, GET /report, GET /balance, GET /health/database";
    axum::Router::new().route("/", get(async move || routes))
}
