//! Which nodes there are, where somebody else knows: a trait to plug in, and what becomes of its answers.
//!
//! ```text
//! Discovery::discover ─▶ Found ─▶ reconcile(what is known, what was found) ─▶ add, drain, remove
//! ```
//!
//! A [`Discovery`] is asked again and again by a task of the monitor, which bears with everything: an error, a panic and a
//! call that never returns keep the nodes that were found last. Nodes of the configuration, and those that were added by
//! hand, are nobody's finding and stay whatever is found. See the guide, `docs/guide/discovery.md`.
//!
//! ```
//! use std::time::Duration;
//!
//! use rr_core::discovery::{Discovering, Discovery, Found, FoundNode};
//!
//! /// Asks the inventory of some cloud.
//! struct Inventory;
//!
//! impl Discovery for Inventory {
//!     fn name(&self) -> &str {
//!         "inventory"
//!     }
//!
//!     fn discover(&self) -> Discovering<'_> {
//!         Box::pin(async {
//!             // … ask it …
//!             let nodes = vec![FoundNode::at_host("db-2", "db-2.internal", None).with_region("eu-1")];
//!             Ok(Found::new(nodes).good_for(Duration::from_secs(20)))
//!         })
//!     }
//! }
//! # let _: std::sync::Arc<dyn Discovery> = std::sync::Arc::new(Inventory);
//! ```

use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use crate::config::{DatabaseUrl, NodeConfig, UrlError};

mod finding;
mod place;
mod reconcile;
mod rule;

pub use finding::{Finding, Refusal};
pub use place::{Place, PlaceMap};
pub(crate) use reconcile::{Answer, Known, Leaving, Limits, Other, Step, reconcile};
pub(crate) use rule::Rule;

/// The answer of a [`Discovery`], on its way.
pub type Discovering<'a> = Pin<Box<dyn Future<Output = Result<Found, DiscoveryError>> + Send + 'a>>;

/// Why a [`Discovery`] cannot tell. Its text is logged and shown to people: it holds no secret.
pub type DiscoveryError = Box<dyn std::error::Error + Send + Sync>;

/// Knows which nodes there should be. Several may be used together; each answers for the nodes that it found itself.
///
/// It is never asked twice at once. A call that takes longer than `discovery.timeout` is dropped, so it must be safe to drop
/// at any await. It runs on a thread for blocking work, within the router's runtime.
pub trait Discovery: Send + Sync + 'static {
    /// Its name in logs and metrics.
    fn name(&self) -> &str;

    /// The nodes that there should be at this moment, besides the configured ones.
    fn discover(&self) -> Discovering<'_>;
}

/// The nodes that there should be.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub(crate) nodes: Vec<FoundNode>,
    pub(crate) good_for: Option<Duration>,
    pub(crate) partial: bool,
    pub(crate) none: bool,
    /// What was found and is no node, with the reason.
    pub(crate) refused: Vec<(String, Refusal)>,
}

impl Found {
    /// These nodes and no others. An empty list counts as an error (unless `discovery.allow_empty` is set), because it nearly
    /// always is one; [`Found::none`] is believed.
    #[must_use]
    pub fn new(nodes: Vec<FoundNode>) -> Self {
        Self { nodes, ..Self::default() }
    }

    /// There certainly are no such nodes.
    #[must_use]
    pub fn none() -> Self {
        Self { none: true, ..Self::default() }
    }

    /// How long that is good for, within `discovery.min_ttl` and `discovery.max_ttl`; without it one asks again after
    /// `discovery.interval`.
    #[must_use]
    pub const fn good_for(mut self, time: Duration) -> Self {
        self.good_for = Some(time);
        self
    }

    /// There may be more nodes than these: none is taken for gone because it is not among them.
    #[must_use]
    pub const fn partial(mut self) -> Self {
        self.partial = true;
        self
    }
}

/// A node that was found. Everything but its name and place is optional, and is changed while the node serves when a later
/// answer has it differently. A node whose place changes is another server: the old one is drained, then the new one joins.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundNode {
    /// Its name, unique among all nodes: by it the node is known again.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// As [`NodeConfig::weight`].
    pub weight: u32,
    /// As [`NodeConfig::region`].
    pub region: Option<String>,
    /// As [`NodeConfig::priority`].
    pub priority: u8,
    /// As [`NodeConfig::max_lag`].
    pub max_lag: Option<Duration>,
    /// As [`NodeConfig::groups`]; of these the ones that the configuration knows, by its rules or its nodes.
    pub groups: Vec<String>,
}

impl FoundNode {
    /// A node at this place.
    #[must_use]
    pub fn new(name: impl Into<String>, place: Place) -> Self {
        let NodeConfig { weight, region, priority, max_lag, groups, .. } = NodeConfig::default();
        Self { name: name.into(), place, weight, region, priority, max_lag, groups }
    }

    /// A node on this host. User, password, database and parameters are those of the primary's URL, and so is the port
    /// unless another one is given.
    #[must_use]
    pub fn at_host(name: impl Into<String>, host: impl Into<String>, port: Option<u16>) -> Self {
        Self::new(name, Place::Host { host: host.into(), port })
    }

    /// A node at this address. The rest is as with [`at_host`](Self::at_host); certificates are checked for `host` if that is
    /// given.
    #[must_use]
    pub fn at_address(
        name: impl Into<String>,
        address: IpAddr,
        port: Option<u16>,
        host: Option<String>,
    ) -> Self {
        Self::new(name, Place::Address { address, port, host })
    }

    /// A node with a URL of its own.
    #[must_use]
    pub fn at_url(name: impl Into<String>, url: DatabaseUrl) -> Self {
        Self::new(name, Place::Url(url))
    }

    /// Sets its share of the reads.
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

    /// Adds it to a group.
    #[must_use]
    pub fn with_group(mut self, group: impl Into<String>) -> Self {
        self.groups.push(group.into());
        self
    }

    /// A node that is there already, as it is.
    pub(crate) fn of(node: &NodeConfig) -> Self {
        Self {
            name: node.name.clone(),
            place: Place::Url(node.url.clone()),
            weight: node.weight,
            region: node.region.clone(),
            priority: node.priority,
            max_lag: node.max_lag,
            groups: node.groups.clone(),
        }
    }

    /// The node as it would stand in the configuration whose primary is `template`.
    pub(crate) fn node(&self, template: &NodeConfig) -> Result<NodeConfig, UrlError> {
        Ok(NodeConfig {
            name: self.name.clone(),
            url: self.place.url(&template.url)?,
            weight: self.weight,
            region: self.region.clone(),
            priority: self.priority,
            max_lag: self.max_lag,
            groups: self.groups.clone(),
            tls: template.tls.clone(),
            ..NodeConfig::default()
        })
    }
}
