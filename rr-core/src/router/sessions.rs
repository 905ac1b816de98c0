//! What a session's reads must see, given what is known by now.

use super::Router;
use crate::config::Unscoped;
use crate::connector::Connector;
use crate::consistency::Consistency;
use crate::monitor::Circle;
use crate::position::{Position, Timeline};
use crate::requirement::Requirement;
use crate::session::{Session, Written};
use crate::tally::Step;

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
                Unscoped::Router => self.inner.shared.requirement(level),
                Unscoped::Eventual => Requirement::NONE.and_level(level),
                Unscoped::Primary => Requirement::PRIMARY,
            };
        };
        session.catch_up(&self.inner.shared.snapshot.load().topology);
        let mut requirement = session.requirement(level);
        if self.inner.shared.lent.binds(session)
            && matches!(level, Consistency::Session | Consistency::ReadAfterWrite)
        {
            let writes = self.inner.shared.lent.writes();
            writes.catch_up(&self.inner.shared.snapshot.load().topology);
            writes.demand_writes(&mut requirement);
        }
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

    pub(crate) fn circle(&self) -> &Circle {
        &self.inner.shared.circle
    }

    /// Notes a write, and where it ended if that is known, for all reads of this process: through this router, and
    /// through others whose primary is the same database.
    pub fn wrote(&self, position: Option<&Position>) {
        self.note_write(position, self.written(self.topology().timeline()));
    }

    /// A write that was answered by now, on the timeline of the primary that was chosen for it.
    pub(crate) fn written(&self, on: Option<Timeline>) -> Written {
        Written { by: self.now(), on }
    }

    pub(crate) fn note_write(&self, position: Option<&Position>, write: Written) {
        self.inner.shared.circle.each(|session| session.note(position, write));
        if position.is_none() {
            self.place_soon();
        }
    }

    /// Notes what may have been written, and nobody has said that it was.
    pub(crate) fn may_have_written(&self) {
        let now = self.now();
        self.inner.shared.circle.each(|session| session.wrote_unplaced(now));
        self.place_soon();
    }

    /// Has the primary looked at before its next turn: should it be replaced until then, nobody could tell whether the write was
    /// kept.
    fn place_soon(&self) {
        let snapshot = self.inner.shared.snapshot.load();
        if let Ok(primary) = snapshot.topology.primary_index() {
            snapshot.members[primary].common.written.notify_one();
        }
    }
}
