//! What a session's reads must see, given what is known by now.

use super::Router;
use crate::config::Unscoped;
use crate::connector::Connector;
use crate::consistency::Consistency;
use crate::position::Position;
use crate::requirement::{Requirement, Seen};
use crate::session::Session;
use crate::tally::Step;
use crate::topology::Topology;

impl<C: Connector> Router<C> {
    /// What a read must fulfil: the session's own registers, or for a read outside of any session what `unscoped`
    /// says. `level` is the configured one unless the caller has another.
    #[must_use]
    #[inline]
    pub fn requirement(&self, session: Option<&Session>, level: Option<Consistency>) -> Requirement {
        let config = &self.inner.shared.config;
        let level = level.unwrap_or(config.consistency);
        let Some(session) = session else {
            return match config.unscoped {
                Unscoped::Router => self.inner.shared.own.requirement(level),
                Unscoped::Eventual => Requirement::NONE.and_level(level),
                Unscoped::Primary => Requirement::PRIMARY,
            };
        };
        settle(session, &self.inner.shared.snapshot.load().topology);
        let mut requirement = session.requirement(level);
        if level == Consistency::ReadAfterWrite
            && let Some(at) = requirement.after
            && self.now().since(at) >= config.read_after_write_window
        {
            // Where the write ended cannot be learned: the primary does not answer.
            requirement.after = None;
        }
        requirement
    }

    /// How often reads that must see something came to this step.
    #[must_use]
    pub fn counted(&self, step: Step) -> u64 {
        self.inner.shared.tally.get(step)
    }

    /// The register that holds what this process wrote through this router, in whatever session, and what other routers
    /// of the same database [told](Self::wrote) it that they wrote.
    #[must_use]
    pub fn process_session(&self) -> &Session {
        &self.inner.shared.own
    }

    /// Notes a write, and where it ended if that is known, for all reads of this process: through this router, and
    /// through others whose primary is the same database.
    pub fn wrote(&self, position: Option<&Position>) {
        let now = self.now();
        self.inner.shared.circle.each(|session| session.note(position, now));
    }
}

/// Tells a session the positions that are known by now of what it wrote and read.
pub(super) fn settle(session: &Session, topology: &Topology) {
    let primary = topology.primary().ok();
    let sample = primary.and_then(|primary| primary.sampled_at.zip(primary.applied.as_ref()));
    if let Some((at, position)) = sample {
        session.settle(at, position);
    }
    let Some(seen) = session.follows() else { return };
    let server = seen.node.and_then(|id| topology.node(id)).filter(|server| server.steady_since <= seen.at);
    let bound = match server {
        // Not what it may have shown since: while it does not have that itself, it could serve this session no more.
        Some(server) => server.shown.as_ref().map(|(at, position)| (*at, position)),
        None => sample,
    };
    if let Some((_, position)) = bound.filter(|(at, _)| *at >= seen.at) {
        session.settle_read(seen, position);
    }
}

/// What the last read may have seen at most, where the node that served it has been asked since and is sure of its history.
/// It may be more than that node has.
pub(super) fn bound(seen: Seen, topology: &Topology) -> Option<&Position> {
    let server = topology.node(seen.node?).filter(|server| server.steady_since <= seen.at)?;
    let (at, ceiling) = server.sampled_at.zip(server.ceiling.as_ref())?;
    let is_sure = match (ceiling, server.applied.as_ref()?) {
        (Position::Postgres(ceiling), Position::Postgres(applied)) => ceiling.head().0 == applied.head().0,
        (ceiling, applied) => ceiling == applied,
    };
    (is_sure && at >= seen.at).then_some(ceiling)
}
