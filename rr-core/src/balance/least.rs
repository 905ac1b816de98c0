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

/// The candidate whose data is most recent: by bytes of log, then by the moment at which it was last seen to be
/// current. A node whose bytes are not known comes after those whose are.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastLag;

impl Balancer for LeastLag {
    fn choose(&self, candidates: &Candidates<'_>, random: u64) -> usize {
        best(candidates, random, |a, b| {
            let age = |c: &Candidate<'_>| {
                (c.node.lag_bytes.is_none(), c.node.lag_bytes, Reverse(c.node.fresh_as_of))
            };
            age(a) < age(b)
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
