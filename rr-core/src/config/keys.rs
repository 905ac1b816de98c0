//! The list of all keys, taken from the structs themselves, and the environment variable of each.

use super::node::NodeConfig;
use super::pool::PoolOverrides;
use super::secret::Secret;
use super::tls::TlsConfig;
use super::url::DatabaseUrl;
use super::{
    Config, DiscoveryConfig, FailoverPolicy, GroupConfig, NotifyConfig, NotifyKind, PrimaryReads,
    WebhookFormat,
};

/// The list of secrets; like URLs it is never written out and read back.
pub(super) const SESSION_KEYS: [&str; 2] = ["session", "keys"];
/// A secret like those.
pub(super) const FAILOVER_PASSWORD: [&str; 2] = ["failover", "password"];

/// Places with URLs among them.
pub(super) const DISCOVERY_MAP: [&str; 2] = ["discovery", "map"];

pub(super) const PREFIX: &str = "RR_";
pub(super) const REPLICA: &str = "RR_REPLICA_";
pub(super) const REPLICA_URLS: &str = "RR_REPLICA_URLS";
pub(super) const GROUP: &str = "RR_GROUP_";
pub(super) const NOTIFY: &str = "RR_NOTIFY_";

/// What a variable's text is turned into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, also durations and names of choices.
    Text,
    /// A whole number; text where the key allows a word such as `none`.
    Integer,
    /// Yes or no.
    Boolean,
    /// Texts, separated by commas in a variable.
    List,
}

/// One scalar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// From the table that it was listed for: `["pool", "replica", "max"]`.
    pub(super) path: Vec<String>,
    /// How its variable is read.
    pub(super) kind: Kind,
}

impl Key {
    /// The end of its variable: `POOL_REPLICA_MAX`.
    pub(super) fn variable(&self) -> String {
        variable_form(&self.path.join("_"))
    }
}

/// How a name looks inside of a variable.
pub(super) fn variable_form(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// All keys, by the table that they belong to.
pub(super) struct Keys {
    /// Those of the configuration itself and its fixed tables, without nodes and groups.
    pub(super) cluster: Vec<Key>,
    /// Those of one node.
    pub(super) node: Vec<Key>,
    /// Those of one group.
    pub(super) group: Vec<Key>,
    /// Those of one notifier.
    pub(super) notify: Vec<Key>,
}

impl Keys {
    /// Lists them.
    pub(super) fn all() -> Self {
        // As a number, not as the word `none`.
        let primary_reads = PrimaryReads { per_second: Some(0), ..PrimaryReads::default() };
        let failover = FailoverPolicy {
            state_file: Some(std::path::PathBuf::new()),
            user: Some(String::new()),
            password: Some(Secret::default()),
            ..FailoverPolicy::default()
        };
        let text = Some(String::new());
        let discovery = DiscoveryConfig {
            port: Some(0),
            host: text.clone(),
            name: text.clone(),
            ..DiscoveryConfig::default()
        };
        let full = Config {
            region: text.clone(),
            tls: full_tls(),
            primary_reads,
            cluster_name: text,
            discovery,
            failover,
            ..Config::default()
        };
        let mut cluster = listed(&full);
        cluster.retain(|key| key.path[0] != "primary");
        let (node, group) = (listed(&full_node()), listed(&GroupConfig::default()));
        Self { cluster, node, group, notify: listed(&full_notifier()) }
    }
}

/// Every optional key of a node is there, since only what is there can be listed.
fn full_node() -> NodeConfig {
    let time = Some(std::time::Duration::ZERO);
    NodeConfig {
        name: "name".to_owned(),
        url: DatabaseUrl::parse("sqlite::memory:").unwrap_or_default(),
        region: Some(String::new()),
        max_lag: time,
        pool: PoolOverrides {
            min: Some(0),
            max: Some(0),
            idle_timeout: time,
            max_lifetime: time,
            connect_timeout: time,
            checkout_timeout: time,
            statement_timeout: time,
        },
        tls: Some(full_tls()),
        replication_host: Some(String::new()),
        replication_port: Some(0),
        ..NodeConfig::default()
    }
}

fn full_notifier() -> NotifyConfig {
    let (text, secret) = (Some(String::new()), Some(Secret::default()));
    NotifyConfig {
        kind: Some(NotifyKind::Webhook),
        name: text.clone(),
        url: secret.clone(),
        format: Some(WebhookFormat::Plain),
        authorization: secret.clone(),
        routing_key: secret,
        from: text,
        root_cert: Some(std::path::PathBuf::new()),
        ..NotifyConfig::default()
    }
}

fn full_tls() -> TlsConfig {
    let file = Some(std::path::PathBuf::new());
    TlsConfig { root_cert: file.clone(), client_cert: file.clone(), client_key: file, ..TlsConfig::default() }
}

fn listed(settings: &impl serde::Serialize) -> Vec<Key> {
    let mut keys = Vec::new();
    // Plain data of text, numbers and tables can always be written; a test lists every key.
    if let Ok(table) = toml::Table::try_from(settings) {
        list(&table, &mut Vec::new(), &mut keys);
    }
    keys
}

fn list(table: &toml::Table, path: &mut Vec<String>, keys: &mut Vec<Key>) {
    for (name, value) in table {
        path.push(name.clone());
        let kind = match value {
            toml::Value::Table(inner) => {
                list(inner, path, keys);
                None
            }
            // The nodes and notifiers; their keys are listed on their own.
            toml::Value::Array(_) if name == "replicas" || name == "notify" => None,
            toml::Value::Array(_) => Some(Kind::List),
            toml::Value::Integer(_) => Some(Kind::Integer),
            toml::Value::Boolean(_) => Some(Kind::Boolean),
            toml::Value::String(_) | toml::Value::Float(_) | toml::Value::Datetime(_) => Some(Kind::Text),
        };
        keys.extend(kind.map(|kind| Key { path: path.clone(), kind }));
        path.pop();
    }
}

/// What a variable speaks of.
pub(super) enum Target<'a> {
    /// A scalar of the cluster.
    Cluster(&'a Key),
    /// A scalar of a node; `None` is the primary.
    Node(Option<u32>, &'a Key),
    /// A scalar of a group, whose name is in capitals.
    Group(&'a str, &'a Key),
    /// A scalar of a notifier.
    Notify(u32, &'a Key),
}

impl Keys {
    /// What the variable of this name speaks of, if it is one.
    pub(super) fn target<'a>(&'a self, name: &'a str) -> Option<Target<'a>> {
        let named = |keys: &'a [Key], end: &str| keys.iter().find(|key| key.variable() == end);
        if let Some(rest) = name.strip_prefix(REPLICA) {
            let (number, end) = numbered(rest)?;
            return named(&self.node, end).map(|key| Target::Node(Some(number), key));
        }
        if let Some(rest) = name.strip_prefix(NOTIFY) {
            let (number, end) = numbered(rest)?;
            return named(&self.notify, end).map(|key| Target::Notify(number, key));
        }
        if let Some(rest) = name.strip_prefix(GROUP) {
            return self.group.iter().find_map(|key| {
                let group = rest.strip_suffix(&key.variable())?.strip_suffix('_')?;
                (!group.is_empty()).then_some(Target::Group(group, key))
            });
        }
        let rest = name.strip_prefix(PREFIX)?;
        let primary = rest.strip_prefix("PRIMARY_").and_then(|end| named(&self.node, end));
        primary.map(|key| Target::Node(None, key)).or_else(|| named(&self.cluster, rest).map(Target::Cluster))
    }

    /// Every variable's name; those of replicas, groups and notifiers with the number and name that `like` has.
    pub(super) fn variables(&self, like: &str) -> Vec<String> {
        let rest = like.strip_prefix(REPLICA).or_else(|| like.strip_prefix(NOTIFY));
        let number = rest.and_then(|rest| rest.split('_').next()).unwrap_or("1");
        let number =
            if number.parse::<u32>().is_ok_and(|n| n > 0) { number.trim_start_matches('0') } else { "1" };
        let group =
            like.strip_prefix(GROUP).and_then(|rest| rest.rsplit_once('_')).map_or("NAME", |parts| parts.0);
        let node = |prefix: String| self.node.iter().map(move |key| prefix.clone() + &key.variable());
        let mut names = vec![REPLICA_URLS.to_owned()];
        names.extend(self.cluster.iter().map(|key| format!("{PREFIX}{}", key.variable())));
        names.extend(node(format!("{PREFIX}PRIMARY_")));
        names.extend(node(format!("{REPLICA}{number}_")));
        names.extend(self.group.iter().map(|key| format!("{GROUP}{group}_{}", key.variable())));
        names.extend(self.notify.iter().map(|key| format!("{NOTIFY}{number}_{}", key.variable())));
        names
    }
}

/// Splits `2_URL`.
fn numbered(rest: &str) -> Option<(u32, &str)> {
    let (number, end) = rest.split_once('_')?;
    let parsed = number.parse::<u32>().ok().filter(|n| *n > 0 && n.to_string() == number)?;
    Some((parsed, end))
}
