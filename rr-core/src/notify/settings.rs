//! From the configuration to notifiers.

use std::sync::Arc;

use super::{Notifier, Post, Rules};
use crate::config::{Config, NotifyConfig, NotifyKind};

/// A configured notifier cannot be made. Nothing here holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Its kind was not compiled in.
    #[error(
        "{key}: `{kind}` needs the feature `{feature}` of rr-core (or of the adapter); enable it in Cargo.toml"
    )]
    Feature {
        /// Where it stands.
        key: String,
        /// The kind.
        kind: &'static str,
        /// What to enable.
        feature: &'static str,
    },
    /// A value that cannot be used.
    #[error("{key}: {what}")]
    Value {
        /// Where it stands.
        key: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The authorities cannot be read.
    #[error("{key}: cannot be read as certificates (PEM): {source}")]
    Certificates {
        /// Where the file is named.
        key: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// TLS cannot be set up.
    #[error("{key}: TLS cannot be set up: {source}")]
    Tls {
        /// The notifier.
        key: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// All notifiers of a checked configuration.
pub(crate) fn from_config(config: &Config) -> Result<Vec<Post>, SettingsError> {
    let mut posts = Vec::new();
    for (place, one) in config.notify.iter().enumerate() {
        let at = format!("notify[{place}]");
        // A configuration that was checked has a kind.
        let Some(kind) = one.kind else { continue };
        let name = one.name.clone().unwrap_or_else(|| format!("{}-{}", kind.as_str(), place + 1));
        let notifier = match kind {
            NotifyKind::Webhook | NotifyKind::PagerDuty => http(&at, kind, name, one)?,
            NotifyKind::Smtp => mail(&at, name, one)?,
        };
        posts.push(Post { notifier, rules: rules(one) });
    }
    Ok(posts)
}

fn rules(one: &NotifyConfig) -> Rules {
    Rules {
        min_severity: one.min_severity,
        kinds: one.kinds.iter().cloned().collect(),
        damping: one.damping,
        timeout: one.timeout,
        attempts: one.attempts,
    }
}

#[cfg(feature = "notify-http")]
fn http(
    at: &str,
    kind: NotifyKind,
    name: String,
    one: &NotifyConfig,
) -> Result<Arc<dyn Notifier>, SettingsError> {
    Ok(Arc::new(super::webhook::Webhook::new(at, kind, name, one)?))
}

#[cfg(not(feature = "notify-http"))]
fn http(at: &str, kind: NotifyKind, _: String, _: &NotifyConfig) -> Result<Arc<dyn Notifier>, SettingsError> {
    Err(SettingsError::Feature { key: format!("{at}.kind"), kind: kind.as_str(), feature: "notify-http" })
}

#[cfg(feature = "notify-smtp")]
fn mail(at: &str, name: String, one: &NotifyConfig) -> Result<Arc<dyn Notifier>, SettingsError> {
    Ok(Arc::new(super::smtp::Mail::new(at, name, one)?))
}

#[cfg(not(feature = "notify-smtp"))]
fn mail(at: &str, _: String, _: &NotifyConfig) -> Result<Arc<dyn Notifier>, SettingsError> {
    let kind = NotifyKind::Smtp.as_str();
    Err(SettingsError::Feature { key: format!("{at}.kind"), kind, feature: "notify-smtp" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(one: NotifyConfig) -> Config {
        let config = Config::builder().primary("postgres://db-1/shop").notify(one).build();
        config.unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[test]
    fn a_kind_works_with_its_feature_and_names_it_without() {
        let kinds = [
            (
                NotifyConfig::slack("https://hooks.example/hunter2"),
                cfg!(feature = "notify-http"),
                "notify-http",
            ),
            (NotifyConfig::pagerduty("hunter2"), cfg!(feature = "notify-http"), "notify-http"),
            (
                NotifyConfig::smtp("smtps://u:hunter2@mail.example", "rr@example.org", ["a@example.org"]),
                cfg!(feature = "notify-smtp"),
                "notify-smtp",
            ),
        ];
        for (one, enabled, feature) in kinds {
            let printed = match from_config(&config(one)) {
                Ok(posts) => {
                    assert!(enabled);
                    format!("{posts:?}")
                }
                Err(error) => {
                    assert!(!enabled && error.to_string().contains(feature), "{error}");
                    assert!(error.to_string().starts_with("notify[0].kind: "), "{error}");
                    format!("{error:?}")
                }
            };
            assert!(!printed.contains("hunter2"), "{printed}");
        }
    }

    #[cfg(feature = "notify-http")]
    #[test]
    fn what_cannot_be_used_is_named_without_it() {
        let wrong = [
            (
                "authorization",
                NotifyConfig {
                    authorization: Some("hunter2\n".into()),
                    ..NotifyConfig::webhook("https://host/")
                },
            ),
            (
                "root_cert",
                NotifyConfig {
                    root_cert: Some("/no/such/file".into()),
                    ..NotifyConfig::webhook("https://host/hunter2")
                },
            ),
        ];
        for (key, one) in wrong {
            let error = from_config(&config(one)).expect_err(key);
            assert!(error.to_string().starts_with(&format!("notify[0].{key}: ")), "{error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
