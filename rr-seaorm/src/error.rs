//! Errors of routing as SeaORM's errors, and what SeaORM's errors say about a node.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rr_core::OutcomeUnknown;
use rr_core::adapter::Ended;
use rr_core::engine::{Fault, postgres};
use rr_core::retry::Trouble;
use rr_core::route::{Outcome, RouteError};
use rr_core::sql::{Dialect, is_atomic};
use rr_core::topology::Role;
use sea_orm::sqlx;
use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr};

/// What rr adds to SeaORM's errors. It is found in one with [`routing_error`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RoutingError {
    /// No node may serve.
    #[error("{error}{}", reasons(.troubles))]
    NoRoute {
        /// Why each node was refused.
        #[source]
        error: RouteError,
        /// Why nodes cannot be connected to, as far as that is known.
        troubles: String,
    },
    /// A node has gone while a connection to it was waited for.
    #[error("`{node}` went away while a connection to it was waited for; check the server{}", reasons(.troubles))]
    Gone {
        /// The node.
        node: String,
        /// Why nodes cannot be connected to, as far as that is known.
        troubles: String,
    },
    /// A connection to a node could not be opened in time.
    #[error(
        "`{node}` could not be connected to within {limit:?} (`connect_timeout`); check the server and the network"
    )]
    Unreached {
        /// The node.
        node: String,
        /// The limit.
        limit: Duration,
    },
    /// A node did not answer in time, and the statement was given up.
    #[error("`{node}` did not answer within {limit:?} (`statement_timeout`); the statement was given up")]
    TooSlow {
        /// The node.
        node: String,
        /// The limit.
        limit: Duration,
    },
    /// A handle that [only reads](crate::RoutedConnection::read_only) was asked to write. Nothing was sent.
    #[error("this handle only reads, and the statement writes or may write; use one that is not `read_only`")]
    ReadOnly,
    /// A read-only transaction that a replica serves asked for an advisory lock, which would keep out nobody who asks the primary
    /// for it. Nothing was sent.
    #[error(
        "an advisory lock on `{node}`, a replica, would not be one on the primary; begin the transaction with `use_primary()`"
    )]
    LockOnReplica {
        /// The node.
        node: String,
    },
    /// A transaction was begun on a server that is the primary no more. Nothing was sent.
    #[error("`{node}` is the primary no more, and nothing was sent to it: run the transaction again")]
    Deposed {
        /// The node.
        node: String,
    },
    /// The begin or the end of a savepoint of this transaction failed or was dropped half-way. Nothing of the transaction is
    /// kept.
    #[error(
        "a savepoint of this transaction failed half-way, and nothing of the transaction is kept: run it again"
    )]
    Torn,
    /// A write was sent, and its connection was lost before the server answered.
    #[error("{unknown} ({error})")]
    OutcomeUnknown {
        /// What is known of it, for [`Router::resolve`](rr_core::Router::resolve).
        unknown: OutcomeUnknown,
        /// The driver's error.
        #[source]
        error: DbErr,
    },
}

fn reasons(troubles: &str) -> String {
    if troubles.is_empty() { String::new() } else { format!(" ({troubles})") }
}

/// What rr says in an error of SeaORM; `None` where it is the database's or the driver's own.
///
/// ```
/// # use sea_orm::DbErr;
/// use rr_seaorm::{RoutingError, routing_error};
///
/// fn must_be_checked(error: &DbErr) -> bool {
///     matches!(routing_error(error), Some(RoutingError::OutcomeUnknown { .. })) // or outcome_unknown(error)
/// }
/// # assert!(!must_be_checked(&DbErr::RecordNotInserted));
/// ```
#[must_use]
pub fn routing_error(error: &DbErr) -> Option<&RoutingError> {
    let (DbErr::Conn(error) | DbErr::Exec(error) | DbErr::Query(error)) = error else { return None };
    let RuntimeErr::SqlxError(error) = error else { return None };
    match &**error {
        sqlx::Error::Io(error) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

fn io(kind: io::ErrorKind, error: RoutingError) -> RuntimeErr {
    RuntimeErr::SqlxError(Arc::new(sqlx::Error::Io(io::Error::new(kind, error))))
}

/// No node may serve; why they cannot be connected to is often the reason.
pub(crate) fn no_route(error: RouteError, troubles: String) -> DbErr {
    DbErr::Conn(io(io::ErrorKind::NotConnected, RoutingError::NoRoute { error, troubles }))
}

/// No primary was found in time. Where there is one that could not be connected to, `refusal` says why.
pub(crate) fn no_primary(
    error: RouteError,
    refusal: Option<DbErr>,
    troubles: impl FnOnce() -> String,
) -> DbErr {
    match (error, refusal) {
        (RouteError::PrimaryUnreachable { .. }, Some(refusal)) => refusal,
        (error @ RouteError::WriteQueueFull { .. }, _) => no_route(error, String::new()),
        (error, _) => no_route(error, troubles()),
    }
}

pub(crate) fn gone(node: &str, troubles: String) -> DbErr {
    DbErr::Conn(io(io::ErrorKind::NotConnected, RoutingError::Gone { node: node.to_owned(), troubles }))
}

pub(crate) fn unreached(node: &str, limit: Duration) -> DbErr {
    DbErr::Conn(io(io::ErrorKind::TimedOut, RoutingError::Unreached { node: node.to_owned(), limit }))
}

pub(crate) fn too_slow(node: &str, limit: Duration) -> DbErr {
    DbErr::Query(io(io::ErrorKind::TimedOut, RoutingError::TooSlow { node: node.to_owned(), limit }))
}

pub(crate) fn reads_only() -> DbErr {
    DbErr::Exec(io(io::ErrorKind::PermissionDenied, RoutingError::ReadOnly))
}

pub(crate) fn lock_on_replica(node: &str) -> DbErr {
    DbErr::Exec(io(io::ErrorKind::PermissionDenied, RoutingError::LockOnReplica { node: node.to_owned() }))
}

pub(crate) fn deposed(node: &str) -> DbErr {
    DbErr::Exec(io(io::ErrorKind::PermissionDenied, RoutingError::Deposed { node: node.to_owned() }))
}

pub(crate) fn torn() -> DbErr {
    DbErr::Exec(io(io::ErrorKind::PermissionDenied, RoutingError::Torn))
}

/// Whether a savepoint was begun and something about it was refused: then it alone is undone.
pub(crate) fn is_of_a_subtransaction(error: &DbErr) -> bool {
    word(error) == "25001"
}

pub(crate) fn not_answered(unknown: OutcomeUnknown, error: DbErr) -> DbErr {
    DbErr::Query(io(io::ErrorKind::ConnectionAborted, RoutingError::OutcomeUnknown { unknown, error }))
}

/// What an error says of a write that was sent and not answered; `None` for every other error.
#[must_use]
pub fn outcome_unknown(error: &DbErr) -> Option<&OutcomeUnknown> {
    match routing_error(error) {
        Some(RoutingError::OutcomeUnknown { unknown, .. }) => Some(unknown),
        _ => None,
    }
}

/// Why a transaction that met this error may be run again.
pub(crate) fn trouble(error: &DbErr) -> Option<Trouble> {
    match routing_error(error) {
        Some(RoutingError::Deposed { .. }) => return Some(Trouble::Demoted),
        Some(RoutingError::Torn) => return Some(Trouble::Torn),
        // There may be one later.
        Some(RoutingError::NoRoute { .. }) => return Some(Trouble::Lost),
        _ => {}
    }
    if let DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) = error
        && let sqlx::Error::Database(error) = &**error
        && error.code().is_some_and(|code| matches!(&*code, "40001" | "40P01"))
    {
        return Some(Trouble::Conflict);
    }
    match fault(error, Role::Primary)? {
        Fault::ReadOnly => Some(Trouble::Demoted),
        Fault::Lost | Fault::ShuttingDown | Fault::Timeout => Some(Trouble::Lost),
        _ => None,
    }
}

/// The settings cannot be used. SeaORM's errors have no source: the causes are told with the error.
pub(crate) fn bad_settings(error: impl StdError + Send + Sync + 'static) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(Arc::new(sqlx::Error::Configuration(Box::new(WithCauses(error))))))
}

#[derive(Debug)]
struct WithCauses<E>(E);

impl<E: StdError> fmt::Display for WithCauses<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut causes =
            std::iter::successors(self.0.source(), |cause: &&(dyn StdError + 'static)| (*cause).source());
        causes.try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl<E: StdError + 'static> StdError for WithCauses<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

pub(crate) fn bad_url() -> DbErr {
    bad_settings(super::ConnectorError::Url)
}

pub(crate) fn exec(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(error.into()))
}

pub(crate) fn query(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

/// As SeaORM says that there is no connection.
pub(crate) fn acquire(error: sqlx::Error) -> DbErr {
    match error {
        sqlx::Error::PoolTimedOut => exhausted(),
        sqlx::Error::PoolClosed => DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed),
        error => DbErr::Conn(RuntimeErr::SqlxError(error.into())),
    }
}

/// All connections of a node's pool were in use for too long: as SeaORM says it, whose users know that.
pub(crate) const fn exhausted() -> DbErr {
    DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)
}

/// What an error of SeaORM says about the node that it came from; `None` when it says nothing about it.
#[must_use]
pub fn fault(error: &DbErr, role: Role) -> Option<Fault> {
    match error {
        error if is_of_no_node(error) => None,
        // Its connections are all in use. Whether it can be connected to at all is the monitor's to find out.
        DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => Some(Fault::Overloaded),
        DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed) => Some(Fault::Lost),
        DbErr::Conn(error) => connect_fault(error, role),
        DbErr::Exec(error) | DbErr::Query(error) => driver_fault(error, role),
        _ => None,
    }
}

/// Said by the handle: no node was asked.
fn is_of_no_node(error: &DbErr) -> bool {
    matches!(
        routing_error(error),
        Some(
            RoutingError::NoRoute { .. }
                | RoutingError::ReadOnly
                | RoutingError::LockOnReplica { .. }
                | RoutingError::Deposed { .. }
                | RoutingError::Torn
        )
    )
}

/// A server that says why it does not let us in says so to everybody: that is no fault of the node. Anything else that
/// keeps us from connecting is one.
fn connect_fault(error: &RuntimeErr, role: Role) -> Option<Fault> {
    let fault = driver_fault(error, role);
    match error {
        RuntimeErr::SqlxError(error)
            if matches!(**error, sqlx::Error::Database(_)) && role == Role::Primary =>
        {
            fault
        }
        _ => Some(fault.unwrap_or(Fault::Refused)),
    }
}

fn driver_fault(error: &RuntimeErr, role: Role) -> Option<Fault> {
    let RuntimeErr::SqlxError(error) = error else { return None };
    match &**error {
        sqlx::Error::Database(error) => {
            error.code().and_then(|code| postgres::fault_of_sqlstate(&code, role == Role::Replica))
        }
        sqlx::Error::Io(error) => Some(match error.kind() {
            io::ErrorKind::ConnectionRefused => Fault::Refused,
            io::ErrorKind::TimedOut => Fault::Timeout,
            _ => Fault::Lost,
        }),
        sqlx::Error::PoolTimedOut => Some(Fault::Overloaded),
        sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Some(Fault::Lost),
        _ => None,
    }
}

/// Whether an error leaves open what became of the statement: the server did not say.
pub(crate) fn is_lost(error: &DbErr) -> bool {
    let (DbErr::Conn(error) | DbErr::Exec(error) | DbErr::Query(error)) = error else { return false };
    let RuntimeErr::SqlxError(error) = error else { return false };
    match &**error {
        // The server ends the connection in the middle of whatever it was doing.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            matches!(&*code, "57P01" | "57P02" | "57P03" | "57P05") || code.starts_with("08")
        }),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // What was read could not be understood; the statement itself was run.
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::TypeNotFound { .. } => true,
        _ => false,
    }
}

/// Whether nobody knows what became of a write that met this error. What was read could not be understood, was done.
pub(crate) fn is_unanswered(error: &DbErr) -> bool {
    let undecoded = match error {
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => matches!(
            **error,
            sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::TypeNotFound { .. }
        ),
        _ => false,
    };
    let unconnected =
        matches!(routing_error(error), Some(RoutingError::Gone { .. } | RoutingError::Unreached { .. }));
    is_lost(error) && !undecoded && !unconnected && !is_of_no_node(error)
}

/// Whether a statement was given up because it took too long.
pub(crate) fn is_too_slow(error: &DbErr) -> bool {
    matches!(routing_error(error), Some(RoutingError::TooSlow { .. }))
}

/// How a commit ended.
pub(crate) fn ended(error: Option<&DbErr>) -> Ended {
    match error {
        None => Ended::Done,
        Some(error) if is_lost(error) => Ended::Unknown,
        Some(_) => Ended::Refused,
    }
}

/// How a write with this text ended. What fails may have committed on its way, unless it does all or nothing.
pub(crate) fn ended_with(error: Option<&DbErr>, sql: &str) -> Ended {
    match ended(error) {
        Ended::Refused if !is_atomic(sql, Dialect::Postgres) => Ended::Unknown,
        ended => ended,
    }
}

/// What kind of error it is, for spans: an SQLSTATE where the server has said one.
pub(crate) fn word(error: &DbErr) -> Cow<'_, str> {
    let (DbErr::Conn(error) | DbErr::Exec(error) | DbErr::Query(error)) = error else {
        return "other".into();
    };
    let RuntimeErr::SqlxError(error) = error else { return "other".into() };
    match &**error {
        sqlx::Error::Database(error) => error.code().unwrap_or_else(|| "database_error".into()),
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => "closed_connection".into(),
        _ => "other".into(),
    }
}

/// What an error that reached the application says about its node.
pub(crate) fn outcome(error: &DbErr, role: Role) -> Outcome {
    fault(error, role).map_or(Outcome::Answered, Outcome::Failed)
}

#[cfg(test)]
mod tests;
