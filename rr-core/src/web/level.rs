//! A level for all reads of a route.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::body::{Streamed, scoped};
use crate::consistency::Consistency;
use crate::scope::Scope;

/// Gives the reads of a route a level, where their call and handle have none of their own. Goes inside of a
/// [`SessionLayer`](super::SessionLayer).
#[derive(Clone, Copy, Debug)]
pub struct ConsistencyLayer(Consistency);

impl ConsistencyLayer {
    /// Reads at this level.
    #[must_use]
    pub const fn new(level: Consistency) -> Self {
        Self(level)
    }
}

impl<S> Layer<S> for ConsistencyLayer {
    type Service = ConsistencyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ConsistencyService { inner, level: self.0 }
    }
}

/// A service whose reads have a level.
#[derive(Clone, Debug)]
pub struct ConsistencyService<S> {
    inner: S,
    level: Consistency,
}

impl<S, B, R> Service<Request<B>> for ConsistencyService<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Streamed,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that was polled ready is the one to be called.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(self.level.scope(async move {
            let response = inner.call(request).await?;
            Ok(response.map(|body| scoped(Scope::current(), body)))
        }))
    }
}
