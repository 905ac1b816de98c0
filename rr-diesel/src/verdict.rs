//! What an error of a read says about what to do next.

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

/// What an error of a read on a node of this role says. SQLSTATE cannot be seen.
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
