//! The primary knows its standbys.
//!
//! Only a node that is accepted as the primary is believed: what a deposed one says of its standbys is about another
//! history. With `discovery.cascade` the standbys that we know are asked as well, each for its own.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::timeout;

use crate::config::Config;
use crate::connector::{Connector, Target};
use crate::discovery::{Discovering, Discovery, DiscoveryError, Found, FoundNode, Rule};
use crate::engine::UnreadableProbe;
use crate::engine::postgres::{STANDBYS, StandbysError, Upstream, read_standbys};
use crate::monitor::Shared;
use crate::snapshot::{Common, Snapshot};
use crate::topology::{Epoch, Role};

struct Replication<C: Connector> {
    /// Whoever asks keeps it.
    shared: Weak<Shared<C>>,
}

pub(super) fn discovery<C: Connector>(shared: &Arc<Shared<C>>) -> Arc<dyn Discovery> {
    Arc::new(Replication { shared: Arc::downgrade(shared) })
}

#[derive(Debug, thiserror::Error)]
enum AskError<E: std::error::Error + 'static> {
    #[error("there is no primary to ask: {0}")]
    NoPrimary(String),
    #[error("`{node}` cannot be asked")]
    Refused {
        node: Arc<str>,
        #[source]
        source: E,
    },
    #[error("`{node}` does not answer within {limit:?}")]
    Timeout { node: Arc<str>, limit: Duration },
    #[error("`{node}` is no longer the primary")]
    Deposed { node: Arc<str> },
    #[error("`{node}`: {source}")]
    Standbys { node: Arc<str>, source: StandbysError },
}

impl<C: Connector> Discovery for Replication<C> {
    fn name(&self) -> &str {
        "replication"
    }

    fn discover(&self) -> Discovering<'_> {
        Box::pin(async {
            match self.shared.upgrade() {
                Some(shared) => ask(&shared).await.map_err(DiscoveryError::from),
                None => Ok(Found::default().partial()),
            }
        })
    }
}

async fn ask<C: Connector>(shared: &Shared<C>) -> Result<Found, AskError<C::Error>> {
    let snapshot = shared.snapshot.load_full();
    let topology = &snapshot.topology;
    let primary = topology.primary_index().map_err(|_| no_primary(&snapshot))?;
    let mut found = Found::none();
    // It does not stream from itself, and may have been found when it did from another one.
    found.nodes.push(FoundNode::of(&snapshot.members[primary].common.node));
    let mut asked = vec![primary];
    let mut next = 0;
    while let Some(&index) = asked.get(next) {
        next += 1;
        let common = &snapshot.members[index].common;
        let upstream = match look(shared, common, index == primary).await {
            Ok(upstream) => upstream,
            Err(error) if index == primary => return Err(error),
            Err(error) => {
                // Its standbys may be there all the same.
                tracing::debug!(target: "rr", %error, "a standby cannot be asked for its own standbys");
                found = found.partial();
                continue;
            }
        };
        for node in nodes(upstream, &shared.config, &mut found) {
            let endpoint = node
                .node(&shared.config.primary)
                .ok()
                .map(|node| node.url.endpoint().map(ToString::to_string).unwrap_or_default());
            let known =
                topology.nodes().iter().position(|facts| Some(&*facts.endpoint) == endpoint.as_deref());
            if let Some(known) =
                known.filter(|known| shared.config.discovery.cascade && !asked.contains(known))
            {
                asked.push(known);
            }
            found.nodes.push(node);
        }
    }
    let now = &shared.snapshot.load().topology;
    if (now.epoch(), now.primary_index().is_ok()) != (topology.epoch(), true) {
        return Err(AskError::Deposed { node: Arc::clone(&snapshot.members[primary].common.name) });
    }
    Ok(found)
}

fn no_primary<P, E: std::error::Error>(snapshot: &Snapshot<P>) -> AskError<E> {
    AskError::NoPrimary(snapshot.topology.primary().err().map(ToString::to_string).unwrap_or_default())
}

/// Asks one server, which must be of our cluster and in its role.
async fn look<C: Connector>(
    shared: &Shared<C>,
    common: &Common,
    primary: bool,
) -> Result<Upstream, AskError<C::Error>> {
    let node = || Arc::clone(&common.name);
    let limit = shared.config.monitor.connect_timeout.saturating_add(shared.config.monitor.timeout);
    let target = Target::new(&shared.config, &common.node, shared.engine, Role::Replica, Epoch::default());
    let asking = async {
        let mut control = shared.connector.control(&target).await?;
        shared.connector.run(&mut control, STANDBYS).await
    };
    let row = timeout(limit, asking).await.map_err(|_| AskError::Timeout { node: node(), limit })?;
    let row = row.map_err(|source| AskError::Refused { node: node(), source })?;
    let upstream = read_standbys(&row).map_err(|source| AskError::Standbys { node: node(), source })?;
    let system = shared.snapshot.load().topology.system();
    if system.is_some() && upstream.system != system {
        let source = StandbysError::Unreadable(UnreadableProbe { column: "system" });
        return Err(AskError::Standbys { node: node(), source });
    }
    if primary && upstream.in_recovery {
        return Err(AskError::Deposed { node: node() });
    }
    Ok(upstream)
}

fn nodes(upstream: Upstream, config: &Config, found: &mut Found) -> Vec<FoundNode> {
    let discovery = &config.discovery;
    let rule = Rule { map: &discovery.map, host: discovery.host.as_deref(), port: discovery.port };
    let mut nodes = Vec::new();
    for standby in upstream.standbys {
        match rule.node(&standby.name, standby.address) {
            Ok(node) => nodes.push(node),
            Err(refused) => found.refused.push(refused),
        }
    }
    nodes
}
