//! One server of the cluster.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::duration;
use super::endpoint::Endpoint;
use super::pool::PoolOverrides;
use super::tls::TlsConfig;
use super::url::{DatabaseUrl, UrlError};

/// One server. In a file a node may also be just its URL: `replicas = ["postgres://…", "postgres://…"]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct NodeConfig {
    /// The node's name in logs, metrics and errors. Default: `primary`, and `replica-1`, `replica-2`, … by place.
    #[serde(deserialize_with = "name", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where it is. No default.
    #[serde(skip_serializing_if = "DatabaseUrl::is_unset")]
    pub url: DatabaseUrl,
    /// Its share of the reads, relative to the other nodes; at least 1. Default: 100.
    pub weight: u32,
    /// Where it runs. Default: not known, which counts as near.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// 0 is used first; a node of a higher number only when no node of a lower one may serve. Default: 0.
    pub priority: u8,
    /// This node's own limit, in place of the cluster's `max_lag`; [`Duration::MAX`], written `"none"`, lifts the
    /// limit. Default: inherited.
    #[serde(with = "duration::optional_or_none", skip_serializing_if = "Option::is_none")]
    pub max_lag: Option<Duration>,
    /// The groups it belongs to. Default: none.
    pub groups: Vec<String>,
    /// What its pool has different from the pool of its role. Default: nothing.
    pub pool: PoolOverrides,
    /// Its own TLS settings, in place of the cluster's. Default: inherited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Where the other servers reach it for replication, when that is not the host of its URL. Default: that host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication_host: Option<String>,
    /// The port for that. Default: that of its URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication_port: Option<u16>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            url: DatabaseUrl::default(),
            weight: 100,
            region: None,
            priority: 0,
            max_lag: None,
            groups: Vec::new(),
            pool: PoolOverrides::default(),
            tls: None,
            replication_host: None,
            replication_port: None,
        }
    }
}

impl NodeConfig {
    /// A node at this URL, everything else by default. It gets its name when it is put into a configuration.
    ///
    /// # Errors
    /// When the text is not a database URL.
    pub fn new<U>(url: U) -> Result<Self, UrlError>
    where
        U: TryInto<DatabaseUrl>,
        U::Error: Into<UrlError>,
    {
        Ok(Self { url: url.try_into().map_err(Into::into)?, ..Self::default() })
    }

    /// Sets the name.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the weight.
    #[must_use]
    pub const fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Sets the region.
    #[must_use]
    pub fn with_region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Sets the priority; 0 is used first.
    #[must_use]
    pub const fn with_priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// Sets this node's own limit of lag.
    #[must_use]
    pub const fn with_max_lag(mut self, max_lag: Duration) -> Self {
        self.max_lag = Some(max_lag);
        self
    }

    /// Sets where the other servers reach it for replication, when a promotion points them to it.
    #[must_use]
    pub fn with_replication(mut self, host: impl Into<String>, port: u16) -> Self {
        (self.replication_host, self.replication_port) = (Some(host.into()), Some(port));
        self
    }

    /// Where the other servers reach it for replication: host and port.
    #[must_use]
    pub fn replication_address(&self) -> Option<(String, u16)> {
        let (host, port) = match self.url.endpoint()? {
            Endpoint::Tcp { host, port } | Endpoint::Socket { path: host, port } => (host, *port),
            Endpoint::File { .. } => return None,
        };
        let host = self.replication_host.clone().unwrap_or_else(|| host.clone());
        Some((host, self.replication_port.unwrap_or(port)))
    }

    /// Adds the node to a group.
    #[must_use]
    pub fn with_group(mut self, group: impl Into<String>) -> Self {
        self.groups.push(group.into());
        self
    }
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if name.is_empty() {
        return Err(de::Error::custom("a node's name is empty; write one, or leave the key out"));
    }
    Ok(name)
}

/// A node as a file has it: a table, or only its URL.
struct Entry(NodeConfig);

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Entry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a node: its URL, or a table with `url` and more")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Entry, E> {
                let url = DatabaseUrl::deserialize(de::value::StrDeserializer::new(text))?;
                Ok(Entry(NodeConfig { url, ..NodeConfig::default() }))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Entry, A::Error> {
                NodeConfig::deserialize(de::value::MapAccessDeserializer::new(map)).map(Entry)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The name of the primary unless it is given another one.
pub(super) const PRIMARY: &str = "primary";

/// The name of the replica at `place` (from 1) unless it is given another one.
pub(super) fn replica_name(place: impl fmt::Display) -> String {
    format!("replica-{place}")
}

/// Reads the primary and gives it its name.
pub(super) fn primary<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NodeConfig, D::Error> {
    let Entry(mut node) = Entry::deserialize(deserializer)?;
    if node.name.is_empty() {
        PRIMARY.clone_into(&mut node.name);
    }
    Ok(node)
}

/// Reads the replicas and names those that have no name.
pub(super) fn replicas<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<NodeConfig>, D::Error> {
    let entries = Vec::<Entry>::deserialize(deserializer)?;
    let named = entries.into_iter().enumerate().map(|(at, Entry(mut node))| {
        if node.name.is_empty() {
            node.name = replica_name(at + 1);
        }
        node
    });
    Ok(named.collect())
}
