//! Which node answers: preferences, balancing, regions, groups, the primary's budget for reads.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::duration::{self, number_or_none};

/// Which role a read should go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ReadPreference {
    /// The primary only.
    Primary,
    /// The primary; a replica while there is none.
    PrimaryPreferred,
    /// Replicas only: a read that no replica may serve fails.
    Replica,
    /// Replicas; the primary when no replica may serve the read.
    #[default]
    ReplicaPreferred,
    /// Primary and replicas alike, whichever is best.
    Nearest,
}

/// What a read outside of any session must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Unscoped {
    /// Every write that this process made to the same database, through this router or another one: the plain swap of a
    /// pool stays invisible.
    #[default]
    Router,
    /// Any state.
    Eventual,
    /// Goes to the primary.
    Primary,
}

/// How one node is picked among those that may serve a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Strategy {
    /// At random, in proportion to weight, health, lag and latency.
    Weighted,
    /// One after the other.
    RoundRobin,
    /// At random, all alike.
    Random,
    /// The freshest.
    LeastLag,
    /// The one with the fewest reads in flight.
    LeastConnections,
    /// The better of two picked at random, by latency, reads in flight and weight. It adapts to slow nodes, and
    /// many processes that decide at once do not all pick the same node.
    #[default]
    P2c,
}

/// When reads leave the nearest region for the next one.
///
/// In text: `"unavailable"`, `"never"`, and `{ below = 2 }` or `"below(2)"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Spill {
    /// When no node of the nearer regions is eligible.
    #[default]
    Unavailable,
    /// Never: a read that the own region cannot serve goes to the primary.
    Never,
    /// When fewer than this many nodes of the nearer regions are eligible.
    Below(u32),
}

impl Serialize for Spill {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unavailable => serializer.serialize_str("unavailable"),
            Self::Never => serializer.serialize_str("never"),
            Self::Below(nodes) => serializer.collect_str(&format_args!("below({nodes})")),
        }
    }
}

impl<'de> Deserialize<'de> for Spill {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Below {
            below: u32,
        }

        struct Rule;
        impl<'de> de::Visitor<'de> for Rule {
            type Value = Spill;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"unavailable\", \"never\" or { below = 2 }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Spill, E> {
                let below = || text.strip_prefix("below(")?.strip_suffix(')')?.parse().ok();
                match text {
                    "unavailable" => Ok(Spill::Unavailable),
                    "never" => Ok(Spill::Never),
                    _ => below()
                        .map(Spill::Below)
                        .ok_or_else(|| E::unknown_variant(text, &["unavailable", "never", "below(2)"])),
                }
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Spill, A::Error> {
                Below::deserialize(de::value::MapAccessDeserializer::new(map)).map(|b| Spill::Below(b.below))
            }
        }
        deserializer.deserialize_any(Rule)
    }
}

/// Budget for reads that fall back to the primary, so that losing the replicas does not bring it down as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PrimaryReads {
    /// Reads a second, on average. Default: `"none"`, no limit.
    #[serde(with = "number_or_none")]
    pub per_second: Option<u32>,
    /// Reads at once after a quiet time. Default: 100.
    pub burst: u32,
}

impl Default for PrimaryReads {
    fn default() -> Self {
        Self { per_second: None, burst: 100 }
    }
}

/// How reads that a node failed are run again on another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Retries {
    /// How long a read is tried again, from its first failure on. Default: 5 s; 0 tries nothing again.
    #[serde(with = "duration::plain")]
    pub within: Duration,
    /// Statements a second that are run again, on average, by all handles of a router together; beyond that their
    /// errors reach the application, so that a cluster in trouble does not get every statement several times.
    /// Default: 1000; `"none"` for no limit.
    #[serde(with = "number_or_none")]
    pub per_second: Option<u32>,
    /// Such statements at once after a quiet time. Default: 1000.
    pub burst: u32,
}

impl Default for Retries {
    fn default() -> Self {
        Self { within: Duration::from_secs(5), per_second: Some(1000), burst: 1000 }
    }
}

/// Who serves a group's reads when none of its members may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum GroupFallback {
    /// The other nodes, as if no group had been asked for.
    #[default]
    Any,
    /// The primary.
    Primary,
    /// Nobody: the read fails.
    Error,
}

/// A labelled group of nodes, such as `analytics`, for reads that ask for it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct GroupConfig {
    /// Who serves the group's reads when no member may. Default: `any`.
    pub fallback: GroupFallback,
    /// Whether the members serve nothing but this group's reads. Default: false, they also serve the general rotation.
    pub exclusive: bool,
}

impl GroupConfig {
    /// A group with this fallback, whose members serve nothing else if `exclusive`.
    #[must_use]
    pub const fn new(fallback: GroupFallback, exclusive: bool) -> Self {
        Self { fallback, exclusive }
    }
}
