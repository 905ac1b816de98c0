//! The candidate that has the least of something; ties are broken by chance, so that nodes that are
//! equal share the traffic instead of the first one getting all of it.

use std::cmp::Reverse;

use super::{Balancer, Candidate, Candidates, below, ratio_less};

/// The candidate with the fewest statements in flight for its weight.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastConnections;

impl Balancer for LeastConnections {
    fn choose(&self, candidates: &Candidates<'_>, random: u64) -> usize {
        best(candidates, random, |a, b| {
            let occupancy = |c: &Candidate<'_>| (u64::from(c.load.in_flight()) + 1, c.node.weight);
            ratio_less(occupancy(a), occupancy(b))
        })
    }
}

/// The candidate whose data is most recent: by bytes of log where they are known for both, else by the moment
/// at which it was last seen to be current. A node of which neither is known comes last.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastLag;

impl Balancer for LeastLag {
    fn choose(&self, candidates: &Candidates<'_>, random: u64) -> usize {
        best(candidates, random, |a, b| match (a.node.lag_bytes, b.node.lag_bytes) {
            (Some(a), Some(b)) => a < b,
            _ => Reverse(a.node.fresh_as_of) < Reverse(b.node.fresh_as_of),
        })
    }
}

/// The first candidate, counted from a random one, that no other is better than.
fn best(
    candidates: &Candidates<'_>,
    random: u64,
    better: impl Fn(&Candidate<'_>, &Candidate<'_>) -> bool,
) -> usize {
    let len = candidates.len();
    let start = below(random, len);
    let mut best = start;
    for step in 1..len {
        let n = (start + step) % len;
        if better(&candidates.get(n), &candidates.get(best)) {
            best = n;
        }
    }
    best
}
