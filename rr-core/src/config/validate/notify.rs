//! What the keys of a notifier demand of each other.

use std::time::Duration;

use ::url::Url;

use super::Check;
use crate::config::error::ConfigError;
use crate::config::{NotifyConfig, NotifyKind};
use crate::world::Notice;

impl Check {
    pub(super) fn notify(&mut self, all: &[NotifyConfig]) {
        for (place, one) in all.iter().enumerate() {
            let key = |name: &str| format!("notify[{place}].{name}");
            if let Some(name) = &one.name {
                self.name(key("name"), name);
            }
            self.notify_kind(&key, one);
            for (at, secret) in
                [("url", &one.url), ("authorization", &one.authorization), ("routing_key", &one.routing_key)]
            {
                if secret.as_ref().is_some_and(|secret| secret.is_mark()) {
                    self.errors.push(ConfigError::HiddenKey { key: key(at) });
                }
            }
            for (at, kind) in one.kinds.iter().enumerate() {
                if !Notice::KINDS.contains(&&**kind) {
                    let known = Notice::KINDS.join(", ");
                    self.errors.push(ConfigError::NoticeKind { key: key(&format!("kinds[{at}]")), known });
                }
            }
            let all = "would let nothing through; use for example \"1m\", or \"none\" to tell everything";
            self.not_zero(key("damping"), one.damping == Some(Duration::ZERO), all);
            let (low, high) = (Duration::from_millis(100), Duration::from_secs(300));
            self.range(&key("timeout"), one.timeout, low, high);
            if !(1..=100).contains(&one.attempts) {
                self.out_of_range(&key("attempts"), one.attempts, 1, 100);
            }
        }
        let names = all
            .iter()
            .enumerate()
            .map(|(place, one)| (format!("notify[{place}].name"), one.name.as_deref().unwrap_or_default()));
        self.unique(names);
    }

    fn notify_kind(&mut self, key: &impl Fn(&str) -> String, one: &NotifyConfig) {
        let Some(kind) = one.kind else {
            return self.unfit(key("kind"), "is missing; use webhook, pagerduty or smtp");
        };
        let (http, mail) = (kind != NotifyKind::Smtp, kind == NotifyKind::Smtp);
        let present = [
            ("format", one.format.is_some(), kind == NotifyKind::Webhook),
            ("authorization", one.authorization.is_some(), kind == NotifyKind::Webhook),
            ("routing_key", one.routing_key.is_some(), kind == NotifyKind::PagerDuty),
            ("from", one.from.is_some(), mail),
            ("to", !one.to.is_empty(), mail),
        ];
        for (name, set, has) in present {
            if set && !has {
                self.unfit(key(name), "is not a key of this kind; remove it, or change `kind`");
            }
        }
        let missing = |set: bool, name| if set { None } else { Some(name) };
        let required = match kind {
            NotifyKind::Webhook => [missing(one.url.is_some(), "url"), None, None],
            NotifyKind::PagerDuty => [missing(one.routing_key.is_some(), "routing_key"), None, None],
            NotifyKind::Smtp => [
                missing(one.url.is_some(), "url"),
                missing(one.from.is_some(), "from"),
                missing(!one.to.is_empty(), "to"),
            ],
        };
        for name in required.into_iter().flatten() {
            self.unfit(key(name), "is missing; this kind needs it");
        }
        if one.routing_key.as_ref().is_some_and(|secret| secret.expose().trim().is_empty()) {
            self.unfit(key("routing_key"), "is empty; write the integration key of the service");
        }
        if let Some(url) = one.url.as_ref().filter(|url| !url.is_mark()) {
            let url = Url::parse(url.expose()).ok().filter(Url::has_host);
            let scheme = url.as_ref().map(Url::scheme);
            if http && !matches!(scheme, Some("https" | "http")) {
                self.unfit(key("url"), "is not a URL such as https://host/path");
            }
            if mail && !matches!(scheme, Some("smtps" | "smtp")) {
                self.unfit(key("url"), "is not a URL such as smtps://user:password@host");
            }
        }
        let is_address = |text: &str| {
            let parts = text.trim_end_matches('>').rsplit_once('@');
            parts.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
                && !text.chars().any(char::is_control)
        };
        let mut address = |name: String, text: &str| {
            if !is_address(text) {
                self.unfit(name, "is not an address such as rr@example.org");
            }
        };
        if let Some(from) = &one.from {
            address(key("from"), from);
        }
        one.to.iter().enumerate().for_each(|(at, to)| address(key(&format!("to[{at}]")), to));
    }

    fn unfit(&mut self, key: String, what: &'static str) {
        self.errors.push(ConfigError::Notifier { key, what });
    }
}
