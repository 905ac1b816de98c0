//! What a node must fulfil to serve one statement.
//!
//! Every consistency level, session register, token and hint is lowered to one [`Requirement`]; node
//! selection knows nothing else about consistency. A requirement is a plain value: building it allocates
//! nothing on PostgreSQL, and comparing it with a node is a few integer comparisons.

use std::fmt;
use std::time::Duration;

use crate::consistency::Consistency;
use crate::position::Position;
use crate::time::Moment;
use crate::topology::{NodeId, Topology};

/// What a node must fulfil to serve one statement.
///
/// The empty requirement ([`Requirement::NONE`]) is fulfilled by every node that serves reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requirement {
    /// Only the primary will do.
    pub primary: bool,
    /// The node must have applied at least this position.
    pub covers: Option<Position>,
    /// The node must cover a position of the primary that was sampled at or after this moment: what is
    /// left to demand when something was written and the driver could not say where it ended.
    pub after: Option<Moment>,
    /// The node must have what was read last, of which no position is known yet.
    pub seen: Option<Seen>,
    /// The node's data must have been current at most this long ago.
    pub max_lag: Option<Duration>,
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.primary {
            return f.write_str("the primary");
        }
        let mut parts = Vec::new();
        if let Some(position) = &self.covers {
            parts.push(format!("what was committed up to {position}"));
        }
        if self.after.is_some() {
            parts.push("a write whose position is not known yet".to_owned());
        }
        if self.seen.is_some() {
            parts.push("what was read last".to_owned());
        }
        if let Some(limit) = self.max_lag {
            parts.push(format!("data that is at most {limit:?} old"));
        }
        f.write_str(if parts.is_empty() { "nothing" } else { "" })?;
        f.write_str(&parts.join(", and "))
    }
}

/// The last read of somebody who must not go back in time.
///
/// What it saw is in every later sample of the node that served it, and of the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// Who served it; `None` when several nodes served reads at once.
    pub node: Option<NodeId>,
    /// It saw nothing later than this.
    pub at: Moment,
}

impl Seen {
    /// A read that this node had served by then.
    #[must_use]
    pub const fn on(node: NodeId, at: Moment) -> Self {
        Self { node: Some(node), at }
    }
}

impl Requirement {
    /// Nothing is required.
    pub const NONE: Self = Self { primary: false, covers: None, after: None, seen: None, max_lag: None };

    /// Only the primary will do.
    pub const PRIMARY: Self = Self { primary: true, ..Self::NONE };

    /// The requirement to have applied `position`.
    #[must_use]
    pub const fn covering(position: Position) -> Self {
        Self { covers: Some(position), ..Self::NONE }
    }

    /// The requirement to have been current at most `limit` ago.
    #[must_use]
    pub const fn within(limit: Duration) -> Self {
        Self { max_lag: Some(limit), ..Self::NONE }
    }

    /// This requirement and, on top of it, having applied `position`.
    ///
    /// Positions of two engines cannot be joined; then nobody can prove anything and only the primary will do.
    #[must_use]
    pub fn and_covers(mut self, position: &Position) -> Self {
        self.add_covers(position);
        self
    }

    pub(crate) fn add_covers(&mut self, position: &Position) {
        match self.covers.as_ref().map(|own| own.join(position)) {
            None => self.covers = Some(position.clone()),
            Some(Ok(joined)) => self.covers = Some(joined),
            Some(Err(_)) => self.primary = true,
        }
    }

    /// Demands the position that a sample of the primary gives a write that had none; later samples hold more than that.
    pub(crate) fn place(&mut self, topology: &Topology) {
        if let Some((at, position)) = topology.sample()
            && self.after.is_some_and(|after| at >= after)
        {
            self.after = None;
            self.add_covers(position);
        }
    }

    /// This requirement, also fulfilling what `level` demands by itself (without any session).
    #[inline]
    #[must_use]
    pub fn and_level(mut self, level: Consistency) -> Self {
        match level {
            Consistency::Strong => self.primary = true,
            Consistency::Bounded(limit) => {
                self.max_lag = Some(self.max_lag.map_or(limit, |own| own.min(limit)));
            }
            Consistency::Eventual | Consistency::ReadAfterWrite | Consistency::Session => {}
        }
        self
    }

    /// Whether a replica could fulfil this at all.
    #[must_use]
    pub const fn admits_replicas(&self) -> bool {
        !self.primary
    }
}
