//! A configuration in code.

use std::time::Duration;

use super::error::{ConfigError, ConfigErrors};
use super::node::{NodeConfig, PRIMARY, replica_name};
use super::url::{DatabaseUrl, UrlError};
use super::{Config, FailoverMode, GroupConfig, NotifyConfig, ReadPreference, SslMode, Strategy, Unscoped};
use crate::consistency::Consistency;

const PRIMARY_URL: &str = "primary.url";

/// Builds a [`Config`] in code; [`build`](Self::build) checks it.
///
/// The setters cover what most applications set; [`with`](Self::with) reaches everything else.
///
/// ```
/// use std::time::Duration;
/// use rr_core::config::{Config, Strategy};
///
/// let config = Config::builder()
///     .primary("postgres://app:secret@db-1/shop")
///     .replica("postgres://app:secret@db-2/shop")
///     .replica("postgres://app:secret@db-3/shop")
///     .balance(Strategy::LeastLag)
///     .max_lag(Duration::from_secs(10))
///     .with(|config| config.pool.replica.max = 20)
///     .build()?;
/// assert_eq!(config.replicas[1].name, "replica-2");
/// # Ok::<(), rr_core::config::ConfigErrors>(())
/// ```
#[derive(Debug, Default)]
#[must_use = "nothing is configured until `build` is called"]
pub struct ConfigBuilder {
    config: Config,
    errors: Vec<ConfigError>,
}

impl Config {
    /// Starts a configuration in code.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }
}

impl From<Config> for ConfigBuilder {
    /// Goes on from a configuration that was read elsewhere.
    fn from(config: Config) -> Self {
        Self { config, errors: Vec::new() }
    }
}

impl ConfigBuilder {
    /// Sets the primary's URL. A URL that cannot be used is reported by [`build`](Self::build).
    pub fn primary<U>(mut self, url: U) -> Self
    where
        U: TryInto<DatabaseUrl>,
        U::Error: Into<UrlError>,
    {
        self.config.primary.url = self.url(PRIMARY_URL, url);
        self
    }

    /// Sets the primary with settings of its own.
    pub fn primary_node(mut self, node: NodeConfig) -> Self {
        self.config.primary = named(node, || PRIMARY.to_owned());
        self
    }

    /// Adds a replica by its URL. A URL that cannot be used is reported by [`build`](Self::build).
    pub fn replica<U>(mut self, url: U) -> Self
    where
        U: TryInto<DatabaseUrl>,
        U::Error: Into<UrlError>,
    {
        let key = format!("replicas[{}].url", self.config.replicas.len());
        let url = self.url(&key, url);
        self.replica_node(NodeConfig { url, ..NodeConfig::default() })
    }

    /// Adds a replica with settings of its own; without a name it gets one by its place.
    pub fn replica_node(mut self, node: NodeConfig) -> Self {
        let place = self.config.replicas.len() + 1;
        self.config.replicas.push(named(node, || replica_name(place)));
        self
    }

    /// Sets how fresh a read must be unless it says otherwise.
    pub const fn consistency(mut self, level: Consistency) -> Self {
        self.config.consistency = level;
        self
    }

    /// Sets which role a read goes to.
    pub const fn read_preference(mut self, preference: ReadPreference) -> Self {
        self.config.read_preference = preference;
        self
    }

    /// Sets what a read outside of any session must see.
    pub const fn unscoped(mut self, rule: Unscoped) -> Self {
        self.config.unscoped = rule;
        self
    }

    /// Sets how one of several eligible nodes is picked.
    pub const fn balance(mut self, strategy: Strategy) -> Self {
        self.config.balance = strategy;
        self
    }

    /// Sets where this application runs.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.config.region = Some(region.into());
        self
    }

    /// Sets the other regions, nearest first.
    pub fn regions<R: Into<String>>(mut self, regions: impl IntoIterator<Item = R>) -> Self {
        self.config.regions = regions.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the lag above which a replica serves nothing; `None` for any lag.
    pub fn max_lag(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.config.max_lag = limit.into();
        self
    }

    /// Sets how long a read waits for a replica to catch up.
    pub const fn causal_wait(mut self, wait: Duration) -> Self {
        self.config.causal_wait = wait;
        self
    }

    /// Sets how long a write waits for a primary while there is none.
    pub const fn write_wait(mut self, wait: Duration) -> Self {
        self.config.write_wait = wait;
        self
    }

    /// Sets how many writes may wait for a primary.
    pub const fn write_queue(mut self, writes: u32) -> Self {
        self.config.write_queue = writes;
        self
    }

    /// Sets the rules of a group.
    pub fn group(mut self, name: impl Into<String>, rules: GroupConfig) -> Self {
        self.config.groups.insert(name.into(), rules);
        self
    }

    /// Sets what is demanded of TLS.
    pub const fn tls_mode(mut self, mode: SslMode) -> Self {
        self.config.tls.mode = mode;
        self
    }

    /// Sets who promotes a replica when the primary is gone.
    pub const fn failover(mut self, mode: FailoverMode) -> Self {
        self.config.failover.mode = mode;
        self
    }

    /// Adds a notifier.
    pub fn notify(mut self, notifier: NotifyConfig) -> Self {
        self.config.notify.push(notifier);
        self
    }

    /// Changes anything else.
    pub fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// The configuration, checked.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn build(mut self) -> Result<Config, ConfigErrors> {
        if let Err(found) = self.config.validate() {
            // A URL that could not be read is unset, but not missing.
            let unread: Vec<String> = self.errors.iter().filter_map(unread_url).collect();
            let missing = |error: &ConfigError| match error {
                ConfigError::MissingPrimary => unread.iter().any(|key| key == PRIMARY_URL),
                ConfigError::MissingUrl { key } => unread.contains(key),
                _ => false,
            };
            self.errors.extend(found.into_iter().filter(|error| !missing(error)));
        }
        ConfigErrors::check(self.errors)?;
        Ok(self.config)
    }

    fn url<U>(&mut self, key: &str, url: U) -> DatabaseUrl
    where
        U: TryInto<DatabaseUrl>,
        U::Error: Into<UrlError>,
    {
        url.try_into().unwrap_or_else(|source| {
            self.errors.push(ConfigError::Url { key: key.to_owned(), source: source.into() });
            DatabaseUrl::default()
        })
    }
}

fn unread_url(error: &ConfigError) -> Option<String> {
    match error {
        ConfigError::Url { key, .. } => Some(key.clone()),
        _ => None,
    }
}

fn named(mut node: NodeConfig, name: impl FnOnce() -> String) -> NodeConfig {
    if node.name.is_empty() {
        node.name = name();
    }
    node
}
