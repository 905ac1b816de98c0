//! What a failover leaves of a session.

use super::Session;
use crate::position::{PgPosition, Position};
use crate::token::LostWrite;
use crate::topology::Topology;

impl Session {
    /// The write of this session that the primary certainly does not have, if there is one.
    #[must_use]
    pub fn lost(&self, topology: &Topology) -> Option<LostWrite> {
        self.lost_from(&self.history(topology)?)
    }

    /// What the primary has, and at most has, of what this session wrote and saw.
    fn history(&self, topology: &Topology) -> Option<Position> {
        topology.history([self.last_write(), self.last_read()].iter().flatten())
    }

    fn lost_from(&self, history: &Position) -> Option<LostWrite> {
        lost(&self.registers.wrote.get()?, history)
    }

    /// Goes on with what was kept: the session's reads no longer ask for the write that is lost.
    pub fn accept_loss(&self, lost: &LostWrite) {
        if let Position::Postgres(switch) = &lost.switch {
            let (timeline, at) = switch.head();
            self.keep(|position| position.capped(timeline, at));
        }
    }

    /// Forgets whatever the primary certainly does not have, and says which write that was.
    pub(crate) fn give_up_lost(&self, topology: &Topology) -> Option<LostWrite> {
        self.keep_what_is_in(&self.history(topology)?)
    }

    fn keep_what_is_in(&self, history: &Position) -> Option<LostWrite> {
        let lost = self.lost_from(history);
        if let Position::Postgres(history) = history {
            self.keep(|position| position.kept_by(history));
        }
        lost
    }

    fn keep(&self, of: impl Fn(&PgPosition) -> PgPosition) {
        self.registers.wrote.keep(&of);
        self.registers.saw.keep(&of);
    }
}

/// The part of `position` that `history` left behind, if there is one.
pub(crate) fn lost(position: &Position, history: &Position) -> Option<LostWrite> {
    let (Position::Postgres(own), Position::Postgres(history)) = (position, history) else { return None };
    let (timeline, kept) = own.beyond(history)?;
    Some(LostWrite { token: position.clone(), switch: PgPosition::new(timeline, kept).into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consistency::Consistency;

    fn at(text: &str) -> Position {
        Position::Postgres(text.parse().unwrap())
    }

    #[test]
    fn a_write_beyond_the_switch_is_lost_until_somebody_takes_note() {
        let history = at("1:0/64,2:0/1F4");
        let session = Session::new();
        session.wrote(&at("1:0/60"));
        assert_eq!(session.lost_from(&history), None);
        session.wrote(&at("1:0/70"));
        session.wrote(&at("2:0/100"));
        let lost = session.lost_from(&history).unwrap();
        assert_eq!((&lost.token, &lost.switch), (&at("1:0/70,2:0/100"), &at("1:0/64")));
        session.accept_loss(&lost);
        assert_eq!((session.lost_from(&history), session.last_write()), (None, Some(at("1:0/64,2:0/100"))));
    }

    #[test]
    fn giving_up_leaves_what_was_kept_in_both_registers() {
        let history = at("1:0/64,2:0/1F4");
        let session = Session::new();
        session.saw(&at("1:0/90"));
        assert_eq!(session.keep_what_is_in(&history), None, "what was only seen is no lost write");
        assert_eq!(session.last_read(), Some(at("1:0/64")));
        session.wrote(&at("1:0/70"));
        assert!(session.keep_what_is_in(&history).is_some());
        assert!(history.covers(&session.requirement(Consistency::Session).covers.unwrap()));
    }

    #[test]
    fn what_may_be_lost_is_not_said_to_be_whatever_came_after_it() {
        let (session, history) = (Session::new(), at("1:0/64,2:0/1F4"));
        for later in [None, Some("2:0/100")] {
            session.wrote(&at("1:FFFFFFFF/FFFFFFFF"));
            later.into_iter().for_each(|later| session.wrote(&at(later)));
            let lost = session.lost_from(&history).unwrap().to_string();
            assert!(lost.contains("may be lost"), "{lost}");
        }
        let session = Session::new();
        session.wrote(&at("1:0/70"));
        assert!(session.lost_from(&history).unwrap().to_string().contains("at 1:0/70 is lost"));
    }
}
