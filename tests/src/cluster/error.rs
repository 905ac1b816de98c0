//! What can go wrong with a cluster, told so that the reader knows what to check.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use crate::proxy::LinkEnded;
use crate::wait::WaitError;

/// A cluster or one of its servers did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// No folder with the server programs was found.
    #[error("found no PostgreSQL server programs: {advice}")]
    NoServerPrograms {
        /// What to install.
        advice: &'static str,
    },
    /// A folder was named that does not hold working server programs.
    #[error("{folder} holds no PostgreSQL server programs that run here (initdb, postgres); {advice}")]
    WrongFolder {
        /// The folder.
        folder: String,
        /// What to install.
        advice: &'static str,
    },
    /// The server programs are too old.
    #[error("{folder} holds {version}, and {oldest} or newer is needed; {advice}")]
    OldServerPrograms {
        /// The folder.
        folder: String,
        /// What they say that they are.
        version: String,
        /// The major version from which on they will do.
        oldest: u32,
        /// What to install.
        advice: &'static str,
    },
    /// No account is allowed to run the server programs.
    #[error(
        "PostgreSQL refuses to run as root, and no other account can run {program}: \
         check that postgres or nobody may read it and write into {folder}"
    )]
    NoAccount {
        /// The program that could not be run.
        program: String,
        /// The folder the servers would live in.
        folder: String,
    },
    /// The cluster's folder could not be made.
    #[error("cannot make the folder {folder}: check that the server account may write there")]
    NoFolder {
        /// The folder.
        folder: String,
    },
    /// A file, a process or a socket could not be handled.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A program ended with a failure.
    #[error("{program} failed with {status}: {output}")]
    Program {
        /// The program's path.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        output: String,
    },
    /// A server ended while it was starting.
    #[error("{node} ended with {status} while starting; the end of its log:\n{log}")]
    StartFailed {
        /// The server's name.
        node: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// A server runs but accepts no connection.
    #[error("{node} accepted no connection within {within:?}; the end of its log:\n{log}")]
    NotReady {
        /// The server's name.
        node: String,
        /// How long it was waited for.
        within: Duration,
        /// The end of its log.
        log: String,
    },
    /// A port that was free a moment ago is used by another process, again and again.
    #[error("{node} found every port it tried in use by another process")]
    NoFreePort {
        /// The server's name.
        node: String,
    },
    /// The server is already running.
    #[error("{node} is running; stop it first")]
    Running {
        /// The server's name.
        node: String,
    },
    /// The server is not running.
    #[error("{node} is not running; start it first")]
    NotRunning {
        /// The server's name.
        node: String,
    },
    /// The server does not follow another.
    #[error("{node} has no upstream; only a standby can do this")]
    NoUpstream {
        /// The server's name.
        node: String,
    },
    /// There is no server of that name.
    #[error("no node is called {name:?}; there are {known:?}")]
    UnknownNode {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// Connecting took too long.
    #[error("{node} did not complete the handshake within {within:?}")]
    ConnectTimeout {
        /// The server's name.
        node: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// The server answered a statement with an error, or the connection failed.
    #[error("{node}: {}", plainly(.source))]
    Sql {
        /// The server's name.
        node: String,
        /// What the driver said.
        source: tokio_postgres::Error,
    },
    /// A statement that was to give one value gave none.
    #[error("{node} gave no value for: {sql}")]
    NoValue {
        /// The server's name.
        node: String,
        /// The statement.
        sql: String,
    },
    /// Something awaited did not happen.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// The network of the cluster has been taken down.
    #[error(transparent)]
    LinkEnded(#[from] LinkEnded),
}

impl ClusterError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// The driver's own text for an error of the server is just "db error".
fn plainly(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string)
}

/// The result of every operation on a cluster.
pub type Result<T> = std::result::Result<T, ClusterError>;
