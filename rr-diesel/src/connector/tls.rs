//! TLS as PostgreSQL's `sslmode` means it, through rustls.

use std::path::Path;
use std::sync::Arc;

use rr_core::config::{SslMode, TlsConfig};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::tls::NoTls;
use tokio_postgres::{CancelToken, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::ConnectError;

/// How the connections to one node are encrypted.
#[derive(Clone)]
pub(crate) enum Tls {
    Off,
    On(MakeRustlsConnect),
}

impl Tls {
    /// Reads the certificate files.
    pub(crate) fn new(config: &TlsConfig) -> Result<Self, ConnectError> {
        if config.mode == SslMode::Disable {
            return Ok(Self::Off);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = verifier(config, &provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(ConnectError::Tls)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let client = match (&config.client_cert, &config.client_key) {
            (Some(certificate), Some(key)) => {
                let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key))?;
                builder.with_client_auth_cert(certificates(certificate)?, key).map_err(ConnectError::Tls)?
            }
            _ => builder.with_no_client_auth(),
        };
        Ok(Self::On(MakeRustlsConnect::new(client)))
    }

    /// Tells the driver what is demanded; the verification is ours.
    pub(crate) fn demand(mode: SslMode, settings: &mut Config) {
        settings.ssl_mode(match mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            // A mode that is not known yet can only be stricter.
            _ => tokio_postgres::config::SslMode::Require,
        });
    }

    /// Asks the server to stop what a connection is doing.
    pub(crate) async fn cancel(&self, token: &CancelToken) -> Result<(), tokio_postgres::Error> {
        match self {
            Self::Off => token.cancel_query(NoTls).await,
            Self::On(tls) => token.cancel_query(tls.clone()).await,
        }
    }
}

fn verifier(
    config: &TlsConfig,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, ConnectError> {
    let checked = match config.mode {
        SslMode::Disable | SslMode::Prefer | SslMode::Require => {
            return Ok(Arc::new(Lenient { provider: Arc::clone(provider), authority: None }));
        }
        _ => WebPkiServerVerifier::builder_with_provider(Arc::new(roots(config)?), Arc::clone(provider))
            .build()
            .map_err(|error| ConnectError::Authorities(error.to_string()))?,
    };
    if config.mode == SslMode::VerifyCa {
        return Ok(Arc::new(Lenient { provider: Arc::clone(provider), authority: Some(checked) }));
    }
    Ok(checked)
}

fn roots(config: &TlsConfig) -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore::empty();
    match &config.root_cert {
        Some(file) => {
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(ConnectError::Tls)?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    found.map_err(unreadable(file))
}

fn unreadable(file: &Path) -> impl FnOnce(rustls::pki_types::pem::Error) -> ConnectError {
    let file = file.to_owned();
    move |error| ConnectError::Certificate { file, why: error.to_string() }
}

/// Checks less than rustls does by default: the authority but not the name, or nothing at all.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    authority: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authority) = &self.authority else { return Ok(ServerCertVerified::assertion()) };
        let verdict =
            authority.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verdict {
            // The name is looked at last: everything else was right.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
