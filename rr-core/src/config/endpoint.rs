//! Which server a URL speaks of: what two URLs are compared by, and what may be printed of them.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

use super::url::UrlError;
use crate::engine::Engine;

/// Which server a URL speaks of, in a form that can be compared and printed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// A server on the network: host in lower case, port with the engine's default filled in.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// Port number.
        port: u16,
    },
    /// A server on this machine behind a Unix socket.
    Socket {
        /// The socket, or the folder that holds it.
        path: String,
        /// PostgreSQL tells the sockets of one folder apart by port.
        port: u16,
    },
    /// A database file (or `:memory:`) of this process.
    File {
        /// As written in the URL.
        path: String,
    },
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host: place, port } | Self::Socket { path: place, port } => {
                write!(f, "{place}:{port}")
            }
            Self::File { path } => f.write_str(path),
        }
    }
}

impl Endpoint {
    /// The port; a file has none.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp { port, .. } | Self::Socket { port, .. } => Some(*port),
            Self::File { .. } => None,
        }
    }

    /// The server that `url` speaks of. As in libpq, parameters (`host`, `hostaddr`, `port`) win over the
    /// host and port in front.
    pub(super) fn of(url: &Url, engine: Engine) -> Result<Self, UrlError> {
        let default_port = match engine {
            Engine::Postgres => 5432,
            Engine::MySql | Engine::MariaDb => 3306,
            Engine::Sqlite => {
                return Ok(Self::File {
                    path: format!("{}{}", url.host_str().unwrap_or_default(), url.path()),
                });
            }
        };
        let parameter = |wanted: &str| {
            url.query_pairs()
                .filter(|(name, value)| name == wanted && !value.is_empty())
                .last()
                .map(|pair| pair.1.into_owned())
        };
        let host = parameter("hostaddr").or_else(|| parameter("host")).or_else(|| parameter("socket"));
        let host = host.unwrap_or_else(|| {
            let host = url.host_str().unwrap_or_default();
            percent_decode_str(host.trim_start_matches('[').trim_end_matches(']'))
                .decode_utf8_lossy()
                .into_owned()
        });
        if host.contains(',') {
            return Err(UrlError::SeveralHosts);
        }
        if host.chars().any(char::is_control) {
            return Err(UrlError::ControlCharacter);
        }
        let port = match parameter("port") {
            Some(text) => text.parse().map_err(|_| UrlError::Port)?,
            None => url.port().unwrap_or(default_port),
        };
        if port == 0 {
            return Err(UrlError::Port);
        }
        if host.starts_with('/') {
            return Ok(Self::Socket { path: host, port });
        }
        let host = if host.is_empty() { "localhost".to_owned() } else { host.to_lowercase() };
        Ok(Self::Tcp { host, port })
    }
}
