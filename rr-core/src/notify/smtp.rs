//! Notifications by mail.

use std::fmt;
use std::time::Duration;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::{AsyncSmtpTransport, Error};
use lettre::{AsyncTransport, Tokio1Executor};
use percent_encoding::percent_decode_str;
use url::Url;

use super::settings::SettingsError;
use super::{Delivery, Notification, Notifier, NotifyError, format};
use crate::config::{NotifyConfig, Secret};

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// Sends mail, over a connection of its own for each.
pub(crate) struct Mail {
    name: String,
    transport: Transport,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Mail {
    /// The notifier of these settings, which stand at `at`.
    pub(super) fn new(at: &str, name: String, settings: &NotifyConfig) -> Result<Self, SettingsError> {
        let mailbox = |name: String, text: &str| {
            let what = "is not an address such as rr@example.org";
            text.parse::<Mailbox>().map_err(|_| SettingsError::Value { key: format!("{at}.{name}"), what })
        };
        let from = mailbox("from".to_owned(), settings.from.as_deref().unwrap_or_default())?;
        let to = settings.to.iter().enumerate().map(|(place, to)| mailbox(format!("to[{place}]"), to));
        let to = to.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { name, transport: transport(at, settings)?, from, to })
    }

    fn message(&self, notification: &Notification) -> Result<Message, lettre::error::Error> {
        let (subject, body) = format::mail(notification);
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        let mail = Message::builder()
            .from(self.from.clone())
            .subject(subject)
            .date(notification.at.system())
            .message_id(None)
            // So that nobody's absence is answered to us.
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN);
        self.to.iter().fold(mail, |mail, to| mail.to(to.clone())).body(body)
    }

    async fn send(&self, notification: &Notification) -> Result<(), NotifyError> {
        let message = self.message(notification).map_err(|error| NotifyError::Impossible(error.into()))?;
        self.transport.send(message).await.map(drop).map_err(reason)
    }
}

/// Replies of a server may repeat what it was told: only their codes are taken.
fn reason(error: Error) -> NotifyError {
    match error.status() {
        Some(code) if error.is_permanent() => NotifyError::Refused { code: code.into() },
        Some(code) => NotifyError::Busy { code: code.into(), after: None },
        None if error.is_response() => NotifyError::Unreachable("its answer is not SMTP".into()),
        None if error.is_client() => NotifyError::Impossible(error.into()),
        None => NotifyError::Unreachable(error.into()),
    }
}

/// `smtps://` encrypts from the first byte, `smtp://` by STARTTLS; `smtp://…?tls=none` does not, and takes no password.
fn transport(at: &str, settings: &NotifyConfig) -> Result<Transport, SettingsError> {
    let unfit = |what| SettingsError::Value { key: format!("{at}.url"), what };
    let url = settings.url.as_ref().map_or("", Secret::expose);
    let url = Url::parse(url).map_err(|_| unfit("is not a URL such as smtps://user:password@host"))?;
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let encrypted = match url.query() {
        None => true,
        Some("tls=none") if url.scheme() == "smtp" => false,
        Some(_) => return Err(unfit("has parameters that are not known; smtp:// knows ?tls=none")),
    };
    let (tls, port) = if encrypted {
        let parameters = parameters(at, host, settings)?;
        if url.scheme() == "smtps" {
            (Tls::Wrapper(parameters), 465)
        } else {
            (Tls::Required(parameters), 587)
        }
    } else {
        (Tls::None, 25)
    };
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let builder = Transport::builder_dangerous(host)
        .port(url.port().unwrap_or(port))
        .tls(tls)
        .timeout(Some(settings.timeout.max(Duration::from_secs(1))));
    let builder = match (url.username(), url.password()) {
        ("", None) => builder,
        (_, Some(_)) if !encrypted => {
            return Err(unfit("would send its password unencrypted; leave out ?tls=none"));
        }
        (user, password) => {
            builder.credentials(Credentials::new(decoded(user), decoded(password.unwrap_or_default())))
        }
    };
    Ok(builder.build())
}

fn parameters(at: &str, host: &str, settings: &NotifyConfig) -> Result<TlsParameters, SettingsError> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(file) = &settings.root_cert {
        let unreadable = |source| SettingsError::Certificates { key: format!("{at}.root_cert"), source };
        let pem = std::fs::read(file).map_err(|error| unreadable(error.into()))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| unreadable(error.into()))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().map_err(|error| SettingsError::Tls { key: at.to_owned(), source: error.into() })
}

impl Notifier for Mail {
    fn name(&self) -> &str {
        &self.name
    }

    fn notify<'a>(&'a self, notification: &'a Notification) -> Delivery<'a> {
        Box::pin(self.send(notification))
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(url: &str) -> Result<Mail, SettingsError> {
        Mail::new(
            "notify[0]",
            "mail".to_owned(),
            &NotifyConfig::smtp(url, "rr@example.org", ["a@example.org"]),
        )
    }

    #[test]
    fn urls_say_how_it_is_encrypted_and_no_password_goes_in_the_clear() {
        for url in [
            "smtps://user:hunter2@mail.example",
            "smtp://user:hunter2@mail.example:2525",
            "smtp://mail.example?tls=none",
        ] {
            let mail = made(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert!(!format!("{mail:?}").contains("hunter2"));
        }
        for url in [
            "smtp://user:hunter2@mail.example?tls=none",
            "smtps://u:hunter2@host?tls=none",
            "smtp://h?hunter2",
        ] {
            let error = made(url).expect_err(url);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn several_people_get_it() {
        let settings =
            NotifyConfig::smtp("smtps://host", "rr <rr@example.org>", ["a@example.org", "b@example.org"]);
        let mail = Mail::new("notify[0]", "mail".to_owned(), &settings).unwrap();
        let message = mail.message(&crate::notify::gate::tests::opens("db-2")).unwrap();
        assert_eq!(message.envelope().to().len(), 2);
        let text = String::from_utf8(message.formatted()).unwrap();
        assert!(text.contains("Subject: [shop] WARNING: ejected db-2"), "{text}");
        assert!(text.contains("Auto-Submitted: auto-generated"), "{text}");
    }
}
