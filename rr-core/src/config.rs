//! Configuration: plain data, with every default stated, checked before anything is opened.
//!
//! A [`Config`] is read from a TOML or JSON file, from the environment, from both (the environment wins), or
//! built in code. Each source alone may be incomplete, so reading checks only single keys;
//! [`validate`](Config::validate) checks the whole and names every wrong key at once. The primary's URL is all that
//! is needed; everything else has a default.
//!
//! ```
//! use rr_core::config::Config;
//!
//! let file = r#"
//!     replicas = ["postgres://db-2/shop", "postgres://db-3/shop"]
//!     max_lag = "10s"
//! "#;
//! let environment = [("DATABASE_URL", "postgres://app:secret@db-1/shop"), ("RR_REPLICA_2_WEIGHT", "50")];
//! let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
//!
//! let config = Config::from_toml(file)?.overlay_env(environment)?;
//! config.validate()?;
//! assert_eq!(config.replicas[1].weight, 50);
//! assert_eq!(config.primary.url.to_string(), "postgres://app:***@db-1/shop");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Secrets stand in URLs, in `session.keys` and in some keys of `notify` only. A [`DatabaseUrl`] prints redacted and a [`Secret`] not at all: in
//! `Debug`, `Display`, serialised settings and every error. Errors repeat keys and numbers, never a text value.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::consistency::Consistency;
use crate::engine::Engine;

mod builder;
mod discovery;
mod duration;
mod endpoint;
mod env;
mod error;
mod keys;
mod load;
mod node;
mod notify;
mod policy;
mod pool;
mod secret;
mod session;
mod text;
mod tls;
mod url;
mod validate;
mod watch;

pub use self::builder::ConfigBuilder;
pub use self::discovery::{DiscoveryConfig, DiscoveryKind, DnsRecord};
pub use self::endpoint::Endpoint;
pub use self::error::{ConfigError, ConfigErrors, Format};
pub use self::node::NodeConfig;
pub use self::notify::{NotifyConfig, NotifyKind, WebhookFormat};
pub use self::policy::{
    GroupConfig, GroupFallback, PrimaryReads, ReadPreference, Retries, Spill, Strategy, Unscoped,
};
pub use self::pool::{PoolConfig, PoolOverrides, PoolsConfig};
pub use self::secret::Secret;
pub use self::session::{AskPositions, CausalElse, LostWrites, SessionConfig};
pub use self::tls::{SslMode, TlsConfig};
pub use self::url::{DatabaseUrl, UrlError};
pub(crate) use self::validate::MAX_NODES;
pub use self::watch::{FailoverMode, FailoverPolicy, HealthConfig, LagConfig, MonitorConfig, Percent};

/// Everything a router is told. No replicas is the single-database mode, through the very same code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The server that takes the writes, or took them when the configuration was written: a failover is followed.
    #[serde(deserialize_with = "node::primary")]
    pub primary: NodeConfig,
    /// The servers that reads are spread over. Default: none.
    #[serde(deserialize_with = "node::replicas")]
    pub replicas: Vec<NodeConfig>,
    /// Allows a replica at the primary's own address, to try routing with one server. Default: false.
    pub allow_primary_as_replica: bool,
    /// How fresh a read must be unless it says otherwise. Default: `session`.
    pub consistency: Consistency,
    /// Which role a read goes to. Default: `replica-preferred`.
    pub read_preference: ReadPreference,
    /// What a read outside of any session must see. Default: `router`.
    pub unscoped: Unscoped,
    /// How one of several eligible nodes is picked. Default: `p2c`.
    pub balance: Strategy,
    /// Where this application runs; always the nearest region. Default: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The other regions, nearest first; those that are not listed come last, all alike. Default: none.
    pub regions: Vec<String>,
    /// When reads leave a region for the next one. Default: `unavailable`.
    pub spill: Spill,
    /// A replica that is more than this behind serves nothing. Default: 30 s; `"none"` for any lag.
    #[serde(with = "duration::or_none")]
    pub max_lag: Option<Duration>,
    /// How long a read waits for a replica to catch up before it goes to the primary. Default: 10 ms.
    #[serde(with = "duration::plain")]
    pub causal_wait: Duration,
    /// Where a read goes when no replica has what it must see, after that wait. Default: `primary`.
    pub causal_else: CausalElse,
    /// What becomes of a session whose write a failover has lost. Default: `error`.
    pub lost_writes: LostWrites,
    /// With `read-after-write`: how long a write whose position cannot be learned keeps its session's reads on the
    /// primary. Default: 5 s.
    #[serde(with = "duration::plain")]
    pub read_after_write_window: Duration,
    /// Whether it is asked behind a write where it ended. Default: `wanted`.
    pub ask_positions: AskPositions,
    /// How long a write waits for a primary while there is none; 0 fails at once. Default: 5 s.
    #[serde(with = "duration::plain")]
    pub write_wait: Duration,
    /// Writes that wait for a primary at most; one more fails at once. Default: 1000.
    pub write_queue: u32,
    /// A statement that waited this long for a node (for a replica to catch up, for a primary, because nodes failed it) is
    /// logged with why, one in ten seconds at most. Default: 1 s; `"none"` logs none.
    #[serde(with = "duration::or_none")]
    pub slow_route: Option<Duration>,
    /// How long the start waits for a first look at the cluster. Default: 2 s.
    #[serde(with = "duration::plain")]
    pub startup_wait: Duration,
    /// Budget for reads that fall back to the primary. Default: no limit.
    pub primary_reads: PrimaryReads,
    /// Reads that a node failed, and that are run again.
    pub retries: Retries,
    /// Rules of the groups that nodes belong to; a group without rules has the default ones. Default: none.
    pub groups: BTreeMap<String, GroupConfig>,
    /// Sessions: tokens, and sticking to a node.
    pub session: SessionConfig,
    /// Pools, per role.
    pub pool: PoolsConfig,
    /// TLS of all nodes. Default: `prefer`.
    pub tls: TlsConfig,
    /// Probes.
    pub monitor: MonitorConfig,
    /// Health of nodes.
    pub health: HealthConfig,
    /// Alerts about lag.
    pub lag: LagConfig,
    /// Promotion of a replica. Default: somebody else's matter.
    pub failover: FailoverPolicy,
    /// What the cluster is called in notifications. Default: host and port of the primary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// Who is told what happens to the cluster. Default: nobody but the log.
    pub notify: Vec<NotifyConfig>,
    /// Nodes that are found while the router runs. Default: none, the nodes are those that are listed.
    pub discovery: DiscoveryConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            primary: NodeConfig::default().with_name(node::PRIMARY),
            replicas: Vec::new(),
            allow_primary_as_replica: false,
            consistency: Consistency::default(),
            read_preference: ReadPreference::default(),
            unscoped: Unscoped::default(),
            balance: Strategy::default(),
            region: None,
            regions: Vec::new(),
            spill: Spill::default(),
            max_lag: Some(Duration::from_secs(30)),
            causal_wait: Duration::from_millis(10),
            causal_else: CausalElse::default(),
            lost_writes: LostWrites::default(),
            read_after_write_window: Duration::from_secs(5),
            ask_positions: AskPositions::default(),
            write_wait: Duration::from_secs(5),
            write_queue: 1000,
            slow_route: Some(Duration::from_secs(1)),
            startup_wait: Duration::from_secs(2),
            primary_reads: PrimaryReads::default(),
            retries: Retries::default(),
            groups: BTreeMap::new(),
            session: SessionConfig::default(),
            pool: PoolsConfig::default(),
            tls: TlsConfig::default(),
            monitor: MonitorConfig::default(),
            health: HealthConfig::default(),
            lag: LagConfig::default(),
            failover: FailoverPolicy::default(),
            cluster_name: None,
            notify: Vec::new(),
            discovery: DiscoveryConfig::default(),
        }
    }
}

impl Config {
    /// A configuration with this primary, no replicas, and everything else by default.
    ///
    /// # Errors
    /// When the text is not a database URL.
    pub fn new<U>(primary: U) -> Result<Self, ConfigError>
    where
        U: TryInto<DatabaseUrl>,
        U::Error: Into<UrlError>,
    {
        let node = NodeConfig::new(primary)
            .map_err(|source| ConfigError::Url { key: "primary.url".to_owned(), source })?;
        Ok(Self { primary: node.with_name(node::PRIMARY), ..Self::default() })
    }

    /// The engine that the primary's URL names.
    ///
    /// # Errors
    /// When there is no such URL.
    pub fn engine(&self) -> Result<Engine, ConfigError> {
        self.primary.url.engine().ok_or(ConfigError::MissingPrimary)
    }

    /// What the cluster is called in notifications: its name, or host and port of the configured primary. It is the same
    /// in all processes, and after a failover.
    #[must_use]
    pub fn cluster(&self) -> String {
        let endpoint = || self.primary.url.endpoint().map(ToString::to_string).unwrap_or_default();
        self.cluster_name.clone().unwrap_or_else(endpoint)
    }

    /// Primary first, then the replicas in their order.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeConfig> {
        std::iter::once(&self.primary).chain(&self.replicas)
    }

    /// The lag up to which a node serves: its own limit, or the cluster's; `None` for any lag.
    #[must_use]
    pub fn max_lag_of(&self, node: &NodeConfig) -> Option<Duration> {
        match node.max_lag {
            Some(duration::NO_LIMIT) => None,
            own => own.or(self.max_lag),
        }
    }

    /// The TLS settings of a node: its own or else the cluster's, and its URL's parameters over them.
    #[must_use]
    pub fn tls_for(&self, node: &NodeConfig) -> TlsConfig {
        node.tls.as_ref().unwrap_or(&self.tls).under(&node.url)
    }

    /// The regions, nearest first: this application's own, then the listed ones.
    pub fn region_order(&self) -> impl Iterator<Item = &str> {
        let own = self.region.as_deref();
        let others = self.regions.iter().map(String::as_str).filter(move |region| Some(*region) != own);
        own.into_iter().chain(others)
    }
}

#[cfg(test)]
mod tests;
