//! What an error of a read says about what to do next.
//!
//! SQLSTATE cannot be seen, and a text is understood in English only: see `docs/adr/0036-errors-without-a-code.md`.

use diesel::result::{DatabaseErrorKind, Error};
use rr_core::adapter::Next;
use rr_core::engine::Fault;
use rr_core::topology::Role;

use crate::error;

/// What an error of a read says about what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This.
    Clear(Next),
    /// This, provided that the connection still works; otherwise the server was shut down under it.
    IfAlive(Next),
}

/// What a standby says of a read that stood in the way of replay, and in a circle with it: that has a kind of its own.
const CONFLICT: &str = "canceling statement due to conflict with recovery";

/// What an error of a read on a node of this role says.
pub(crate) fn verdict(error: &Error, role: Role) -> Verdict {
    let on_replica = role == Role::Replica;
    match error {
        error if error::is_lost(error) => Verdict::Clear(Next::Elsewhere(Fault::Lost)),
        // A primary that does not write either may be none any more: the way of writes finds out.
        Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _) => Verdict::Clear(Next::Misrouted),
        Error::DatabaseError(DatabaseErrorKind::SerializationFailure, _) if on_replica => {
            Verdict::Clear(Next::Elsewhere(Fault::Conflict))
        }
        Error::DatabaseError(DatabaseErrorKind::Unknown, information) => {
            let text = information.message();
            if on_replica && text == CONFLICT {
                return Verdict::Clear(Next::Elsewhere(Fault::Conflict));
            }
            Verdict::IfAlive(if !on_replica || text.starts_with("canceling statement due to") {
                Next::Tell
            } else if error::is_of_a_standby(text) {
                Next::Misrouted
            } else {
                // A table that is not there yet, or simply an error: the primary has the last word.
                Next::Primary
            })
        }
        _ => Verdict::Clear(Next::Tell),
    }
}

/// Whether a replica may refuse this statement for ever: what is not in the tables that it has is told with the place in the
/// text, and comes.
pub(crate) fn may_last(error: &Error) -> bool {
    matches!(error, Error::DatabaseError(_, information) if information.statement_position().is_none())
}
