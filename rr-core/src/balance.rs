//! Which of several equally good nodes serves.
//!
//! Selection ([`select`](crate::select)) has already refused every node that must not serve; a balancer may
//! pick any candidate without breaking a promise. Choosing is apart from measuring: loads are kept by
//! [`Load`], randomness is an argument, and a balancer is a short function of both.

use std::fmt;
use std::sync::Arc;

use crate::config::Strategy;
use crate::load::Load;
use crate::topology::{Node, NodeSet, Topology};

mod least;
mod p2c;
mod random;
mod round_robin;
mod weighted;

pub use least::{LeastConnections, LeastLag};
pub use p2c::PowerOfTwo;
pub use random::Random;
pub use round_robin::RoundRobin;
pub use weighted::Weighted;

/// Picks one of the candidates.
///
/// Implement it to bring a strategy of your own. It is called for every routed read, from many threads: no
/// lock, no allocation, no clock.
pub trait Balancer: Send + Sync + fmt::Debug {
    /// The candidate (below `candidates.len()`) that shall serve. `random` is uniform over all `u64`. There are
    /// always at least two candidates; an answer out of range counts as the last one.
    fn choose(&self, candidates: &Candidates<'_>, random: u64) -> usize;
}

/// The nodes to choose from.
#[derive(Clone, Copy, Debug)]
pub struct Candidates<'a> {
    topology: &'a Topology,
    loads: &'a [Arc<Load>],
    set: NodeSet,
    /// Of the set, which many a processor counts the slow way.
    len: usize,
}

/// One node to choose from.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Candidate<'a> {
    /// What is known about it.
    pub node: &'a Node,
    /// What it is doing.
    pub load: &'a Load,
}

impl<'a> Candidates<'a> {
    /// The nodes of `topology` that are in `set`; `loads` are in the order of its nodes.
    #[must_use]
    pub const fn new(topology: &'a Topology, loads: &'a [Arc<Load>], set: NodeSet) -> Self {
        Self { topology, loads, set, len: set.len() }
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The `n`th candidate; beyond the end, the last one.
    ///
    /// # Panics
    /// When there is no candidate at all.
    #[inline]
    #[must_use]
    pub fn get(&self, n: usize) -> Candidate<'a> {
        self.at(self.index(n))
    }

    /// All candidates in order.
    pub fn iter(&self) -> impl Iterator<Item = Candidate<'a>> + use<'a> {
        let this = *self;
        this.set.iter().map(move |index| this.at(index))
    }

    /// The topology index of the `n`th candidate.
    #[inline]
    pub(crate) fn index(&self, n: usize) -> usize {
        self.set.nth(n.min(self.len.saturating_sub(1))).unwrap_or_default()
    }

    #[inline]
    fn at(&self, index: usize) -> Candidate<'a> {
        Candidate { node: &self.topology.nodes()[index], load: &self.loads[index] }
    }
}

/// The balancer that the configuration names.
#[must_use]
pub fn balancer(strategy: Strategy) -> Arc<dyn Balancer> {
    match strategy {
        Strategy::Weighted => Arc::new(Weighted),
        Strategy::RoundRobin => Arc::new(RoundRobin::default()),
        Strategy::Random => Arc::new(Random),
        Strategy::LeastLag => Arc::new(LeastLag),
        Strategy::LeastConnections => Arc::new(LeastConnections),
        Strategy::P2c => Arc::new(PowerOfTwo),
    }
}

/// Maps `random` to `0..bound` evenly, without a division: the high half of a wide product.
fn below(random: u64, bound: usize) -> usize {
    let bound = u64::try_from(bound).unwrap_or(u64::MAX);
    let wide = (u128::from(random) * u128::from(bound)) >> 64;
    usize::try_from(wide).unwrap_or_default()
}

/// Orders `a.0 / a.1` and `b.0 / b.1` without dividing.
fn ratio_less(a: (u64, u32), b: (u64, u32)) -> bool {
    u128::from(a.0) * u128::from(b.1) < u128::from(b.0) * u128::from(a.1)
}

#[cfg(test)]
mod tests;
