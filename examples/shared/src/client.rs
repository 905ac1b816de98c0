//! A small HTTP client that keeps its connections.

use http::header::{CONTENT_TYPE, HeaderMap};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Asks for things over HTTP/1.1, without TLS. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    inner: hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>,
}

/// A server did not answer, or not with HTTP.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The request cannot be made of this address and these headers.
    #[error("no request can be made: {0}")]
    Request(#[from] http::Error),
    /// No answer.
    #[error("no answer: {0}")]
    Unanswered(#[from] hyper_util::client::legacy::Error),
    /// The answer broke off.
    #[error("the answer broke off: {0}")]
    BrokenOff(#[from] hyper::Error),
}

/// What a server answered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Client {
    /// A client without connections.
    #[must_use]
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { inner: hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// Sends a request and waits for the whole answer. A body is taken for JSON.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        }
        let mut request = Request::builder().method(method).uri(url).body(Full::new(body))?;
        *request.headers_mut() = headers;
        let answer = self.inner.request(request).await?;
        let (parts, body) = answer.into_parts();
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.collect().await?.to_bytes() })
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}
