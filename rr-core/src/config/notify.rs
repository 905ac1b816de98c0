//! Who is told what happens to the cluster.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::secret::Secret;
use crate::world::Severity;

/// The ways of notifying that can be configured. Others are plugged in as a [`Notifier`](crate::notify::Notifier).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum NotifyKind {
    /// JSON that is sent to a URL by POST (feature `notify-http`).
    Webhook,
    /// An incident of PagerDuty, by its Events API v2 (feature `notify-http`).
    PagerDuty,
    /// A mail (feature `notify-smtp`).
    Smtp,
}

impl NotifyKind {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::PagerDuty => "pagerduty",
            Self::Smtp => "smtp",
        }
    }
}

/// The formats of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum WebhookFormat {
    /// Our own, see [`plain`](crate::notify::format::plain).
    #[default]
    Plain,
    /// That of Slack's incoming webhooks.
    Slack,
}

/// One notifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct NotifyConfig {
    /// How it notifies. No default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<NotifyKind>,
    /// Its name in logs and metrics. Default: its kind and place, such as `webhook-1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it sends to; a secret as a whole, since many a URL is all that one needs to write there. `https://…` or
    /// `http://…` for a webhook, `smtps://user:password@host` (or `smtp://…`, see the guide) for mail. Default: none, and
    /// PagerDuty's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Secret>,
    /// What a webhook sends. Default: `plain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<WebhookFormat>,
    /// The header `Authorization` of a webhook. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Secret>,
    /// The integration key of PagerDuty's service. No default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing_key: Option<Secret>,
    /// Who the mail is from. No default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Who gets the mail. No default.
    pub to: Vec<String>,
    /// The trusted authorities (PEM), beside those of the operating system. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_cert: Option<PathBuf>,
    /// Nothing below it is told, except for the end of what was told. Default: `warning`.
    pub min_severity: Severity,
    /// The kinds of notices that are told. Default: all.
    pub kinds: Vec<String>,
    /// Of one condition, six messages may follow each other at once, and then one in this time. Default: 60 s; `"none"`
    /// tells everything.
    #[serde(with = "duration::or_none")]
    pub damping: Option<Duration>,
    /// Limit for one attempt; 100 ms to 5 min. Default: 10 s.
    #[serde(with = "duration::plain")]
    pub timeout: Duration,
    /// Attempts for one notification; 1 to 100. Default: 8.
    pub attempts: u32,
}

impl Default for NotifyConfig {
    fn default() -> Self {
        Self {
            kind: None,
            name: None,
            url: None,
            format: None,
            authorization: None,
            routing_key: None,
            from: None,
            to: Vec::new(),
            root_cert: None,
            min_severity: Severity::default(),
            kinds: Vec::new(),
            damping: Some(Duration::from_secs(60)),
            timeout: Duration::from_secs(10),
            attempts: 8,
        }
    }
}

impl NotifyConfig {
    /// A webhook that gets our own format.
    #[must_use]
    pub fn webhook(url: impl Into<Secret>) -> Self {
        Self { kind: Some(NotifyKind::Webhook), url: Some(url.into()), ..Self::default() }
    }

    /// An incoming webhook of Slack.
    #[must_use]
    pub fn slack(url: impl Into<Secret>) -> Self {
        Self { format: Some(WebhookFormat::Slack), ..Self::webhook(url) }
    }

    /// PagerDuty, with the integration key of a service.
    #[must_use]
    pub fn pagerduty(routing_key: impl Into<Secret>) -> Self {
        Self { kind: Some(NotifyKind::PagerDuty), routing_key: Some(routing_key.into()), ..Self::default() }
    }

    /// Mail.
    #[must_use]
    pub fn smtp<T: Into<String>>(
        url: impl Into<Secret>,
        from: impl Into<String>,
        to: impl IntoIterator<Item = T>,
    ) -> Self {
        let to = to.into_iter().map(Into::into).collect();
        Self {
            kind: Some(NotifyKind::Smtp),
            url: Some(url.into()),
            from: Some(from.into()),
            to,
            ..Self::default()
        }
    }

    /// With another least severity.
    #[must_use]
    pub const fn with_min_severity(mut self, least: Severity) -> Self {
        self.min_severity = least;
        self
    }
}
