//! What a notifier is told, and how patiently.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::world::Severity;

/// What a notifier is told, and how patiently.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rules {
    /// Nothing below it is told, except for the end of what was told. Default: `Warning`.
    pub min_severity: Severity,
    /// The [kinds](crate::world::Notice::KINDS) that are told, and the end of what was told. Default: empty, for all kinds.
    pub kinds: BTreeSet<String>,
    /// Of one condition, six messages may follow each other at once, and then one in this time: the last one, which says
    /// how many were left out. Default: 60 s; `None` tells everything.
    pub damping: Option<Duration>,
    /// Limit for one attempt. Default: 10 s.
    pub timeout: Duration,
    /// Attempts for one notification; at least 1. Between two of them lie a second, then twice as long each time, up to a
    /// minute. Default: 8, which takes two minutes.
    pub attempts: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            min_severity: Severity::Warning,
            kinds: BTreeSet::new(),
            damping: Some(Duration::from_secs(60)),
            timeout: Duration::from_secs(10),
            attempts: 8,
        }
    }
}

impl Rules {
    /// Everything is told, as it comes.
    #[must_use]
    pub fn everything() -> Self {
        Self { min_severity: Severity::Info, damping: None, ..Self::default() }
    }

    /// With another least severity.
    #[must_use]
    pub const fn min_severity(mut self, least: Severity) -> Self {
        self.min_severity = least;
        self
    }

    /// With these kinds only.
    #[must_use]
    pub fn kinds<K: Into<String>>(mut self, kinds: impl IntoIterator<Item = K>) -> Self {
        self.kinds = kinds.into_iter().map(Into::into).collect();
        self
    }

    /// With another damping; `None` tells everything.
    #[must_use]
    pub fn damping(mut self, damping: impl Into<Option<Duration>>) -> Self {
        self.damping = damping.into();
        self
    }

    /// With another limit for one attempt.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// With another number of attempts.
    #[must_use]
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }
}
