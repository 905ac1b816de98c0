//! Jobs that follow up on a write of another process.

use std::time::Duration;

use super::waiting::behind;
use super::{Decision, Router};
use crate::connector::Connector;
use crate::consistency::Consistency;
use crate::route::Request;
use crate::session::Session;
use crate::token::TokenError;
use crate::topology::Topology;

/// The shortest and the longest time after which a job is worth another try.
const SOON: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_secs(30);

/// What a job does while no replica has what it follows up on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Else {
    /// It waits for a replica, at most this long, and is then put back.
    Wait(Duration),
    /// It is put back at once.
    Requeue,
    /// It begins: what replicas do not have yet is read from the primary.
    Primary,
}

/// Whether a job may begin.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Required {
    /// It may, for this session.
    Ready(Session),
    /// No replica has what it follows up on.
    NotYet {
        /// When it is worth another try.
        retry_after: Duration,
    },
}

impl<C: Connector> Router<C> {
    /// Whether a job that carries this token in its payload may begin: whether a replica has what it follows up on.
    ///
    /// Where there is no replica at all, it may begin on the primary.
    ///
    /// # Errors
    /// Why the token is refused.
    pub async fn require(&self, token: &str, otherwise: Else) -> Result<Required, TokenError> {
        let session = self.resume(token).await?;
        if otherwise == Else::Primary {
            return Ok(Required::Ready(session));
        }
        let needs = || Request::read(self.requirement(Some(&session), Some(Consistency::Session)));
        let mut decision = self.decide(&self.inner.shared.snapshot.load(), &needs());
        if let Else::Wait(patience) = otherwise
            && !is_ready(decision)
            && !patience.is_zero()
        {
            decision = self.wait(&needs(), patience).await.decision;
        }
        match is_ready(decision) {
            true => Ok(Required::Ready(session)),
            false => Ok(Required::NotYet { retry_after: self.retry_after(&needs()) }),
        }
    }

    /// As long as the freshest of the replicas is late by now.
    fn retry_after(&self, request: &Request<'_>) -> Duration {
        let topology: &Topology = &self.topology();
        let now = self.now();
        let late = behind(topology, &self.ask(topology, request));
        let late = late.iter().filter_map(|index| topology.nodes()[index].staleness(now)).min();
        late.unwrap_or(LATE).clamp(SOON, LATE)
    }
}

const fn is_ready(decision: Decision) -> bool {
    match decision {
        Decision::Node(..) => true,
        Decision::Fallback(_, reason) => !reason.is_fallback(),
        Decision::Nowhere => false,
    }
}
