//! Where a database is, and how that is printed without its secrets.
//!
//! A [`DatabaseUrl`] keeps the text that the driver needs, and everything that may be shown is computed once from
//! the parsed form: the redacted URL and the [`Endpoint`]. `Debug`, `Display` and serialisation only ever show
//! the redacted form. A URL whose parts are ambiguous (an unescaped `/`, `?`, `#` in a password moves the rest
//! of the password into the host, the path or the query) is refused, because its redacted form could leak.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use url::Url;

use super::endpoint::Endpoint;
use super::secret::Secret;
use super::tls::SslMode;
use crate::engine::Engine;

mod place;

/// What is printed in place of a secret.
const MARK: &str = "***";

/// The address of one database, credentials included; prints redacted everywhere.
///
/// `Default` is the unset URL, which [`Config::validate`](super::Config::validate) refuses.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DatabaseUrl {
    text: String,
    parts: Option<Parts>,
}

#[derive(Clone, PartialEq, Eq)]
struct Parts {
    url: Url,
    engine: Engine,
    endpoint: Endpoint,
    ssl_mode: Option<SslMode>,
    redacted: String,
}

/// Why a text is no database URL. Never holds a part of the text in which a secret could be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Nothing but blanks.
    #[error("is empty; write scheme://user:password@host:port/database")]
    Empty,
    /// Not a URL at all.
    #[error(
        "is not a URL ({0}); write scheme://user:password@host:port/database, with %XX for special characters"
    )]
    Malformed(#[from] url::ParseError),
    /// No scheme of a known engine, with its `//`.
    #[error("does not begin with postgres://, mysql://, mariadb:// or sqlite:")]
    NoScheme,
    /// Blanks, line breaks or control characters, also when percent-encoded in the host.
    #[error("contains blanks or control characters; write them as %XX, or remove them")]
    ControlCharacter,
    /// libpq's list of hosts.
    #[error("names several hosts; write one node per host")]
    SeveralHosts,
    /// `#`, which begins a part that no database driver reads.
    #[error("contains `#`; write %23 where it belongs to the user name, password or path")]
    Fragment,
    /// `@` behind the host.
    #[error(
        "contains `@` behind the host; in a user name or password write %2F for `/`, %3F for `?`, %23 for `#`, and elsewhere %40 for `@`"
    )]
    MisplacedAt,
    /// A query parameter that is not `name=value`.
    #[error("has a query parameter whose name is not made of letters, digits, `_`, `-` and `.`")]
    ParameterName,
    /// A port that is no number from 1 to 65535.
    #[error("has a port that is not a number from 1 to 65535")]
    Port,
    /// An `sslmode` that neither PostgreSQL nor MySQL knows.
    #[error("has an unknown sslmode; use disable, prefer, require, verify-ca or verify-full")]
    SslMode,
    /// A host that is no name and no address.
    #[error("has a host that is neither a name (letters, digits, `-`, `_`, `.`) nor an address")]
    HostName,
    /// A place on the network for a database that is a file.
    #[error("is a file's; only a server can be somewhere else")]
    NoServer,
}

impl From<std::convert::Infallible> for UrlError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl DatabaseUrl {
    /// Reads a URL; blanks around it are ignored.
    ///
    /// # Errors
    /// When the text is no URL of a known engine, or ambiguous. The error holds no secret.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(UrlError::Empty);
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(UrlError::ControlCharacter);
        }
        let engine = engine_of(text)?;
        let url = if engine == Engine::Sqlite { Url::parse(text)? } else { parse_server(text)? };
        if url.fragment().is_some() {
            return Err(UrlError::Fragment);
        }
        let name_is_plain =
            |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if url.query_pairs().any(|(name, _)| !name_is_plain(&name)) {
            return Err(UrlError::ParameterName);
        }
        let endpoint = Endpoint::of(&url, engine)?;
        let ssl_mode = match parameter(&url, &["sslmode"]) {
            Some(mode) => Some(SslMode::from_parameter(&mode).ok_or(UrlError::SslMode)?),
            None => None,
        };
        let redacted = redact(&url);
        let parts = Parts { url, engine, endpoint, ssl_mode, redacted };
        Ok(Self { text: text.to_owned(), parts: Some(parts) })
    }

    /// The texts in a list that is separated by commas, as [`Config::overlay_env_for`](super::Config::overlay_env_for) reads
    /// it; a comma inside of a URL is written `%2C`.
    pub fn list(urls: &str) -> impl Iterator<Item = &str> {
        urls.split(',').map(str::trim).filter(|url| !url.is_empty())
    }

    /// The text for the driver, **with the password**. Never print it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Whether no URL was given.
    #[must_use]
    pub const fn is_unset(&self) -> bool {
        self.parts.is_none()
    }

    /// The engine that the scheme names; `None` for the unset URL.
    #[must_use]
    pub fn engine(&self) -> Option<Engine> {
        self.parts.as_ref().map(|parts| parts.engine)
    }

    /// The server; `None` for the unset URL.
    #[must_use]
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.parts.as_ref().map(|parts| &parts.endpoint)
    }

    /// Whether both speak of the same server, whatever their user, database and parameters.
    ///
    /// Names are compared, not addresses: `localhost` and `127.0.0.1` are different here.
    #[must_use]
    pub fn same_server(&self, other: &Self) -> bool {
        self.endpoint().is_some() && self.endpoint() == other.endpoint()
    }

    /// Whether both speak of the same database of the same server, whatever their user and parameters.
    ///
    /// As [`same_server`](Self::same_server), names are compared.
    #[must_use]
    pub fn same_database(&self, other: &Self) -> bool {
        self.same_server(other) && self.same_database_name(other)
    }

    /// Whether both name the same database, on whatever server.
    #[must_use]
    pub fn same_database_name(&self, other: &Self) -> bool {
        self.database().is_some() && self.database() == other.database()
    }

    /// The name of the database, decoded; as in the drivers, it is the user's where there is none.
    fn database(&self) -> Option<String> {
        let url = &self.parts.as_ref()?.url;
        let path = url.path().trim_start_matches('/');
        let name = if path.is_empty() { url.username() } else { path };
        let named = parameter(url, &["dbname"]);
        Some(named.unwrap_or_else(|| percent_decode_str(name).decode_utf8_lossy().into_owned()))
    }

    /// The same database of the same server, as another user.
    pub(crate) fn as_user(&self, user: &str, password: Option<&Secret>) -> Result<Self, UrlError> {
        let database = self.database().unwrap_or_default();
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let start = self.text.find("://").map_or(0, |at| at + 3);
        let end = self.text[start..].find(['/', '?']).map_or(self.text.len(), |at| start + at);
        let (authority, rest) = (&self.text[start..end], &self.text[end..]);
        let host = authority.rsplit('@').next().unwrap_or_default();
        let password = password.map(|password| format!(":{}", encode(password.expose()))).unwrap_or_default();
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        // Without a path the database is the user's.
        let path = if path.len() > 1 { path.to_owned() } else { format!("/{}", encode(&database)) };
        let credential = |pair: &&str| {
            let name = pair.split('=').next().unwrap_or_default();
            !matches!(name.to_ascii_lowercase().as_str(), "user" | "password")
        };
        let query: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).filter(credential).collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        Self::parse(&format!("{}{}{password}@{host}{path}{query}", &self.text[..start], encode(user)))
    }

    /// Whether the password is the mark which replaces a hidden one, as in a printed configuration.
    pub(super) fn has_redacted_password(&self) -> bool {
        self.parts.as_ref().is_some_and(|parts| {
            parts.url.password() == Some(MARK)
                || parts.url.query_pairs().any(|(name, value)| is_secret(&name) && value == MARK)
        })
    }

    /// What the URL itself demands of TLS.
    pub(super) fn ssl_mode(&self) -> Option<SslMode> {
        self.parts.as_ref()?.ssl_mode
    }

    /// The file that a parameter of one of these names points to; see [`parameter`].
    pub(super) fn file(&self, names: &[&str]) -> Option<PathBuf> {
        parameter(&self.parts.as_ref()?.url, names).filter(|path| !path.is_empty()).map(PathBuf::from)
    }
}

/// The last query parameter that has one of these names (in lower case, without `-` and `_`), decoded.
fn parameter(url: &Url, names: &[&str]) -> Option<String> {
    let simple = |name: &str| name.replace(['-', '_'], "").to_ascii_lowercase();
    let named = url.query_pairs().filter(|(name, _)| names.contains(&simple(name).as_str()));
    named.last().map(|(_, value)| value.into_owned())
}

fn engine_of(text: &str) -> Result<Engine, UrlError> {
    let (scheme, rest) = text.split_once(':').ok_or(UrlError::NoScheme)?;
    let slashes = rest.starts_with("//");
    match scheme.to_ascii_lowercase().as_str() {
        "postgres" | "postgresql" if slashes => Ok(Engine::Postgres),
        "mysql" if slashes => Ok(Engine::MySql),
        "mariadb" if slashes => Ok(Engine::MariaDb),
        "sqlite" => Ok(Engine::Sqlite),
        _ => Err(UrlError::NoScheme),
    }
}

/// Parses `scheme://authority…`, where the authority is the only place for an `@`.
fn parse_server(text: &str) -> Result<Url, UrlError> {
    let start = text.find("://").map_or(0, |at| at + 3);
    let end = text[start..].find(['/', '?', '#']).map_or(text.len(), |at| start + at);
    let (authority, rest) = (&text[start..end], &text[end..]);
    if rest.contains('@') {
        return Err(UrlError::MisplacedAt);
    }
    if authority.rsplit('@').next().is_some_and(|host| host.contains(',')) {
        return Err(UrlError::SeveralHosts);
    }
    // `user:password@/db?host=/socket`: libpq's way to name a socket, which the URL standard forbids.
    if authority.ends_with('@') {
        return Ok(Url::parse(&format!("{}localhost{rest}", &text[..end]))?);
    }
    Ok(Url::parse(text)?)
}

/// Whether a query parameter of this name may hold a secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["pass", "pwd", "secret", "token", "key"].iter().any(|part| name.contains(part))
}

fn redact(url: &Url) -> String {
    let mut out = format!("{}:", url.scheme());
    if url.has_authority() {
        out.push_str("//");
        out.push_str(url.username());
        if url.password().is_some() {
            out.push(':');
            out.push_str(MARK);
        }
        if !url.username().is_empty() || url.password().is_some() {
            out.push('@');
        }
        out.push_str(url.host_str().unwrap_or_default());
        if let Some(port) = url.port() {
            out.push_str(&format!(":{port}"));
        }
    }
    out.push_str(url.path());
    for (place, pair) in url.query().into_iter().flat_map(|query| query.split('&')).enumerate() {
        out.push(if place == 0 { '?' } else { '&' });
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        if is_secret(&percent_decode_str(name).decode_utf8_lossy()) {
            out.push_str(name);
            out.push('=');
            out.push_str(MARK);
        } else {
            out.push_str(pair);
        }
    }
    out
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.parts.as_ref().map_or("", |parts| &parts.redacted))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DatabaseUrl").field(&self.parts.as_ref().map_or("", |parts| &parts.redacted)).finish()
    }
}

impl FromStr for DatabaseUrl {
    type Err = UrlError;
    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for DatabaseUrl {
    type Error = UrlError;
    fn try_from(text: &str) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for DatabaseUrl {
    type Error = UrlError;
    fn try_from(text: String) -> Result<Self, UrlError> {
        Self::parse(&text)
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = DatabaseUrl;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a database URL")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<DatabaseUrl, E> {
                DatabaseUrl::parse(text).map_err(|error| E::custom(format_args!("the URL {error}")))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}
