//! Watching the cluster and acting on what is seen: probes, health, lag alerts, failover.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::duration::{self, number_or_none};
use super::secret::Secret;

/// How often and how patiently every node is probed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MonitorConfig {
    /// Time between two probes of a node; 10 ms to 60 s. Default: 200 ms.
    #[serde(with = "duration::plain")]
    pub interval: Duration,
    /// Each interval is this much shorter or longer at random, so that processes do not probe in step. Default: 50 ms.
    #[serde(with = "duration::plain")]
    pub jitter: Duration,
    /// Limit for one probe. Default: 1 s.
    #[serde(with = "duration::plain")]
    pub timeout: Duration,
    /// Limit for opening the probe's own connection, handshake included. Default: 1 s.
    #[serde(with = "duration::plain")]
    pub connect_timeout: Duration,
}

impl Default for MonitorConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(200),
            jitter: Duration::from_millis(50),
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
        }
    }
}

/// When a node counts as ill, and as well again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HealthConfig {
    /// Failures in a row until a node is degraded: used less, not avoided. Default: 1.
    pub degraded_after: u32,
    /// Failures in a row until a node is unhealthy: not used. Default: 3.
    pub down_after: u32,
    /// Successes in a row until an unhealthy node is used again. Default: 2.
    pub up_after: u32,
    /// A node that comes back is watched for this long; one failure takes it out again. Default: 5 s.
    #[serde(with = "duration::plain")]
    pub probation: Duration,
    /// A node that joins or comes back gets its full share of reads only after this time. Default: 10 s.
    #[serde(with = "duration::plain")]
    pub slow_start: Duration,
    /// When less than this share of the replicas that answer is left because of errors in traffic, those errors are
    /// no longer held against them, since the fault is then likely on our side. Default: 50.
    pub panic_threshold: Percent,
    /// At most this share of the replicas is taken out because of errors in traffic. Default: 50.
    pub max_ejected: Percent,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            degraded_after: 1,
            down_after: 3,
            up_after: 2,
            probation: Duration::from_secs(5),
            slow_start: Duration::from_secs(10),
            panic_threshold: Percent(50),
            max_ejected: Percent(50),
        }
    }
}

/// Alert levels of replication lag. They inform; whether a lagging node may serve is `max_lag`'s matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LagConfig {
    /// Lag from which the level is INFO. Default: 1 s.
    #[serde(with = "duration::plain")]
    pub info: Duration,
    /// Lag from which the level is WARNING. Default: 5 s.
    #[serde(with = "duration::plain")]
    pub warning: Duration,
    /// Lag from which the level is ERROR. Default: 15 s.
    #[serde(with = "duration::plain")]
    pub error: Duration,
    /// Lag from which the level is CRITICAL. Default: 60 s.
    #[serde(with = "duration::plain")]
    pub critical: Duration,
    /// A level ends when the lag falls below this share of its threshold. Default: 80.
    pub clear_ratio: Percent,
    /// A level ends only after the lag has been that low for this long. Default: 1 s.
    #[serde(with = "duration::plain")]
    pub hold: Duration,
    /// Samples kept per node for mean, percentiles and trend. Default: 256.
    pub history: usize,
}

impl Default for LagConfig {
    fn default() -> Self {
        Self {
            info: Duration::from_secs(1),
            warning: Duration::from_secs(5),
            error: Duration::from_secs(15),
            critical: Duration::from_secs(60),
            clear_ratio: Percent(80),
            hold: Duration::from_secs(1),
            history: 256,
        }
    }
}

/// Who promotes a replica when the primary is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FailoverMode {
    /// Somebody else (Patroni, a cloud provider, an operator); we notice and follow.
    #[default]
    Follow,
    /// We, when told to, with the candidate we are told.
    Manual,
    /// We, after a person has confirmed the candidate that we propose.
    Supervised,
    /// We, by ourselves.
    Automatic,
}

/// When and how a replica is promoted, and what is remembered of promotions. What says nothing else matters only when the
/// mode is not `follow`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FailoverPolicy {
    /// Who promotes. Default: `follow`.
    pub mode: FailoverMode,
    /// Replicas that must be reachable, the candidate included. Default: 1.
    pub min_replicas: u32,
    /// Failed looks at the primary, one after the other, before it counts as dead. Default: 3.
    pub confirmations: u32,
    /// Whether the replicas must have lost the primary as well, so that a cut between us and it promotes nobody.
    /// Default: true.
    pub witness: bool,
    /// A candidate may lack at most this many bytes of the last known position of the primary. Default: 16777216
    /// (16 MiB); `"none"` for any.
    #[serde(with = "number_or_none")]
    pub max_lag_bytes: Option<u64>,
    /// Limit for a promotion, from the decision to a primary that accepts writes. Default: 30 s.
    #[serde(with = "duration::plain")]
    pub timeout: Duration,
    /// No second promotion within this time. Default: 60 s.
    #[serde(with = "duration::plain")]
    pub cooldown: Duration,
    /// Whether to report what would be done and do nothing. Default: false.
    pub dry_run: bool,
    /// The file that remembers the highest timeline over restarts, whatever the mode. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_file: Option<PathBuf>,
    /// Whether transactions learn their number before they are committed, so that one whose COMMIT is not answered can be
    /// asked for afterwards, whatever the mode. Default: false.
    pub resolve_outcomes: bool,
    /// As whom to connect for a promotion, if not as the nodes' URLs say: an ordinary role may not promote. Default:
    /// as they say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The password of that user. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// Whether this is the only process that has this router: then the lease that is built in will do for `automatic`.
    /// Default: false.
    pub single_process: bool,
    /// How long a planned switchover holds writes at most, before it is given up. Where it is longer than `write_wait`, writes
    /// may fail meanwhile. Default: 3 s.
    #[serde(with = "duration::plain")]
    pub hold: Duration,
    /// How long a proposal (`supervised`) may be approved; then a new one is made. Default: 5 min.
    #[serde(with = "duration::plain")]
    pub approve_within: Duration,
    /// Whether a promotion stops when the application's own fencing of the old primary has failed. Default: true.
    pub fence_required: bool,
}

impl Default for FailoverPolicy {
    fn default() -> Self {
        Self {
            mode: FailoverMode::Follow,
            min_replicas: 1,
            confirmations: 3,
            witness: true,
            max_lag_bytes: Some(16 << 20),
            timeout: Duration::from_secs(30),
            cooldown: Duration::from_secs(60),
            dry_run: false,
            state_file: None,
            resolve_outcomes: false,
            user: None,
            password: None,
            single_process: false,
            hold: Duration::from_secs(3),
            approve_within: Duration::from_secs(300),
            fence_required: true,
        }
    }
}

/// A share of a whole: 0 to 100. Written as a number (`50`) or as text (`"50%"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
pub struct Percent(u8);

impl Percent {
    /// `None` when `percent` is more than 100.
    #[must_use]
    pub const fn new(percent: u8) -> Option<Self> {
        if percent <= 100 { Some(Self(percent)) } else { None }
    }

    /// From 0 to 100.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// From 0.0 to 1.0.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Share;
        impl de::Visitor<'_> for Share {
            type Value = Percent;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a percentage from 0 to 100")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Percent, E> {
                u8::try_from(number)
                    .ok()
                    .and_then(Percent::new)
                    .ok_or_else(|| E::custom("is more than 100 percent; use 0 to 100"))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Percent, E> {
                u64::try_from(number)
                    .map_err(|_| E::custom("is less than 0 percent; use 0 to 100"))
                    .and_then(|number| self.visit_u64(number))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Percent, E> {
                let digits = text.trim().trim_end_matches('%').trim_end();
                let number =
                    digits.parse().map_err(|_| E::invalid_type(de::Unexpected::Other("a text"), &self))?;
                self.visit_i64(number)
            }
        }
        deserializer.deserialize_any(Share)
    }
}
