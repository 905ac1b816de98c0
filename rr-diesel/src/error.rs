//! Errors of routing as Diesel's errors, and what Diesel's errors say about a node.

use std::borrow::Cow;

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error};
use rr_core::OutcomeUnknown;
use rr_core::adapter::Ended;
use rr_core::engine::Fault;
use rr_core::retry::Trouble;
use rr_core::route::{Outcome, RouteError};
use rr_core::sql::{Dialect, is_atomic};

use crate::connector::ConnectError;

/// No connection: what diesel-async says when a connection is gone.
fn unreachable(text: String) -> Error {
    Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand, Box::new(text))
}

/// No node may serve; why they cannot be connected to is often the reason.
pub(crate) fn no_route(error: &RouteError, troubles: &str) -> Error {
    if troubles.is_empty() {
        unreachable(error.to_string())
    } else {
        unreachable(format!("{error} ({troubles})"))
    }
}

/// No primary was found in time. Where there is one that could not be connected to, `refusal` says why.
pub(crate) fn no_primary(
    error: &RouteError,
    refusal: Option<Error>,
    troubles: impl FnOnce() -> String,
) -> Error {
    match (error, refusal) {
        (RouteError::PrimaryUnreachable { .. }, Some(refusal)) => refusal,
        (RouteError::WriteQueueFull { .. }, _) => no_route(error, ""),
        _ => no_route(error, &troubles()),
    }
}

pub(crate) fn no_connection(node: &str, error: &ConnectError) -> Error {
    let message = format!("`{node}`: {error}");
    if !error.is_exhausted() {
        return unreachable(message);
    }
    let hint = "`rr_diesel::is_checkout_timeout` recognises this error";
    Error::DatabaseError(
        DatabaseErrorKind::UnableToSendCommand,
        Box::new(Told { message, details: EXHAUSTED.into(), hint }),
    )
}

/// By which [`is_checkout_timeout`] knows it.
const EXHAUSTED: &str = "rr: no connection of the pool became free in time";

/// Whether a statement got no connection because all of its pool were in use for too long (`pool.<role>.checkout_timeout`).
/// Nothing was sent: what an overloaded application answers with 503 rather than 500.
///
/// ```
/// use diesel::result::Error;
///
/// # fn respond(error: &Error) -> u16 {
/// if rr_diesel::is_checkout_timeout(error) { 503 } else { 500 }
/// # }
/// # assert_eq!(respond(&Error::NotFound), 500);
/// ```
#[must_use]
pub fn is_checkout_timeout(error: &Error) -> bool {
    matches!(error, Error::DatabaseError(_, information) if information.details() == Some(EXHAUSTED))
}

pub(crate) fn too_slow(node: &str, limit: std::time::Duration) -> Error {
    unreachable(format!(
        "`{node}` did not answer within {limit:?} (`statement_timeout`); the statement was given up"
    ))
}

/// A handle keeps a connection to a server that is the primary no more. Nothing was sent.
pub(crate) fn deposed(node: &str) -> Error {
    let text = format!(
        "`{node}` is the primary no more, and nothing was sent to it: run the transaction again, or give up what the \
         handle keeps there (`reset_session`)"
    );
    Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, Box::new(text))
}

/// A transaction that only reads asks a replica for a lock. Nothing was sent.
pub(crate) fn lock_on_replica() -> Error {
    let text = "an advisory lock on a replica would not be one on the primary, and was not asked for: begin the transaction \
                where locks are (`read_write()`, or `use_primary()`)";
    Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new(text.to_owned()))
}

/// The primary's connection is asked for within a transaction on a replica. Nothing was sent.
pub(crate) fn primary_on_replica() -> Error {
    let text = "this handle is in a transaction on a replica, and has no connection to the primary before that has ended: begin \
                the transaction there (`read_write()`, or `use_primary()`)";
    Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, Box::new(text.to_owned()))
}

/// Something that we say in an error of Diesel's.
struct Told {
    message: String,
    /// All of it, to be recognised by: these errors have no room for a type.
    details: Cow<'static, str>,
    /// What recognises it.
    hint: &'static str,
}

impl DatabaseErrorInformation for Told {
    fn message(&self) -> &str {
        &self.message
    }

    fn details(&self) -> Option<&str> {
        Some(&self.details)
    }

    fn hint(&self) -> Option<&str> {
        Some(self.hint)
    }

    fn table_name(&self) -> Option<&str> {
        None
    }

    fn column_name(&self) -> Option<&str> {
        None
    }

    fn constraint_name(&self) -> Option<&str> {
        None
    }

    fn statement_position(&self) -> Option<i32> {
        None
    }
}

/// As the error of a lost connection, which it is as well.
pub(crate) fn not_answered(unknown: &OutcomeUnknown, error: &Error) -> Error {
    let (message, details) = (format!("{unknown} ({error})"), unknown.to_text().into());
    let information = Told { message, details, hint: "`rr_diesel::outcome_unknown` recognises this error" };
    Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(information))
}

/// What kind of error it is, in one of few words: for spans.
pub(crate) const fn word(error: &Error) -> &'static str {
    match error {
        Error::DatabaseError(kind, _) => match kind {
            DatabaseErrorKind::UniqueViolation => "unique_violation",
            DatabaseErrorKind::ForeignKeyViolation => "foreign_key_violation",
            DatabaseErrorKind::UnableToSendCommand => "unable_to_send_command",
            DatabaseErrorKind::SerializationFailure => "serialization_failure",
            DatabaseErrorKind::ReadOnlyTransaction => "read_only_transaction",
            DatabaseErrorKind::NotNullViolation => "not_null_violation",
            DatabaseErrorKind::CheckViolation => "check_violation",
            DatabaseErrorKind::RestrictViolation => "restrict_violation",
            DatabaseErrorKind::ExclusionViolation => "exclusion_violation",
            DatabaseErrorKind::ClosedConnection => "closed_connection",
            _ => "database_error",
        },
        Error::QueryBuilderError(_) => "query_builder_error",
        Error::DeserializationError(_) => "deserialization_error",
        Error::SerializationError(_) => "serialization_error",
        _ => "other",
    }
}

/// What an error says of a write that was sent and not answered; `None` for every other error.
///
/// ```
/// use diesel::result::Error;
///
/// fn must_be_checked(error: &Error) -> bool {
///     rr_diesel::outcome_unknown(error).is_some()
/// }
/// # assert!(!must_be_checked(&Error::NotFound));
/// ```
#[must_use]
pub fn outcome_unknown(error: &Error) -> Option<OutcomeUnknown> {
    match error {
        Error::DatabaseError(DatabaseErrorKind::ClosedConnection, information) => {
            information.details()?.parse().ok()
        }
        _ => None,
    }
}

/// Whether the connection was gone when a transaction was to be committed.
pub(crate) fn is_lost_at_commit(error: &Error) -> bool {
    match error {
        Error::RollbackErrorOnCommit { commit_error, .. } => is_lost(commit_error),
        error => is_lost(error),
    }
}

/// Why a transaction that met this error may be run again.
pub(crate) fn trouble(error: &Error) -> Option<Trouble> {
    match error {
        error if is_lost(error) => Some(Trouble::Lost),
        error if refuses_to_write(error) => Some(Trouble::Demoted),
        Error::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => Some(Trouble::Conflict),
        Error::DatabaseError(DatabaseErrorKind::Unknown, information) if is_deadlock(&**information) => {
            Some(Trouble::Conflict)
        }
        Error::RollbackErrorOnCommit { commit_error, .. } => trouble(commit_error),
        _ => None,
    }
}

/// A handle that only reads was asked to write.
pub(crate) fn reads_only() -> Error {
    let text =
        "this handle only reads, and the statement writes or may write; use one that is not `read_only`";
    Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, Box::new(text.to_owned()))
}

/// Whether the connection is gone.
pub(crate) const fn is_lost(error: &Error) -> bool {
    matches!(
        error,
        Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection, _)
    )
}

/// How a commit ended.
pub(crate) const fn ended(error: Option<&Error>) -> Ended {
    match error {
        None => Ended::Done,
        Some(error) if is_lost(error) => Ended::Unknown,
        Some(_) => Ended::Refused,
    }
}

/// How a write with this text ended. What fails may have committed on its way, unless it does all or nothing.
pub(crate) fn ended_with(error: Option<&Error>, sql: &str, dialect: Dialect) -> Ended {
    match ended(error) {
        Ended::Refused if !is_atomic(sql, dialect) => Ended::Unknown,
        ended => ended,
    }
}

/// What an error that reached the application says about its node.
pub(crate) fn outcome(error: &Error) -> Outcome {
    match error {
        error if is_lost(error) => Outcome::Failed(Fault::Lost),
        Error::DatabaseError(DatabaseErrorKind::Unknown, information) if is_last_word(&**information) => {
            Outcome::Failed(Fault::ShuttingDown)
        }
        Error::RollbackErrorOnCommit { commit_error, .. } => outcome(commit_error),
        _ => Outcome::Answered,
    }
}

/// Whether the server ended the connection with it (57P01, of which only the words can be seen).
fn is_last_word(information: &dyn DatabaseErrorInformation) -> bool {
    information.message().starts_with("terminating connection")
}

/// What an error of a write says about its node: a primary that refuses to write may be none any more.
pub(crate) fn write_outcome(error: &Error) -> Outcome {
    if refuses_to_write(error) { Outcome::Failed(Fault::ReadOnly) } else { outcome(error) }
}

/// Whether the server refused to write, as a standby does. Nothing has happened.
pub(crate) fn refuses_to_write(error: &Error) -> bool {
    match error {
        Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _) => true,
        Error::DatabaseError(DatabaseErrorKind::Unknown, information) => {
            is_of_a_standby(information.message())
        }
        _ => false,
    }
}

/// Whether this is about what a standby does not have, such as serializable transactions and unlogged tables.
///
/// SQLSTATE cannot be seen, and servers that speak another language are not understood here.
pub(crate) fn is_of_a_standby(text: &str) -> bool {
    ["hot standby", "during recovery", "recovery is in progress"].iter().any(|own| text.contains(own))
}

/// Whether this is a deadlock. Its details say who waits for whom, in the same order in every language that PostgreSQL
/// speaks: whoever waits is the first number of a line, and whom it waits for the last.
fn is_deadlock(information: &dyn DatabaseErrorInformation) -> bool {
    let circle = || {
        let waits = information.details()?.lines().map(ends).collect::<Option<Vec<_>>>()?;
        let next = waits.iter().cycle().skip(1);
        Some(waits.len() > 1 && waits.iter().zip(next).all(|((_, awaited), (waits, _))| awaited == waits))
    };
    information.message() == "deadlock detected" || circle() == Some(true)
}

/// The first and the last number of a line.
fn ends(line: &str) -> Option<(&str, &str)> {
    let mut numbers = line.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty());
    let first = numbers.next()?;
    numbers.next_back().map(|last| (first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of each of PostgreSQL 15's translations that differs in more than words, and what is no deadlock.
    #[test]
    fn a_deadlock_is_a_circle_in_every_language() {
        let told = |details: String| {
            is_deadlock(&Told { message: "?".to_owned(), details: details.into(), hint: "" })
        };
        for [one, two, end] in [
            ["Process ", " waits for ShareLock on transaction 745; blocked by process ", "."],
            ["Prozess ", " wartet auf ShareLock-Sperre auf Transaktion 745; blockiert von Prozess ", "."],
            [
                "プロセス ",
                " は ShareLock を トランザクション 745 で待機していましたが、プロセス ",
                " でブロックされました",
            ],
            [
                "",
                " 프로세스가 ShareLock 상태로 지연되고 있음(해당 작업: 745); ",
                " 프로세스에 의해 블록킹되었음",
            ],
            ["进程", "等待在关系 16384 的元组 (0,1)上的ExclusiveLock; 由进程", "阻塞."],
        ] {
            let line = |waits: &str, awaited: &str| format!("{one}{waits}{two}{awaited}{end}");
            assert!(told([line("17", "9"), line("9", "17")].join("\n")), "{one}");
            assert!(told([line("17", "9"), line("9", "117"), line("117", "17")].join("\n")), "{one}");
            assert!(!told([line("17", "9"), line("9", "7")].join("\n")), "{one}");
            assert!(!told(line("17", "17")), "one process waits for itself");
        }
        for other in ["", "\n", "Key (id)=(1) already exists.\nKey (id)=(1) already exists."] {
            assert!(!told(other.to_owned()), "{other}");
        }
    }
}
