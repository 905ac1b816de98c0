//! Where an operator's own tools plug into a promotion: fencing, and whoever switches the cluster instead of us.

use std::fmt;
use std::sync::Arc;

use super::lease::BoxFuture;

/// A hook has failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HookError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl HookError {
    /// Because of this. It is logged and reported: it must hold no secret.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// A node, to somebody outside.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Where it is, without secrets.
    pub endpoint: Arc<str>,
}

impl Place {
    /// The node of this name, there.
    #[must_use]
    pub const fn new(name: Arc<str>, endpoint: Arc<str>) -> Self {
        Self { name, endpoint }
    }
}

/// Keeps a server from taking writes of anybody: powers it off, takes its address or its volume away, closes its firewall.
///
/// Called for the old primary before another node is promoted, and for a candidate that was told to take over and does not
/// say whether it has. `Ok` means that it takes no write from now on, whatever state it was in; the call must be repeatable.
pub trait Fence: Send + Sync + fmt::Debug + 'static {
    /// Fences the node. The caller bounds the time.
    fn fence<'a>(&'a self, node: &'a Place) -> BoxFuture<'a, Result<(), HookError>>;
}

/// What a [`Promoter`] is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Order {
    /// The node that was the primary.
    pub from: Option<Place>,
    /// The node that is to take over.
    pub to: Place,
    /// The old primary is well: it is a switchover.
    pub planned: bool,
    /// The lease's fencing token.
    pub token: u64,
}

impl Order {
    /// This order.
    #[must_use]
    pub const fn new(from: Option<Place>, to: Place, planned: bool, token: u64) -> Self {
        Self { from, to, planned, token }
    }
}

/// Whoever switches the cluster instead of us: a cluster under a manager must never be promoted behind its back.
///
/// With Patroni: `POST /switchover` with `{"leader", "candidate"}` when `planned`, else `POST /failover` with
/// `{"candidate"}`; node names are Patroni's member names. Patroni fences, promotes and re-points by itself, under its own
/// leader key, so the router only holds its writes meanwhile and then looks who is the primary.
pub trait Promoter: Send + Sync + fmt::Debug + 'static {
    /// Has the order carried out; `Ok` as soon as it is accepted. After an error the cluster is as it was. The caller
    /// bounds the time.
    fn promote<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<(), HookError>>;
}
