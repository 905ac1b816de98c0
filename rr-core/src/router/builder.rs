//! Making a router.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Inner, Router};
use crate::balance::{Balancer, balancer};
use crate::budget::Budget;
use crate::config::{Config, FailoverMode};
use crate::connector::Connector;
use crate::discovery::Discovery;
use crate::error::StartError;
use crate::failover::{Fence, Lease, Promoter};
use crate::monitor::{self, Plugins, Worker};
use crate::notify::{self, Callback, Notification, Notifier, Post, Rules};
use crate::observe::{Observing, RouteObserver};
use crate::token::KeyRing;

/// Makes a router.
#[must_use = "a builder does nothing until it is started"]
pub struct Builder<C: Connector> {
    connector: C,
    config: Config,
    balancer: Option<Arc<dyn Balancer>>,
    plugins: Plugins,
    observing: Option<Observing>,
}

impl<C: Connector> Builder<C> {
    pub(super) fn new(connector: C) -> Self {
        Self {
            connector,
            config: Config::default(),
            balancer: None,
            plugins: Plugins::default(),
            observing: None,
        }
    }

    /// The configuration. Without it there is no primary, and the start is refused.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// A strategy of your own instead of the configured one.
    pub fn balancer(mut self, balancer: Arc<dyn Balancer>) -> Self {
        self.balancer = Some(balancer);
        self
    }

    /// Tells this notifier of warnings and worse, beside those of the configuration; see [`notify`](crate::notify).
    pub fn notifier(self, notifier: impl Notifier) -> Self {
        self.notifier_with(Rules::default(), notifier)
    }

    /// As [`notifier`](Self::notifier), by other rules.
    pub fn notifier_with(mut self, rules: Rules, notifier: impl Notifier) -> Self {
        self.plugins.notifiers.push(Post { notifier: Arc::new(notifier), rules });
        self
    }

    /// Calls this closure with everything that happens to the cluster, one call after the other. It may block.
    pub fn on_notice(self, call: impl Fn(&Notification) + Send + Sync + 'static) -> Self {
        let name = format!("callback-{}", self.plugins.notifiers.len() + 1);
        // It cannot be cut off, so that it is waited for and called once.
        let rules = Rules::everything().timeout(Duration::MAX).attempts(1);
        self.notifier_with(rules, Callback::new(name, call))
    }

    /// Tells this observer of every statement. The last one counts. Without one, nothing is paid for it.
    pub fn observer(self, observer: Arc<dyn RouteObserver>) -> Self {
        self.observer_of_one_in(1, observer)
    }

    /// Tells this observer of one statement in so many, by chance.
    pub fn observer_of_one_in(mut self, many: u32, observer: Arc<dyn RouteObserver>) -> Self {
        self.observing = Some(Observing::new(observer, many));
        self
    }

    /// The lease that says which process may promote. Without it, an [`InProcessLease`](crate::failover::InProcessLease) that all
    /// routers of this process have which name the same database as their primary.
    pub fn lease(mut self, lease: Arc<dyn Lease>) -> Self {
        self.plugins.hooks.lease = Some(lease);
        self
    }

    /// What keeps a server from taking writes of anybody, before another one is promoted.
    pub fn fence(mut self, fence: Arc<dyn Fence>) -> Self {
        self.plugins.hooks.fence = Some(fence);
        self
    }

    /// Somebody who promotes in place of the router: the manager of the cluster.
    pub fn promoter(mut self, promoter: Arc<dyn Promoter>) -> Self {
        self.plugins.hooks.promoter = Some(promoter);
        self
    }

    /// Somebody who knows nodes that the configuration does not list, besides those that it names itself
    /// (`discovery.kind`). Several may be used together.
    pub fn discovery(mut self, discovery: Arc<dyn Discovery>) -> Self {
        self.plugins.discoveries.push(discovery);
        self
    }

    /// Checks the configuration, opens the pools without connecting, and waits (at most `startup_wait`) until every
    /// node has been looked at. A node that cannot be reached does not fail the start.
    ///
    /// # Errors
    /// [`StartError`] names what is wrong with the settings.
    pub async fn start(mut self) -> Result<Router<C>, StartError> {
        self.config.discovery.plugged = !self.plugins.discoveries.is_empty();
        self.config.validate()?;
        let engine = self.config.engine()?;
        if engine.probe_sql().is_none() {
            return Err(StartError::Engine(engine));
        }
        let (policy, hooks) = (&self.config.failover, &self.plugins.hooks);
        let one_process = policy.single_process || hooks.promoter.is_some();
        if policy.mode == FailoverMode::Automatic && !one_process && !hooks.spans_processes() {
            return Err(StartError::Lease);
        }
        let promotes = policy.mode != FailoverMode::Follow && hooks.promoter.is_none();
        let balancer = self.balancer.unwrap_or_else(|| balancer(self.config.balance));
        let reads = &self.config.primary_reads;
        let budget = Budget::new(reads.per_second, reads.burst);
        let retries = &self.config.retries;
        let retries = Budget::new(retries.per_second, retries.burst);
        let keys = KeyRing::new(&self.config.session.keys);
        let patience = self.config.startup_wait;
        self.plugins.notifiers.splice(..0, notify::from_config(&self.config)?);
        let (worker, shared, mut ends) = Worker::start(self.connector, self.config, engine, self.plugins)?;
        let worker = tokio::spawn(monitor::outlive(worker));
        let inner = Inner {
            shared,
            balancer,
            budget,
            retries,
            keys,
            observing: self.observing.map(Arc::new),
            commands: ends.commands,
            stop: ends.stop,
            worker: tokio::sync::Mutex::new(Some(worker)),
        };
        let router = Router { inner: Arc::new(inner) };
        if tokio::time::timeout(patience, ends.looked.wait_for(|looked| *looked)).await.is_err() {
            tracing::warn!(target: "rr", ?patience, "not every node was seen in time; starting without them");
        }
        if promotes {
            router.check_privileges(patience).await?;
        }
        Ok(router)
    }
}

impl<C: Connector> fmt::Debug for Builder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("config", &self.config).finish_non_exhaustive()
    }
}
