//! Nodes that are records of a DNS name.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};

use crate::config::{Config, DiscoveryConfig, DnsRecord};
use crate::discovery::{Discovering, Discovery, Found, FoundNode};

struct Dns {
    name: String,
    record: DnsRecord,
    port: Option<u16>,
    /// The port that addresses get, for their names.
    shown_port: u16,
    settings: DiscoveryConfig,
}

pub(super) fn discovery(config: &Config) -> Arc<dyn Discovery> {
    let settings = config.discovery.clone();
    let own = config.primary.url.endpoint().and_then(crate::config::Endpoint::port);
    Arc::new(Dns {
        name: settings.name.clone().unwrap_or_default(),
        record: settings.record,
        port: settings.port,
        shown_port: settings.port.or(own).unwrap_or_default(),
        settings,
    })
}

#[derive(Debug, thiserror::Error)]
enum DnsError {
    #[error("the operating system's resolver settings cannot be read; name servers in `discovery.resolver`")]
    System(#[source] NetError),
    #[error("`{name}` cannot be looked up")]
    Lookup {
        name: String,
        #[source]
        source: NetError,
    },
}

impl Discovery for Dns {
    fn name(&self) -> &str {
        "dns"
    }

    fn discover(&self) -> Discovering<'_> {
        Box::pin(async { Ok(self.look().await?) })
    }
}

impl Dns {
    async fn look(&self) -> Result<Found, DnsError> {
        // Made anew for each answer: the system's settings may have changed, and nothing is kept that could be old.
        let resolver = self.resolver().map_err(DnsError::System)?;
        let found = match self.record {
            DnsRecord::A => {
                let (v4, v6) = tokio::join!(
                    self.records(&resolver, RecordType::A),
                    self.records(&resolver, RecordType::AAAA)
                );
                // Half an answer would make the nodes of the other half vanish.
                let (v4, v6) = (v4?, v6?);
                Records { ttl: shorter(v4.ttl, v6.ttl), data: v4.data.into_iter().chain(v6.data).collect() }
            }
            DnsRecord::Srv => self.records(&resolver, RecordType::SRV).await?,
        };
        let unweighted = found.data.iter().all(|data| !matches!(data, RData::SRV(srv) if srv.weight > 0));
        let nodes = found.data.iter().filter_map(|data| self.node(data, unweighted)).collect();
        let answer = Found::new(nodes);
        Ok(match found.ttl {
            Some(ttl) => answer.good_for(Duration::from_secs(ttl.into())),
            None => answer,
        })
    }

    fn node(&self, data: &RData, unweighted: bool) -> Option<FoundNode> {
        match data {
            RData::A(address) => Some(self.at_address(address.0.into())),
            RData::AAAA(address) => Some(self.at_address(address.0.into())),
            // A target of `.` says that there is no such service.
            RData::SRV(srv) if !srv.target.is_root() => {
                let host = srv.target.to_ascii().trim_end_matches('.').to_lowercase();
                let node = FoundNode::at_host(Endpoint(&host, srv.port).to_string(), host, Some(srv.port));
                let priority = u8::try_from(srv.priority).unwrap_or(u8::MAX);
                let node = node.with_priority(priority);
                // Nobody has weighted them: they are like all other nodes. Among others, 0 is the smallest weight.
                Some(if unweighted { node } else { node.with_weight(u32::from(srv.weight).max(1)) })
            }
            _ => None,
        }
    }

    fn at_address(&self, address: IpAddr) -> FoundNode {
        let name = Endpoint(&address.to_string(), self.shown_port).to_string();
        let host = self.name.trim_end_matches('.').to_owned();
        FoundNode::at_address(name, address, self.port, Some(host))
    }

    /// The records of this type; none if there is no such record or name.
    async fn records(&self, resolver: &TokioResolver, of: RecordType) -> Result<Records, DnsError> {
        match resolver.lookup(self.name.as_str(), of).await {
            Ok(lookup) => {
                let answers = || lookup.answers().iter();
                let ttl = answers().map(|record| record.ttl).min();
                let data =
                    answers().filter(|record| record.record_type() == of).map(|record| record.data.clone());
                Ok(Records { ttl, data: data.collect() })
            }
            Err(error) if error.is_no_records_found() => Ok(Records { ttl: None, data: Vec::new() }),
            Err(source) => Err(DnsError::Lookup { name: self.name.clone(), source }),
        }
    }

    fn resolver(&self) -> Result<TokioResolver, NetError> {
        let mut builder = if self.settings.resolver.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let servers = self.settings.resolver.iter().map(|server| {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
                NameServerConfig::new(server.ip(), true, connections.into())
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options: &mut ResolverOpts = builder.options_mut();
        options.cache_size = 0;
        options.timeout = self.settings.timeout / 3;
        options.attempts = 1;
        options.preserve_intermediates = true;
        builder.build()
    }
}

struct Records {
    /// The shortest, that of aliases on the way included.
    ttl: Option<u32>,
    data: Vec<RData>,
}

fn shorter(a: Option<u32>, b: Option<u32>) -> Option<u32> {
    a.into_iter().chain(b).min()
}

/// Host and port, as an endpoint shows them.
struct Endpoint<'a>(&'a str, u16);

impl fmt::Display for Endpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') {
            write!(f, "[{}]:{}", self.0, self.1)
        } else {
            write!(f, "{}:{}", self.0, self.1)
        }
    }
}
