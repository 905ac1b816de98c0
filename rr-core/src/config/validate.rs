//! What only the whole configuration can tell: everything that is wrong with it, at once.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use super::error::{ConfigError, ConfigErrors};
use super::node::NodeConfig;
use super::policy::Spill;
use super::pool::{PoolConfig, PoolOverrides};
use super::secret::Secret;
use super::text;
use super::tls::{SslMode, TlsConfig};
use super::{Config, FailoverPolicy, HealthConfig, LagConfig, MonitorConfig, SessionConfig};
use crate::consistency::Consistency;
use crate::engine::Engine;

mod discovery;
mod notify;

/// Nodes at most, the primary included: a snapshot keeps sets of nodes in 64 bits.
pub(crate) const MAX_NODES: usize = 64;

/// Characters of a signing key at least: as many bytes as the hash has.
const SHORTEST_KEY: usize = 32;

impl Config {
    /// Checks everything that no single key can tell. Starting a router does this as well.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn validate(&self) -> Result<(), ConfigErrors> {
        let mut check = Check::default();
        check.urls(self);
        check.servers(self);
        for (place, node) in self.nodes().enumerate() {
            check.node(self, &node_key(place), node);
        }
        let names =
            self.nodes().enumerate().map(|(place, node)| (format!("{}.name", node_key(place)), &*node.name));
        check.unique(names);
        check.regions(self);
        check.groups(self);
        check.waits(self);
        check.session(&self.session);
        check.pool("pool.primary", &self.pool.primary);
        check.pool("pool.replica", &self.pool.replica);
        check.tls("tls", &self.tls);
        check.monitor(&self.monitor);
        check.health(&self.health);
        check.lag(&self.lag);
        check.failover(&self.failover);
        if let Some(name) = &self.cluster_name {
            check.name("cluster_name".to_owned(), name);
        }
        check.notify(&self.notify);
        check.discovery(self);
        ConfigErrors::check(check.errors)
    }
}

/// The key of a node by its place in [`Config::nodes`].
fn node_key(place: usize) -> String {
    place.checked_sub(1).map_or_else(|| "primary".to_owned(), |replica| format!("replicas[{replica}]"))
}

#[derive(Default)]
struct Check {
    errors: Vec<ConfigError>,
}

impl Check {
    fn urls(&mut self, config: &Config) {
        let nodes = 1 + config.replicas.len();
        if nodes > MAX_NODES {
            self.errors.push(ConfigError::TooManyNodes { nodes, max: MAX_NODES });
        }
        for (place, node) in config.nodes().enumerate() {
            let key = format!("{}.url", node_key(place));
            match (node.url.engine(), config.primary.url.engine()) {
                (None, _) if place == 0 => self.errors.push(ConfigError::MissingPrimary),
                (None, _) => self.errors.push(ConfigError::MissingUrl { key }),
                (Some(engine), Some(primary)) if engine != primary => {
                    let (engine, primary) = (engine_name(engine), engine_name(primary));
                    self.errors.push(ConfigError::MixedEngines { key, engine, primary });
                }
                (Some(_), _) if node.url.has_redacted_password() => {
                    self.errors.push(ConfigError::HiddenPassword { key });
                }
                (Some(_), _) => {}
            }
        }
    }

    fn servers(&mut self, config: &Config) {
        let replicas = &config.replicas;
        for (place, node) in replicas.iter().enumerate() {
            let Some(endpoint) = node.url.endpoint().map(ToString::to_string) else { continue };
            let key = format!("replicas[{place}].url");
            if node.url.same_server(&config.primary.url) {
                if !config.allow_primary_as_replica {
                    self.errors.push(ConfigError::PrimaryAsReplica { key, endpoint });
                }
            } else if let Some(first) =
                replicas[..place].iter().position(|other| other.url.same_server(&node.url))
            {
                let first = format!("replicas[{first}].url");
                self.errors.push(ConfigError::SameServer { key, endpoint, first });
            }
        }
    }

    fn node(&mut self, config: &Config, key: &str, node: &NodeConfig) {
        self.name(format!("{key}.name"), &node.name);
        if let Some(region) = &node.region {
            self.name(format!("{key}.region"), region);
        }
        if let Some(host) = &node.replication_host {
            self.name(format!("{key}.replication_host"), host);
        }
        self.names(&format!("{key}.groups"), &node.groups);
        let instead = if key == "primary" {
            "would never be chosen; use 1 or more, or keep reads away by read_preference"
        } else {
            "would never be chosen; use 1 or more, or remove the replica"
        };
        self.not_zero(format!("{key}.weight"), node.weight == 0, instead);
        self.max_lag(format!("{key}.max_lag"), node.max_lag, &config.monitor);
        self.node_pool(&format!("{key}.pool"), &node.pool, config);
        if let Some(tls) = &node.tls {
            self.tls(&format!("{key}.tls"), tls);
        }
        let effective = config.tls_for(node);
        let pair =
            [("sslcert", "sslkey", &effective.client_key), ("sslkey", "sslcert", &effective.client_cert)];
        for (given, other, outcome) in pair {
            if node.url.file(&[given]).is_some() && outcome.is_none() {
                let (key, other) = (format!("{key}.url ({given})"), other.to_owned());
                self.errors.push(ConfigError::Needs { key, other });
            }
        }
    }

    fn regions(&mut self, config: &Config) {
        if let Some(region) = &config.region {
            self.name("region".to_owned(), region);
        }
        self.names("regions", &config.regions);
        for (place, region) in config.regions.iter().enumerate().skip(1) {
            if config.region.as_ref() == Some(region) {
                self.errors.push(ConfigError::OwnRegion { key: format!("regions[{place}]") });
            }
        }
        let instead = "nodes are always there; use { below = 2 } or more, or \"never\"";
        self.not_zero("spill".to_owned(), config.spill == Spill::Below(0), instead);
    }

    fn groups(&mut self, config: &Config) {
        for group in config.groups.keys() {
            let key = format!("groups.{}", text::key(group));
            self.name(key.clone(), group);
            if !config.discovery.is_used() && !config.nodes().any(|node| node.groups.contains(group)) {
                self.errors.push(ConfigError::EmptyGroup { key });
            }
        }
    }

    fn waits(&mut self, config: &Config) {
        self.max_lag("max_lag".to_owned(), config.max_lag, &config.monitor);
        let same_as = "is the same as eventual; use 1ms or more, or consistency = \"eventual\"";
        self.not_zero(
            "read_after_write_window".to_owned(),
            config.read_after_write_window.is_zero(),
            same_as,
        );
        let unreachable = "can be met by no replica; use 1ms or more, or \"strong\"";
        let bound = config.consistency == Consistency::Bounded(Duration::ZERO);
        self.not_zero("consistency".to_owned(), bound, unreachable);
        let budget = &config.primary_reads;
        let never = "never allows a read; use 1 or more, or read_preference = \"replica\"";
        self.not_zero("primary_reads.per_second".to_owned(), budget.per_second == Some(0), never);
        self.not_zero("primary_reads.burst".to_owned(), budget.burst == 0, never);
        let none = "refuses every write that would wait; use 1 or more, or write_wait = \"0s\"";
        self.not_zero("write_queue".to_owned(), config.write_queue == 0, none);
        let retries = &config.retries;
        let never = "never allows a retry; use 1 or more, or retries.within = \"0s\"";
        self.not_zero("retries.per_second".to_owned(), retries.per_second == Some(0), never);
        self.not_zero("retries.burst".to_owned(), retries.burst == 0, never);
    }

    fn session(&mut self, session: &SessionConfig) {
        let at = |place: usize| format!("session.keys[{place}]");
        for (place, secret) in session.keys.iter().enumerate() {
            if secret.is_mark() {
                self.errors.push(ConfigError::HiddenKey { key: at(place) });
            } else if secret.expose().len() < SHORTEST_KEY {
                self.errors.push(ConfigError::WeakKey { key: at(place), least: SHORTEST_KEY });
            }
        }
        self.unique(session.keys.iter().enumerate().map(|(place, secret)| (at(place), secret.expose())));
        let at_once = "would end every token at once; use for example \"1day\"";
        self.not_zero("session.token_lifetime".to_owned(), session.token_lifetime.is_zero(), at_once);
        let never = "never lasts until the next read; use for example \"30s\", or \"none\"";
        self.not_zero("session.affinity".to_owned(), session.affinity == Some(Duration::ZERO), never);
    }

    /// Between two probes a replica's lag grows by itself; a limit below that refuses healthy replicas.
    fn max_lag(&mut self, key: String, limit: Option<Duration>, monitor: &MonitorConfig) {
        let Some(limit) = limit else { return };
        let longest = monitor.interval.saturating_add(monitor.jitter);
        if limit < longest {
            let other = "monitor.interval + monitor.jitter".to_owned();
            self.order(key, time(limit), "at least", other, time(longest));
        }
    }

    fn pool(&mut self, key: &str, pool: &PoolConfig) {
        self.limits(key, pool);
        if pool.min > pool.max {
            self.order(format!("{key}.min"), pool.min, "at most", format!("{key}.max"), pool.max);
        }
    }

    /// A node may have either role in the course of its life: what it overrides must fit the pools of both.
    fn node_pool(&mut self, key: &str, own: &PoolOverrides, config: &Config) {
        self.limits(key, &own.over(&PoolConfig::default()));
        if own.min.is_none() && own.max.is_none() {
            return;
        }
        for (role, pool) in [("pool.primary", &config.pool.primary), ("pool.replica", &config.pool.replica)] {
            let both = own.over(pool);
            if both.min > both.max {
                let min = if own.min.is_some() { key } else { role };
                let max = if own.max.is_some() { key } else { role };
                self.order(format!("{min}.min"), both.min, "at most", format!("{max}.max"), both.max);
                return;
            }
        }
    }

    fn limits(&mut self, key: &str, pool: &PoolConfig) {
        self.not_zero(format!("{key}.max"), pool.max == 0, "allows no connection; use 1 or more");
        let at_once = "would end every attempt at once; use for example \"1s\"";
        self.not_zero(format!("{key}.connect_timeout"), pool.connect_timeout.is_zero(), at_once);
        self.not_zero(format!("{key}.checkout_timeout"), pool.checkout_timeout.is_zero(), at_once);
        let none = "would end everything at once; use \"none\" for no limit";
        let zero = Some(Duration::ZERO);
        self.not_zero(format!("{key}.idle_timeout"), pool.idle_timeout == zero, none);
        self.not_zero(format!("{key}.max_lifetime"), pool.max_lifetime == zero, none);
        self.not_zero(format!("{key}.statement_timeout"), pool.statement_timeout == zero, none);
    }

    fn tls(&mut self, key: &str, tls: &TlsConfig) {
        let (cert, own_key) = (format!("{key}.client_cert"), format!("{key}.client_key"));
        match (&tls.client_cert, &tls.client_key) {
            (Some(_), None) => self.errors.push(ConfigError::Needs { key: cert, other: own_key }),
            (None, Some(_)) => self.errors.push(ConfigError::Needs { key: own_key, other: cert }),
            (Some(_), Some(_)) if tls.mode == SslMode::Disable => {
                self.errors.push(ConfigError::UnusedCertificate { key: cert, mode: format!("{key}.mode") });
            }
            _ => {}
        }
        if tls.root_cert.is_some() && tls.mode == SslMode::Disable {
            let (key, mode) = (format!("{key}.root_cert"), format!("{key}.mode"));
            self.errors.push(ConfigError::UnusedCertificate { key, mode });
        }
    }

    fn monitor(&mut self, monitor: &MonitorConfig) {
        let (low, high) = (Duration::from_millis(10), Duration::from_secs(60));
        self.range("monitor.interval", monitor.interval, low, high);
        self.range("monitor.timeout", monitor.timeout, low, high);
        self.range("monitor.connect_timeout", monitor.connect_timeout, low, high);
        if monitor.jitter >= monitor.interval && !monitor.interval.is_zero() {
            let (key, other) = ("monitor.jitter".to_owned(), "monitor.interval".to_owned());
            self.order(key, time(monitor.jitter), "less than", other, time(monitor.interval));
        }
    }

    fn health(&mut self, health: &HealthConfig) {
        let always = "is reached without any observation; use 1 or more";
        self.not_zero("health.degraded_after".to_owned(), health.degraded_after == 0, always);
        self.not_zero("health.down_after".to_owned(), health.down_after == 0, always);
        self.not_zero("health.up_after".to_owned(), health.up_after == 0, always);
        if health.degraded_after > health.down_after && health.down_after > 0 {
            let (key, other) = ("health.degraded_after".to_owned(), "health.down_after".to_owned());
            self.order(key, health.degraded_after, "at most", other, health.down_after);
        }
    }

    fn lag(&mut self, lag: &LagConfig) {
        self.not_zero("lag.info".to_owned(), lag.info.is_zero(), "is always reached; use for example \"1s\"");
        let levels =
            [("info", lag.info), ("warning", lag.warning), ("error", lag.error), ("critical", lag.critical)];
        for pair in levels.windows(2) {
            if let [(lower, low), (higher, high)] = pair
                && low >= high
            {
                self.order(
                    format!("lag.{higher}"),
                    time(*high),
                    "more than",
                    format!("lag.{lower}"),
                    time(*low),
                );
            }
        }
        self.not_zero(
            "lag.clear_ratio".to_owned(),
            lag.clear_ratio.get() == 0,
            "never ends an alert; use 1 to 100",
        );
        if !(2..=65_536).contains(&lag.history) {
            self.out_of_range("lag.history", lag.history, 2, 65_536);
        }
    }

    fn failover(&mut self, failover: &FailoverPolicy) {
        let one = "would promote without any evidence; use 1 or more";
        self.not_zero("failover.confirmations".to_owned(), failover.confirmations == 0, one);
        let itself = "replicas leave nobody to promote; use 1 or more, the candidate included";
        self.not_zero("failover.min_replicas".to_owned(), failover.min_replicas == 0, itself);
        let at_once = "would end every promotion at once; use for example \"30s\"";
        self.not_zero("failover.timeout".to_owned(), failover.timeout.is_zero(), at_once);
        let at_once = "would end every switchover at once; use for example \"3s\"";
        self.not_zero("failover.hold".to_owned(), failover.hold.is_zero(), at_once);
        let at_once = "would end every proposal at once; use for example \"5min\"";
        self.not_zero("failover.approve_within".to_owned(), failover.approve_within.is_zero(), at_once);
        let password = failover.password.as_ref();
        if password.is_some_and(Secret::is_mark) {
            self.errors.push(ConfigError::HiddenPassword { key: "failover.password".to_owned() });
        }
        if password.is_some() && failover.user.is_none() {
            let (key, other) = ("failover.password".to_owned(), "failover.user".to_owned());
            self.errors.push(ConfigError::Needs { key, other });
        }
    }

    fn name(&mut self, key: String, name: &str) {
        if name.is_empty() || name.trim() != name || name.chars().any(char::is_control) {
            self.errors.push(ConfigError::Name { key });
        }
    }

    fn names(&mut self, key: &str, names: &[String]) {
        for (place, name) in names.iter().enumerate() {
            self.name(format!("{key}[{place}]"), name);
        }
        self.unique(names.iter().enumerate().map(|(place, name)| (format!("{key}[{place}]"), name.as_str())));
    }

    fn unique<'a>(&mut self, named: impl Iterator<Item = (String, &'a str)>) {
        let mut seen = BTreeMap::new();
        for (key, value) in named.filter(|(_, value)| !value.is_empty()) {
            if let Some(first) = seen.get(value) {
                self.errors.push(ConfigError::Duplicate { key, first: String::clone(first) });
            } else {
                seen.insert(value, key);
            }
        }
    }

    fn not_zero(&mut self, key: String, is_zero: bool, instead: &'static str) {
        if is_zero {
            self.errors.push(ConfigError::Zero { key, instead });
        }
    }

    fn range(&mut self, key: &str, value: Duration, low: Duration, high: Duration) {
        if !(low..=high).contains(&value) {
            self.out_of_range(key, time(value), time(low), time(high));
        }
    }

    fn out_of_range<T: Display>(&mut self, key: &str, value: T, low: T, high: T) {
        let (value, low, high) = (value.to_string(), low.to_string(), high.to_string());
        self.errors.push(ConfigError::OutOfRange { key: key.to_owned(), value, low, high });
    }

    fn order(
        &mut self,
        key: String,
        value: impl Display,
        relation: &'static str,
        other: String,
        than: impl Display,
    ) {
        let (value, other_value) = (value.to_string(), than.to_string());
        self.errors.push(ConfigError::Order { key, value, relation, other, other_value });
    }
}

fn time(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(duration)
}

const fn engine_name(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "PostgreSQL",
        Engine::MySql => "MySQL",
        Engine::MariaDb => "MariaDB",
        Engine::Sqlite => "SQLite",
    }
}
