//! Notifications by HTTP.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, redirect};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use url::Url;

use super::settings::SettingsError;
use super::{Delivery, Notification, Notifier, NotifyError, format, retry};
use crate::config::{NotifyConfig, NotifyKind, Secret, WebhookFormat};

/// Where PagerDuty takes events.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

/// Sends JSON by POST. A proxy that the environment names (`HTTPS_PROXY`, `NO_PROXY`) is used; redirects are not followed,
/// since they would carry a secret to another place.
pub(crate) struct Webhook {
    name: String,
    client: Client,
    url: Url,
    authorization: Option<HeaderValue>,
    body: Body,
}

enum Body {
    Plain,
    Slack,
    /// With the routing key.
    PagerDuty(Secret),
}

impl Webhook {
    /// The notifier of these settings, which stand at `at`.
    pub(super) fn new(
        at: &str,
        kind: NotifyKind,
        name: String,
        settings: &NotifyConfig,
    ) -> Result<Self, SettingsError> {
        let body = match (kind, settings.format) {
            (NotifyKind::PagerDuty, _) => Body::PagerDuty(settings.routing_key.clone().unwrap_or_default()),
            (_, Some(WebhookFormat::Slack)) => Body::Slack,
            (_, Some(WebhookFormat::Plain) | None) => Body::Plain,
        };
        let unfit = |name: &str, what| SettingsError::Value { key: format!("{at}.{name}"), what };
        let url = settings.url.as_ref().map_or(PAGERDUTY, Secret::expose);
        let url = Url::parse(url).map_err(|_| unfit("url", "is not a URL such as https://host/path"))?;
        let header = |secret: &Secret| {
            let mut value = HeaderValue::from_str(secret.expose())
                .map_err(|_| unfit("authorization", "has characters that no header may have"))?;
            value.set_sensitive(true);
            Ok(value)
        };
        let authorization = settings.authorization.as_ref().map(header).transpose()?;
        let tls = tls(at, settings.root_cert.as_deref())?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("rr/", env!("CARGO_PKG_VERSION")))
            // A connection that is kept is a task that outlives its notification.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| SettingsError::Tls { key: at.to_owned(), source: error.without_url().into() })?;
        Ok(Self { name, client, url, authorization, body })
    }

    fn body(&self, notification: &Notification) -> Value {
        match &self.body {
            Body::Plain => format::plain(notification),
            Body::Slack => format::slack(notification),
            Body::PagerDuty(key) => format::pagerduty(notification, key.expose()),
        }
    }

    async fn send(&self, notification: &Notification) -> Result<(), NotifyError> {
        let mut request = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .body(self.body(notification).to_string());
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        // The URL is a secret, and the client's errors show it unless it is taken out.
        let answer =
            request.send().await.map_err(|error| NotifyError::Unreachable(error.without_url().into()))?;
        let (status, code) = (answer.status(), answer.status().as_u16());
        if status.is_success() {
            return Ok(());
        }
        let passes = status.is_server_error()
            || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        if !passes {
            return Err(NotifyError::Refused { code });
        }
        let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        Err(NotifyError::Busy { code, after: after.and_then(retry::retry_after) })
    }
}

impl Notifier for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn notify<'a>(&'a self, notification: &'a Notification) -> Delivery<'a> {
        Box::pin(self.send(notification))
    }

    fn keeps_conditions(&self) -> bool {
        matches!(self.body, Body::PagerDuty(_))
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The operating system's authorities, and those of a file.
fn tls(at: &str, file: Option<&Path>) -> Result<ClientConfig, SettingsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = file {
        let unreadable = |source| SettingsError::Certificates { key: format!("{at}.root_cert"), source };
        let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        for certificate in found.map_err(|error| unreadable(error.into()))? {
            roots.add(certificate).map_err(|error| unreadable(error.into()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::Tls { key: at.to_owned(), source: error.into() })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
