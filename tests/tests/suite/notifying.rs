//! Notifications, to receivers that are real servers on this machine.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rr_core::config::{Config, NodeConfig, NotifyConfig};
use rr_core::world::Severity;

use crate::router::{Result, start};

mod clusters;
mod mails;
mod own;
mod post_office;
mod receiver;
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

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no test panics while it logs")).into_owned()
    }

    /// Everything that this thread logs from now on comes here.
    fn begin(&self) -> impl Sized + use<> {
        let sink = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(move || sink.clone())
            .finish();
        tracing_subscriber::util::SubscriberInitExt::set_default(subscriber)
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().map_err(|_| std::io::Error::other("poisoned"))?.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
