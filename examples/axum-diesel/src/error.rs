//! What goes wrong in a handler, and what its client is told.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

pub(crate) type Result<T> = std::result::Result<T, Error>;

pub(crate) enum Error {
    /// There is no such thing, or it is not this user's.
    NotFound,
    /// The client's mistake, and what to do about it.
    Invalid(&'static str),
    /// The database's own.
    Database(diesel::result::Error),
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        match error {
            diesel::result::Error::NotFound => Self::NotFound,
            error => Self::Database(error),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not found"),
            Self::Invalid(text) => (StatusCode::BAD_REQUEST, text),
            Self::Database(error) => {
                tracing::error!(%error, "the database failed a request");
                (StatusCode::SERVICE_UNAVAILABLE, "the database cannot do that now")
            }
        };
        (status, Json(json!({ "error": text }))).into_response()
    }
}
