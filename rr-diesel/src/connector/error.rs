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

/// What a server is not going to say otherwise later: a wrong password, a database that does not exist.
const FINAL: [&str; 10] = [
    "authentication failed",
    "does not exist",
    // Not translated, as the name of a file.
    "pg_hba.conf",
    "permission denied",
    "is not permitted",
    "is not currently accepting",
    "client certificate",
    "configuration parameter",
    "invalid value",
    "no such",
];

/// What libpq's text says, which is all that it gives. A server that answers in another language counts as one that
/// refuses for a while.
fn fault_of_text(text: &str) -> Option<Fault> {
    if text.contains("too many") || text.contains("connection slots") {
        return Some(Fault::Overloaded);
    }
    let is_final = text.contains("FATAL:") && FINAL.iter().any(|own| text.contains(own));
    if is_final { None } else { Some(Fault::Refused) }
}

/// An error with its causes: the driver's own text says only where it failed.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libpq_says_is_final_only_where_it_is_understood() {
        let at = "connection to server at \"db-1\" (10.0.0.1), port 5432 failed: ";
        for (text, fault) in [
            ("FATAL:  password authentication failed for user \"app\"", None),
            ("FATAL:  database \"shop\" does not exist", None),
            ("FATAL:  no pg_hba.conf entry for host \"10.0.0.1\"", None),
            ("FATAL:  kein pg_hba.conf-Eintrag für Host »10.0.0.1«", None),
            ("FATAL:  sorry, too many clients already", Some(Fault::Overloaded)),
            ("FATAL:  the database system is starting up", Some(Fault::Refused)),
            ("FATAL:  das Datenbanksystem startet", Some(Fault::Refused)),
            ("ВАЖНО:  система баз данных запускается", Some(Fault::Refused)),
            ("Connection refused", Some(Fault::Refused)),
        ] {
            assert_eq!(fault_of_text(&format!("{at}{text}")), fault, "{text}");
        }
    }
}
