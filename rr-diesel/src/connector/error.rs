//! Why there is no connection to a node.

use std::path::PathBuf;
use std::time::Duration;

use rr_core::engine::Fault;
use rr_core::engine::postgres::fault_of_sqlstate;
use rr_core::topology::Role;

/// There is no connection to a node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL has something that the driver cannot use.
    #[error("the URL cannot be used; check its parameters")]
    Url(#[source] tokio_postgres::Error),
    /// A certificate or key file cannot be read.
    #[error("cannot read {}: {why}", file.display())]
    Certificate {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There are no trusted authorities to check the server against.
    #[error("there are no trusted authorities to check the server with ({0}); set `tls.root_cert`")]
    Authorities(String),
    /// The certificates cannot be used together.
    #[error("the TLS settings cannot be used: {0}")]
    Tls(#[source] rustls::Error),
    /// The application's own hook failed.
    #[error("the hook before connecting failed: {0}")]
    Hook(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server refused, or cannot be reached.
    #[error("cannot connect: {}", chain(.0))]
    Refused(#[source] tokio_postgres::Error),
    /// Diesel's own connection could not be established.
    #[error("cannot connect: {0}")]
    Driver(#[source] diesel::ConnectionError),
    /// The server did not finish the handshake in time.
    #[error("no connection within {0:?} (`connect_timeout`)")]
    Slow(Duration),
    /// The session could not be set up after connecting.
    #[error("cannot set up the session: {0}")]
    SetUp(#[source] diesel::ConnectionError),
    /// All connections of the pool were in use for too long.
    #[error(
        "no connection of the pool became free within {0:?}; raise the pool's `max` or `checkout_timeout`"
    )]
    Exhausted(Duration),
    /// A statement of the monitor failed.
    #[error("{}", chain(.0))]
    Run(#[source] tokio_postgres::Error),
    /// A statement of the monitor returned no row.
    #[error("the server returned no row")]
    NoRow,
}

impl ConnectError {
    /// Whether the pool had no connection to spare.
    pub(crate) const fn is_exhausted(&self) -> bool {
        matches!(self, Self::Exhausted(_))
    }

    /// What this says about the node.
    pub(crate) fn fault(&self, role: Role) -> Option<Fault> {
        match self {
            Self::Url(_) | Self::Certificate { .. } | Self::Authorities(_) | Self::Tls(_) | Self::Hook(_) => {
                None
            }
            Self::Refused(error) => match error.code() {
                Some(code) => fault_of_sqlstate(code.code(), role == Role::Replica),
                None => Some(Fault::Refused),
            },
            Self::Driver(error) => fault_of_text(&error.to_string()),
            Self::SetUp(_) => Some(Fault::Lost),
            Self::Slow(_) => Some(Fault::Timeout),
            Self::Exhausted(_) => Some(Fault::Overloaded),
            Self::Run(error) => match error.code() {
                Some(code) => fault_of_sqlstate(code.code(), role == Role::Replica),
                None => Some(Fault::Lost),
            },
            Self::NoRow => Some(Fault::Lost),
        }
    }
}

/// What libpq's text says, which is all that it gives. A server that answers in another language counts as one that
/// refuses for a while.
fn fault_of_text(text: &str) -> Option<Fault> {
    if text.contains("too many") || text.contains("connection slots") {
        return Some(Fault::Overloaded);
    }
    if text.contains("FATAL:") && !text.contains("the database system is") {
        // A wrong password, a database that does not exist: no different later.
        return None;
    }
    Some(Fault::Refused)
}

/// An error with its causes: the driver's own text says only where it failed.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
