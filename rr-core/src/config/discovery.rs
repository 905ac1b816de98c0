//! Where nodes come from that the configuration does not list.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use crate::discovery::PlaceMap;

/// Who knows the nodes besides the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DiscoveryKind {
    /// Nobody: the nodes are those that are listed.
    #[default]
    Static,
    /// The primary, which knows its standbys (`pg_stat_replication`).
    Replication,
    /// A name in the DNS. Needs the feature `dns`.
    Dns,
}

/// Which records of a DNS name are nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DnsRecord {
    /// A and AAAA: each address is a node.
    #[default]
    A,
    /// SRV: each target with its port is a node.
    Srv,
}

/// How nodes are found that the configuration does not list. All but `kind` matter only when something is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DiscoveryConfig {
    /// Who is asked. Default: `static`, nobody.
    pub kind: DiscoveryKind,
    /// Time between two questions, where an answer does not say how long it is good for. Default: 10 s.
    #[serde(with = "duration::plain")]
    pub interval: Duration,
    /// Limit for an answer. Default: 5 s.
    #[serde(with = "duration::plain")]
    pub timeout: Duration,
    /// How long a node is missing before it leaves. Default: 30 s.
    #[serde(with = "duration::plain")]
    pub grace: Duration,
    /// How long a node that leaves may take to finish its statements; it gets no new ones. Default: 30 s.
    #[serde(with = "duration::plain")]
    pub drain: Duration,
    /// Answers are good for at least this long, whatever they say. Default: 5 s.
    #[serde(with = "duration::plain")]
    pub min_ttl: Duration,
    /// ... and for at most this long. Default: 5 min.
    #[serde(with = "duration::plain")]
    pub max_ttl: Duration,
    /// Whether an answer without any node is believed rather than taken for an error. The primary is always believed.
    /// Default: false.
    pub allow_empty: bool,
    /// The port of found nodes. Default: the primary's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// `replication`: the host of a standby, with `{application_name}` or `{client_addr}` in it. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// `replication`: hosts or URLs of standbys by their `application_name`; these win over `host`. Default: none.
    pub map: PlaceMap,
    /// `replication`: whether standbys are asked for standbys of their own. Default: false.
    pub cascade: bool,
    /// `dns`: the name. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `dns`: the records. Default: `a`.
    pub record: DnsRecord,
    /// `dns`: the servers to ask. Default: none, those of the operating system.
    pub resolver: Vec<SocketAddr>,
    /// The router was given a `Discovery` of the application's.
    #[serde(skip)]
    pub(crate) plugged: bool,
}

impl Default for DiscoveryConfig {
    fn default() -> Self {
        Self {
            kind: DiscoveryKind::Static,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            grace: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            min_ttl: Duration::from_secs(5),
            max_ttl: Duration::from_secs(300),
            allow_empty: false,
            port: None,
            host: None,
            map: PlaceMap::default(),
            cascade: false,
            name: None,
            record: DnsRecord::A,
            resolver: Vec::new(),
            plugged: false,
        }
    }
}

impl DiscoveryConfig {
    /// Whether there may be nodes that the configuration does not list.
    pub(super) fn is_used(&self) -> bool {
        self.plugged || self.kind != DiscoveryKind::Static
    }
}
