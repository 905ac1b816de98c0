//! Writes: under way, answered, and placed.

use std::sync::Arc;

use crate::adapter::Ledger;
use crate::config::AskPositions;
use crate::connector::Connector;
use crate::outcome::{OutcomeUnknown, Unanswered};
use crate::position::{Position, Timeline};
use crate::requirement::Seen;
use crate::route::Route;
use crate::router::Router;
use crate::session::Session;
use crate::topology::Epoch;

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The server did it.
    Done,
    /// The server did not do it.
    Refused,
    /// The connection was lost before it said: it may have been done, and counts as such.
    Unknown,
}

/// A write under way. Dropped before it is resolved, it counts as done.
#[derive(Debug)]
pub struct Suspect<C: Connector> {
    ledger: Ledger<C>,
    /// The one for which the write began: it may end in another task.
    session: Option<Session>,
    open: bool,
    /// The timeline of the primary that was chosen for it: it may answer when it is the primary no more.
    on: Option<Timeline>,
    /// The epoch in which it was chosen, where that is known.
    epoch: Option<Epoch>,
    /// The last read before it.
    follows: Option<Seen>,
}

impl<C: Connector> Ledger<C> {
    /// Notes a write on this route, should it be given up before it is known how it ended. Of a connection whose route has
    /// been given up (`None`), what is known now has to do.
    #[must_use = "a suspect that is dropped counts as a write"]
    pub fn suspect(&self, route: Option<&Route<C::Pool>>) -> Suspect<C> {
        let on = route.map_or_else(|| self.router.topology().timeline(), Route::timeline);
        let (session, epoch) = (self.session(), route.map(Route::epoch));
        let follows = match &session {
            Some(session) => session.follows(),
            None => self.last_read.as_ref().and_then(|last_read| last_read.get()),
        };
        Suspect { ledger: self.clone(), session, open: true, on, epoch, follows }
    }
}

impl<C: Connector> Suspect<C> {
    /// It wrote, up to this position or to one that is not known.
    pub fn wrote(mut self, position: Option<&Position>) {
        self.open = false;
        self.ledger.router.answered_write(self.epoch);
        self.ledger.wrote_in(self.session.as_ref(), position, self.on);
        // Whatever was read before, on whatever node, is in a position of the primary that was asked for afterwards.
        let Some(seen) = self.follows.filter(|_| position.is_some()) else { return };
        match (&self.session, &self.ledger.last_read) {
            (Some(session), _) => session.settle_by_write(seen),
            (None, Some(last_read)) => last_read.settle(seen),
            (None, None) => {}
        }
    }

    /// Whether to ask where it ends.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        let router = &self.ledger.router;
        match router.config().ask_positions {
            AskPositions::Wanted => router.circle().wanted().is_worth_asking(),
            AskPositions::Always => true,
            AskPositions::Never => false,
        }
    }

    /// How it ended, and where if it wrote and that is known.
    pub fn settle(self, ended: Ended, position: Option<&Position>) {
        match ended {
            Ended::Done => self.wrote(position),
            Ended::Unknown => drop(self),
            Ended::Refused => self.cleared(),
        }
    }

    /// It wrote, and its caller hears of it now; where it ended will be known in a moment. Until then reads that must see
    /// it wait for that, or for any later sample of the primary.
    #[must_use = "dropped, the write counts as one that nobody can place"]
    pub fn answered(self) -> Unplaced<C> {
        let router = &self.ledger.router;
        router.answered_write(self.epoch);
        router.circle().begin_placing(self.session.as_ref(), router.written(self.on));
        Unplaced { suspect: Some(self) }
    }

    /// For rows of it that are read after it was [answered](Self::answered).
    #[must_use]
    pub fn unread(&self) -> Unread<C> {
        Unread { router: self.ledger.router.clone(), session: self.session.clone() }
    }

    /// It wrote nothing.
    pub fn cleared(mut self) {
        self.open = false;
    }
}

impl<C: Connector> Drop for Suspect<C> {
    fn drop(&mut self) {
        if self.open {
            self.ledger.may_have_written_in(self.session.as_ref());
        }
    }
}

/// A write that was answered with its first row. The server commits behind the last one, or behind those that fit into a packet.
#[derive(Debug)]
pub struct Unread<C: Connector> {
    router: Router<C>,
    session: Option<Session>,
}

impl<C: Connector> Unread<C> {
    /// The connection was lost before there were no more: nobody knows what became of it.
    #[must_use]
    pub fn unanswered(&self, node: &Arc<str>) -> OutcomeUnknown {
        self.router.unanswered(node, Unanswered::Statement, None)
    }

    /// Another row was read, or there are no more. What was sampled of the primary before need not have what was committed by now.
    pub fn read(&self) {
        self.router.circle().go_on_placing(self.session.as_ref(), self.router.now());
    }
}

/// A write that was [answered](Suspect::answered), and not placed yet.
#[derive(Debug)]
pub struct Unplaced<C: Connector> {
    /// Taken at the end.
    suspect: Option<Suspect<C>>,
}

impl<C: Connector> Unplaced<C> {
    /// It ended at or before this position, or at one that could not be learned.
    pub fn placed(mut self, position: Option<&Position>) {
        self.end(position);
    }

    fn end(&mut self, position: Option<&Position>) {
        let Some(suspect) = self.suspect.take() else { return };
        let (router, session) = (suspect.ledger.router.clone(), suspect.session.clone());
        suspect.wrote(position);
        // Only now: a reader that finds nothing on its way must find it in the registers.
        router.circle().end_placing(session.as_ref());
    }
}

impl<C: Connector> Drop for Unplaced<C> {
    fn drop(&mut self) {
        self.end(None);
    }
}
