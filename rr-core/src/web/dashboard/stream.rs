//! One viewer: a body that never ends and has a frame every quarter of a second.
//!
//! A viewer makes its frames itself, when the connection asks for more. One that reads slowly is asked less often and
//! gets what is true then: nothing is queued for it. When the connection ends the body is dropped, and with it all that
//! there was of the viewer.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::frame::{Frame, Seen};
use crate::connector::Connector;
use crate::router::Router;

/// Between two frames.
const PACE: Duration = Duration::from_millis(250);

pub(super) struct Viewer<C: Connector> {
    router: Router<C>,
    /// Given back when the viewer goes.
    _seat: OwnedSemaphorePermit,
    stopped: Arc<dyn Fn() -> bool + Send + Sync>,
    ticks: Interval,
    seen: Seen,
    sent: u64,
    ended: bool,
}

impl<C: Connector> Viewer<C> {
    pub(super) fn new(
        router: Router<C>,
        seat: OwnedSemaphorePermit,
        stopped: Arc<dyn Fn() -> bool + Send + Sync>,
    ) -> Self {
        let mut ticks = interval(PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { router, _seat: seat, stopped, ticks, seen: Seen::default(), sent: 0, ended: false }
    }

    /// The next event. Whoever comes back after a break (`Last-Event-ID`) gets the whole state like everybody else: it is
    /// all there is to know.
    fn event(&mut self) -> Bytes {
        let frame = Frame::next(&self.router, &mut self.seen);
        let json = serde_json::to_string(&frame).unwrap_or_default();
        let event = if self.sent == 0 { "retry: 1000\nevent: state" } else { "event: tick" };
        self.sent += 1;
        Bytes::from(format!("{event}\ndata: {json}\n\n"))
    }
}

impl<C: Connector> http_body::Body for Viewer<C> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        if self.ended || self.ticks.poll_tick(context).is_pending() {
            return if self.ended { Poll::Ready(None) } else { Poll::Pending };
        }
        if (self.stopped)() {
            self.ended = true;
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(http_body::Frame::data(self.event()))))
    }
}
