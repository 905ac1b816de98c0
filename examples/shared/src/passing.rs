//! The laboratory as an instance offers it: what is done to servers is passed on to the launcher, and the burst runs here.
//!
//! The routes exist only where there is a laboratory, and only for this machine's own pages and programs. See
//! [`laboratory`](crate::laboratory) for `/lab/nodes…`, `/lab/heal` and `/lab/instances`, [`burst`](crate::burst) for
//! `/lab/burst`, and [`elsewhere`] for `/lab/at/…`.

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use axum::{Json, middleware};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::json;

use crate::burst::{self, Trial};
use crate::client::{Answer, Client, ClientError};
use crate::elsewhere;
use crate::laboratory::KEY_HEADER;
use crate::peers::only_local;

/// Where the launcher's laboratory is.
pub(crate) const LABORATORY: &str = "EXAMPLE_LABORATORY";
/// What the launcher's laboratory wants to hear.
pub(crate) const LABORATORY_KEY: &str = "EXAMPLE_LABORATORY_KEY";

/// Longest body that is passed on.
pub(crate) const LONGEST_BODY: usize = 4096;

/// The way to the launcher's laboratory.
#[derive(Clone)]
pub(crate) struct Way {
    url: String,
    key: HeaderValue,
    client: Client,
}

impl Way {
    pub(crate) fn from_env() -> Option<Self> {
        let (url, key) = (std::env::var(LABORATORY).ok()?, std::env::var(LABORATORY_KEY).ok()?);
        Some(Self { url, key: key.parse().ok()?, client: Client::new() })
    }

    /// Asks the launcher's laboratory.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, ClientError> {
        let headers = HeaderMap::from_iter([(KEY_HEADER, self.key.clone())]);
        self.client.send(method, &format!("{}{path}", self.url), headers, body).await
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }
}

/// The routes below `/lab`; none where there is no laboratory.
pub(crate) fn laboratory_routes<S, T: Trial>(trial: T) -> axum::Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let Some(way) = Way::from_env() else { return axum::Router::new() };
    axum::Router::new()
        .route("/lab/burst", post(burst::burst::<T>).with_state(trial))
        .route("/lab/at/{instance}/{*path}", any(elsewhere::ask).with_state(way.clone()))
        .route("/lab/{*path}", any(pass_on).with_state(way))
        .layer(middleware::from_fn(only_local))
}

async fn pass_on(State(way): State<Way>, request: Request) -> Response {
    let path = request.uri().path().trim_start_matches("/lab").to_owned();
    let method = request.method().clone();
    let Ok(body) = axum::body::to_bytes(request.into_body(), LONGEST_BODY).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, Json(json!({ "error": "a shorter body will do" })))
            .into_response();
    };
    match way.ask(method, &path, body).await {
        Ok(answer) => {
            let json = HeaderValue::from_static("application/json");
            (answer.status, [(CONTENT_TYPE, json)], answer.body).into_response()
        }
        Err(error) => {
            let text = format!("the laboratory does not answer: {error}");
            (StatusCode::BAD_GATEWAY, Json(json!({ "error": text }))).into_response()
        }
    }
}
