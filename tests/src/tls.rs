//! Encryption on real servers, with an authority that is thrown away.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};

use crate::cluster::{Cluster, ClusterError, Node};

/// What can go wrong with certificates.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One could not be made.
    #[error("no certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// One could not be kept.
    #[error("a certificate's file: {0}")]
    File(#[from] std::io::Error),
    /// A server did not take it.
    #[error(transparent)]
    Server(#[from] ClusterError),
}

type Result<T = ()> = std::result::Result<T, TlsError>;

/// An authority with its files.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    /// One with this name.
    ///
    /// # Errors
    /// When there is no room for its files.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("root.crt"), issuer.pem())?;
        Ok(Self { issuer, folder })
    }

    /// Its own certificate.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root.crt")
    }

    /// A certificate of the application's user, with its key, as parameters of a URL.
    ///
    /// # Errors
    /// When there is no room for its files.
    pub fn client_parameters(&self) -> Result<String> {
        let (certificate, key) = self.issue("app", ExtendedKeyUsagePurpose::ClientAuth)?;
        let [certificate_file, key_file] =
            ["client.crt", "client.key"].map(|name| self.folder.path().join(name));
        std::fs::write(&certificate_file, certificate)?;
        std::fs::write(&key_file, key)?;
        // Others must not be able to read it.
        std::fs::set_permissions(&key_file, PermissionsExt::from_mode(0o600))?;
        Ok(format!("{}{}", parameter("sslcert", &certificate_file), parameter("sslkey", &key_file)))
    }

    /// Lets every server encrypt, as 127.0.0.1.
    ///
    /// # Errors
    /// When a server does not take its certificate.
    pub async fn equip(&self, cluster: &Cluster) -> Result {
        self.equip_as("127.0.0.1", cluster).await
    }

    /// Lets every server encrypt, as this host.
    ///
    /// # Errors
    /// When a server does not take its certificate.
    pub async fn equip_as(&self, host: &str, cluster: &Cluster) -> Result {
        let (certificate, key) = self.issue(host, ExtendedKeyUsagePurpose::ServerAuth)?;
        for node in cluster.nodes() {
            write(node, "server.crt", &certificate).await?;
            write(node, "server.key", &key).await?;
            write(node, "root.crt", &self.issuer.pem()).await?;
            node.set("ssl_ca_file", "root.crt").await?;
            node.set("ssl", "on").await?;
        }
        Ok(())
    }

    /// A certificate for 127.0.0.1 with its key, as PEM.
    ///
    /// # Errors
    /// When none can be made.
    pub fn server(&self) -> Result<(String, String)> {
        self.issue("127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate and its key, as PEM.
    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Result<(String, String)> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages.push(usage);
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
    }
}

/// Hosts and parameters of URLs that servers of this authority must accept, and whether they then encrypt.
#[must_use]
pub fn accepted(authority: &Authority) -> Vec<(&'static str, String, bool)> {
    let root = parameter("sslrootcert", &authority.root());
    vec![
        ("127.0.0.1", "sslmode=disable".to_owned(), false),
        ("127.0.0.1", "application_name=x".to_owned(), true),
        ("127.0.0.1", "sslmode=prefer".to_owned(), true),
        ("127.0.0.1", "sslmode=require".to_owned(), true),
        ("localhost", "sslmode=require".to_owned(), true),
        ("127.0.0.1", format!("sslmode=verify-ca{root}"), true),
        ("localhost", format!("sslmode=verify-ca{root}"), true),
        ("127.0.0.1", format!("sslmode=verify-full{root}"), true),
    ]
}

/// A file as a parameter of a URL that has others before it.
#[must_use]
pub fn parameter(name: &str, path: &Path) -> String {
    format!("&{name}={}", path.display().to_string().replace('/', "%2F"))
}

/// Lets the servers ask clients for a certificate.
///
/// # Errors
/// When a server does not take the rule.
pub async fn demand_certificates(cluster: &Cluster) -> Result {
    admit(cluster, "hostssl all app 127.0.0.1/32 trust clientcert=verify-ca").await
}

/// Lets the servers admit the application's user in this way only.
///
/// # Errors
/// When a server does not take the rule.
pub async fn admit(cluster: &Cluster, how: &str) -> Result {
    let hba = format!(
        "local all all trust\n{how}\nhost all postgres 127.0.0.1/32 trust\n\
         host replication all 127.0.0.1/32 trust\n"
    );
    for node in cluster.nodes() {
        write(node, "pg_hba.conf", &hba).await?;
        node.admin_sql("SELECT pg_reload_conf()").await?;
    }
    Ok(())
}

/// Writes a file into the server's folder as the server's own user, whoever that is.
async fn write(node: &Node, file: &str, text: &str) -> Result {
    let bytes: Vec<String> = text.bytes().map(|byte| format!("\\{byte:03o}")).collect();
    for (part, chunk) in bytes.chunks(500).enumerate() {
        let arrow = if part == 0 { ">" } else { ">>" };
        let program =
            format!("cat /dev/stdin > /dev/null; umask 077; printf '{}' {arrow} {file}", chunk.concat());
        node.admin_sql(&format!("COPY (SELECT 1) TO PROGRAM '{}'", program.replace('\'', "''"))).await?;
    }
    Ok(())
}
