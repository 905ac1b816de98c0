//! Connection pools: sizes and deadlines, per role and per node.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;

/// The pools of both roles. A node that changes its role changes its pool's settings with it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PoolsConfig {
    /// The pool to the primary.
    pub primary: PoolConfig,
    /// The pool to each replica.
    pub replica: PoolConfig,
}

/// One pool of connections to one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PoolConfig {
    /// Connections kept open when nothing is asked. Default: 0, so that no server is needed before its first use.
    pub min: u32,
    /// Connections at most. Default: 10.
    pub max: u32,
    /// An unused connection is closed after this time. Default: 10 minutes; `"none"` keeps it.
    #[serde(with = "duration::or_none")]
    pub idle_timeout: Option<Duration>,
    /// A connection is replaced when it reaches this age. Default: 30 minutes; `"none"` never.
    #[serde(with = "duration::or_none")]
    pub max_lifetime: Option<Duration>,
    /// Limit for opening a connection, handshake included. Default: 1 s.
    #[serde(with = "duration::plain")]
    pub connect_timeout: Duration,
    /// Limit for getting a connection out of the pool. Default: 5 s.
    #[serde(with = "duration::plain")]
    pub checkout_timeout: Duration,
    /// Limit for one statement, kept by the client. Default: `"none"`.
    #[serde(with = "duration::or_none")]
    pub statement_timeout: Option<Duration>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            min: 0,
            max: 10,
            idle_timeout: Some(Duration::from_secs(10 * 60)),
            max_lifetime: Some(Duration::from_secs(30 * 60)),
            connect_timeout: Duration::from_secs(1),
            checkout_timeout: Duration::from_secs(5),
            statement_timeout: None,
        }
    }
}

/// What one node's pool has different from its role's pool. A key that is left out is inherited.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PoolOverrides {
    /// See [`PoolConfig::min`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// See [`PoolConfig::max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// See [`PoolConfig::idle_timeout`]; [`Duration::MAX`], written `"none"`, lifts the limit.
    #[serde(with = "duration::optional_or_none", skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Duration>,
    /// See [`PoolConfig::max_lifetime`]; [`Duration::MAX`], written `"none"`, lifts the limit.
    #[serde(with = "duration::optional_or_none", skip_serializing_if = "Option::is_none")]
    pub max_lifetime: Option<Duration>,
    /// See [`PoolConfig::connect_timeout`].
    #[serde(with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<Duration>,
    /// See [`PoolConfig::checkout_timeout`].
    #[serde(with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub checkout_timeout: Option<Duration>,
    /// See [`PoolConfig::statement_timeout`]; [`Duration::MAX`], written `"none"`, lifts the limit.
    #[serde(with = "duration::optional_or_none", skip_serializing_if = "Option::is_none")]
    pub statement_timeout: Option<Duration>,
}

impl PoolOverrides {
    /// The settings that hold for a node, given those of its role.
    #[must_use]
    pub fn over(&self, role: &PoolConfig) -> PoolConfig {
        let limit = |own: Option<Duration>, inherited| match own {
            Some(duration::NO_LIMIT) => None,
            own => own.or(inherited),
        };
        PoolConfig {
            min: self.min.unwrap_or(role.min),
            max: self.max.unwrap_or(role.max),
            idle_timeout: limit(self.idle_timeout, role.idle_timeout),
            max_lifetime: limit(self.max_lifetime, role.max_lifetime),
            connect_timeout: self.connect_timeout.unwrap_or(role.connect_timeout),
            checkout_timeout: self.checkout_timeout.unwrap_or(role.checkout_timeout),
            statement_timeout: limit(self.statement_timeout, role.statement_timeout),
        }
    }
}
