//! What can be wrong with a configuration. Every error names the key and says what to write instead.

use std::fmt;
use std::path::PathBuf;

use super::url::UrlError;

/// One thing that is wrong. Never holds a secret.
///
/// A `key` is the path as in the file (`replicas[1].weight`, counted from 0), or the environment variable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The name of the file does not tell its format.
    #[error("cannot tell the format of {}; name it .toml or .json", path.display())]
    Extension {
        /// The file.
        path: PathBuf,
    },
    /// The text is not in its format, has an unknown key, or a value of the wrong kind.
    #[error("{format} line {line}, column {column}: {}{message}", Prefix(key))]
    Parse {
        /// TOML or JSON.
        format: Format,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// The innermost key that is known, or empty.
        key: String,
        /// What is wrong there.
        message: String,
    },
    /// An environment variable that begins like ours and is none.
    #[error("{name}: is not a variable of rr; {}", DidYouMean(closest))]
    UnknownVariable {
        /// The variable.
        name: String,
        /// The most similar one that exists.
        closest: Option<String>,
    },
    /// An environment variable with a value that does not fit.
    #[error("{name}: {message}")]
    Variable {
        /// The variable.
        name: String,
        /// What is wrong with it.
        message: String,
    },
    /// The replicas are given in two ways.
    #[error(
        "RR_REPLICA_URLS: is set together with {other}; use the list or the numbered variables, not both"
    )]
    TwoReplicaLists {
        /// A numbered variable.
        other: String,
    },
    /// Settings for a replica that nobody knows.
    #[error("{missing}: is missing; {given} speaks of a replica that is not in the file")]
    NoSuchReplica {
        /// The variable to set.
        missing: String,
        /// The one that is set.
        given: String,
    },
    /// No primary was given.
    #[error("primary.url: is missing; set it in the file, or set RR_PRIMARY_URL or DATABASE_URL")]
    MissingPrimary,
    /// A replica without a URL.
    #[error("{key}: is missing; set it, or remove the replica")]
    MissingUrl {
        /// Where it should stand.
        key: String,
    },
    /// A URL that cannot be used.
    #[error("{key}: {source}")]
    Url {
        /// Where it stands.
        key: String,
        /// Why.
        source: UrlError,
    },
    /// A URL that was printed and read back.
    #[error(
        "{key}: the password is ***, which stands for a hidden one in printed settings; write the real one"
    )]
    HiddenPassword {
        /// Where it stands.
        key: String,
    },
    /// A secret that was printed and read back.
    #[error("{key}: is ***, which stands for a hidden secret in printed settings; write the real one")]
    HiddenKey {
        /// Where it stands.
        key: String,
    },
    /// A key that can be guessed.
    #[error(
        "{key}: is too short; use at least {least} random characters, such as `openssl rand -base64 32` prints"
    )]
    WeakKey {
        /// Where it stands.
        key: String,
        /// The shortest that is accepted.
        least: usize,
    },
    /// Nodes of different engines.
    #[error(
        "{key}: is a server of {engine}, but the primary is one of {primary}; all nodes need the same engine"
    )]
    MixedEngines {
        /// The node that differs.
        key: String,
        /// Its engine.
        engine: &'static str,
        /// The primary's engine.
        primary: &'static str,
    },
    /// More nodes than a snapshot can hold.
    #[error("replicas: there are {nodes} nodes with the primary; at most {max} are possible")]
    TooManyNodes {
        /// Primary and replicas.
        nodes: usize,
        /// The limit.
        max: usize,
    },
    /// The same name, region or group twice.
    #[error("{key}: is the same as {first}; make it different, or remove it")]
    Duplicate {
        /// The second one.
        key: String,
        /// The first one.
        first: String,
    },
    /// The same server twice.
    #[error("{key}: {endpoint} is already {first}; remove one of the two")]
    SameServer {
        /// The second one.
        key: String,
        /// Host and port.
        endpoint: String,
        /// The first one.
        first: String,
    },
    /// The primary as its own replica.
    #[error(
        "{key}: {endpoint} is the primary itself; remove the replica, or set allow_primary_as_replica = true to try routing with one server"
    )]
    PrimaryAsReplica {
        /// The replica.
        key: String,
        /// Host and port.
        endpoint: String,
    },
    /// A name that cannot be used in logs and metrics.
    #[error("{key}: a name must not be empty, begin or end with a blank, or contain control characters")]
    Name {
        /// Where it stands.
        key: String,
    },
    /// A zero that makes no sense.
    #[error("{key}: 0 {instead}")]
    Zero {
        /// Where it stands.
        key: String,
        /// What it would do, and what to write.
        instead: &'static str,
    },
    /// A value outside of its range.
    #[error("{key}: {value} is out of range; use {low} to {high}")]
    OutOfRange {
        /// Where it stands.
        key: String,
        /// What stands there.
        value: String,
        /// The smallest that is allowed.
        low: String,
        /// The largest that is allowed.
        high: String,
    },
    /// Two values in the wrong order.
    #[error("{key}: {value} must be {relation} {other} ({other_value})")]
    Order {
        /// Where the first stands.
        key: String,
        /// What stands there.
        value: String,
        /// For example `at most`.
        relation: &'static str,
        /// Where the second stands.
        other: String,
        /// What stands there.
        other_value: String,
    },
    /// A key that makes no sense without another one.
    #[error("{key}: needs {other} as well; set both or none")]
    Needs {
        /// The key that is set.
        key: String,
        /// The key that is missing.
        other: String,
    },
    /// Certificates for connections that are not encrypted.
    #[error("{key}: is of no use with {mode} = \"disable\"; remove it, or demand TLS by another mode")]
    UnusedCertificate {
        /// The certificate or key.
        key: String,
        /// The key of the mode.
        mode: String,
    },
    /// A group with rules and no members.
    #[error("{key}: no node belongs to this group; add it to the `groups` of a node, or remove it")]
    EmptyGroup {
        /// The group.
        key: String,
    },
    /// A key of a notifier that is missing, too much, or unusable.
    #[error("{key}: {what}")]
    Notifier {
        /// Where it stands, or should stand.
        key: String,
        /// What is wrong, and what to write.
        what: &'static str,
    },
    /// A kind of notice that there is not.
    #[error("{key}: is no kind of notice; use {known}")]
    NoticeKind {
        /// Where it stands.
        key: String,
        /// Those that there are.
        known: String,
    },
    /// A rule for hosts that is none.
    #[error(
        "{key}: is no rule for hosts; write the name of a host with {{application_name}} or {{client_addr}} in it, such as \
         \"{{application_name}}.db.internal\", and no port"
    )]
    HostRule {
        /// Where it stands.
        key: String,
    },
    /// A host that is none.
    #[error("{key}: is not the name of a host; write it without scheme and port")]
    HostName {
        /// Where it stands.
        key: String,
    },
    /// A database that does not know its standbys.
    #[error("{key}: \"replication\" asks a PostgreSQL server, but the primary is one of {engine}")]
    NoReplication {
        /// Where it stands.
        key: String,
        /// The primary's engine.
        engine: &'static str,
    },
    /// Something that was not compiled in.
    #[error("{key}: needs the feature `{feature}` of the crate")]
    NoFeature {
        /// Where it stands.
        key: String,
        /// The feature.
        feature: &'static str,
    },
    /// The own region as a distant one.
    #[error("{key}: is this application's own region, which is always the nearest; remove it here")]
    OwnRegion {
        /// Its place in the list.
        key: String,
    },
}

/// The formats of a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// TOML 1.
    Toml,
    /// JSON.
    Json,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Toml => "TOML",
            Self::Json => "JSON",
        })
    }
}

struct Prefix<'a>(&'a str);

impl fmt::Display for Prefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "{}: ", self.0) }
    }
}

struct DidYouMean<'a>(&'a Option<String>);

impl fmt::Display for DidYouMean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, "did you mean {name}?"),
            None => f.write_str("remove it, or name it RR_TEST_… if it is your own"),
        }
    }
}

/// Everything that is wrong with a configuration, one per line. Never empty.
#[derive(Debug)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The single errors.
    #[must_use]
    pub fn errors(&self) -> &[ConfigError] {
        &self.0
    }

    /// `Ok` when there are none.
    pub(super) fn check(errors: Vec<ConfigError>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, error) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl IntoIterator for ConfigErrors {
    type Item = ConfigError;
    type IntoIter = std::vec::IntoIter<ConfigError>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
