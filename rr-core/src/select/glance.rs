//! The short way to accept nodes: a few comparisons for each.

use crate::position::{PgPosition, Position};
use crate::requirement::Requirement;
use crate::time::Moment;
use crate::topology::{NodeSet, Topology};

/// The short way to accept nodes. Whatever it does not accept gets the full verdict, which it never contradicts.
#[derive(Clone, Copy)]
pub(super) struct Glance {
    /// Words of head positions from here ...
    from: u64,
    /// ... up to but not including this one cover what is needed.
    to: u64,
}

impl Glance {
    /// `None` for a requirement that a glance cannot judge.
    #[inline]
    pub(super) fn at(requirement: &Requirement) -> Option<Self> {
        if requirement.after.is_some() || requirement.seen.is_some() || requirement.max_lag.is_some() {
            return None;
        }
        match &requirement.covers {
            None => Some(Self { from: 0, to: u64::MAX }),
            Some(Position::Postgres(position)) if position.is_single() => {
                let from = position.head_word()?;
                Some(Self { from, to: PgPosition::end_of_timeline(from) })
            }
            Some(_) => None,
        }
    }

    /// Those among `set`, which are in the rotation, that need no other look.
    #[inline]
    pub(super) fn accepted(self, topology: &Topology, set: NodeSet, now: Moment) -> NodeSet {
        if self.is_met_by(topology.common_head()) && now < topology.fresh_until() {
            return set;
        }
        set.retain(topology.hot(), |hot| self.is_met_by(hot.head) & (now < hot.fresh_until))
    }

    #[inline]
    const fn is_met_by(self, head: u64) -> bool {
        (head >= self.from) & (head < self.to)
    }
}
