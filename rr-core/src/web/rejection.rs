//! What a request is told that gets no handle of the database.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::connector::Connector;
use crate::router::Router;

/// Why an extractor of an adapter gives no handle. As an answer it is `503 Service Unavailable` and this text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// Nobody watches the nodes any more, so that no handle could find its way; only a restart of the process helps.
    #[error("the database is not available: this process is shutting down")]
    ShutDown,
}

impl Rejection {
    /// Whether handles of this router may be given out. Servers that are down are no reason against it: statements wait for
    /// them, or say what is wrong.
    ///
    /// # Errors
    /// After the router was shut down, or its monitor has ended otherwise.
    pub fn check<C: Connector>(router: &Router<C>) -> Result<(), Self> {
        if router.is_watching() { Ok(()) } else { Err(Self::ShutDown) }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")];
        (StatusCode::SERVICE_UNAVAILABLE, headers, self.to_string()).into_response()
    }
}
