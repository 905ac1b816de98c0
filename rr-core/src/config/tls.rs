//! Encryption of the connections to the servers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::url::DatabaseUrl;

/// How much of TLS is demanded, in PostgreSQL's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// Encrypted where the server offers it; no protection against an active attacker.
    #[default]
    Prefer,
    /// Encrypted or refused; the certificate is not checked.
    Require,
    /// Encrypted, with a certificate of a trusted authority.
    VerifyCa,
    /// As [`SslMode::VerifyCa`], and the certificate must name the host.
    VerifyFull,
}

/// TLS for all nodes, or for one node where it stands inside that node.
///
/// `sslmode`, `sslrootcert`, `sslcert` and `sslkey` in a node's URL win over both;
/// [`Config::tls_for`](super::Config::tls_for) gives the outcome.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TlsConfig {
    /// What is demanded of a connection. Default: `prefer`.
    pub mode: SslMode,
    /// File with the trusted authorities (PEM). Default: those of the operating system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_cert: Option<PathBuf>,
    /// File with our own certificate (PEM), for servers that ask for one; needs `client_key`. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<PathBuf>,
    /// File with the key of `client_cert` (PEM). Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key: Option<PathBuf>,
}

impl TlsConfig {
    /// These settings, where the URL's own parameters win.
    pub(super) fn under(&self, url: &DatabaseUrl) -> Self {
        Self {
            mode: url.ssl_mode().unwrap_or(self.mode),
            root_cert: url.file(&["sslrootcert", "sslca"]).or_else(|| self.root_cert.clone()),
            client_cert: url.file(&["sslcert"]).or_else(|| self.client_cert.clone()),
            client_key: url.file(&["sslkey"]).or_else(|| self.client_key.clone()),
        }
    }
}

impl SslMode {
    /// Reads the words of PostgreSQL (`verify-full`) and of MySQL (`VERIFY_IDENTITY`).
    pub(super) fn from_parameter(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().replace('_', "-").as_str() {
            "disable" | "disabled" => Some(Self::Disable),
            // `allow` encrypts only where the server insists; the nearest that every driver has is `prefer`.
            "allow" | "prefer" | "preferred" => Some(Self::Prefer),
            "require" | "required" => Some(Self::Require),
            "verify-ca" => Some(Self::VerifyCa),
            "verify-full" | "verify-identity" => Some(Self::VerifyFull),
            _ => None,
        }
    }
}
