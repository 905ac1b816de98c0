//! Notifications, to receivers that are real servers on this machine.

use std::time::Duration;

use rr_core::config::{Config, NodeConfig, NotifyConfig};
use rr_core::world::Severity;

use crate::log::Log;
use crate::router::{Result, start};

mod clusters;
mod mails;
mod own;
mod post_office;
mod receiver;
mod routing;
mod webhooks;

/// A router over two nodes that are not there. Each of them joins, which is told once.
fn nowhere(notifiers: Vec<NotifyConfig>) -> Result<Config> {
    let mut config = Config::new("postgres://app@127.0.0.1:1/shop")?;
    config.replicas.push(NodeConfig::new("postgres://app@127.0.0.1:2/shop")?.with_name("replica-1"));
    config.startup_wait = Duration::ZERO;
    config.cluster_name = Some("shop".to_owned());
    config.notify = notifiers;
    Ok(config)
}

/// Of all that happens, what is told exactly once of each node.
fn joins(mut one: NotifyConfig) -> NotifyConfig {
    one.kinds = vec!["joined".to_owned()];
    one.with_min_severity(Severity::Info)
}
