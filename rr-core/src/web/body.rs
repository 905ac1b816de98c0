//! A body that is produced in the scope of its request, however late.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};

use crate::scope::Scope;

/// What a body may be to be sent on.
pub(super) trait Streamed:
    http_body::Body<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static
{
}

impl<B: http_body::Body<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static> Streamed for B {}

/// A body each of whose frames is made in a scope.
struct ScopedBody<B> {
    scope: Scope,
    body: Pin<Box<B>>,
}

/// The body, with all of its frames made in this scope.
pub(super) fn scoped<B: Streamed>(scope: Scope, body: B) -> Body {
    Body::new(ScopedBody { scope, body: Box::pin(body) })
}

impl<B: http_body::Body> http_body::Body for ScopedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let scope = self.scope.clone();
        let body = self.body.as_mut();
        scope.enter(|| body.poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
