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

/// A candidate that no other is better than. Of several that are equally good each is as likely: the n-th one found
/// replaces the one before with a chance of one in n.
fn best(
    candidates: &Candidates<'_>,
    random: u64,
    better: impl Fn(&Candidate<'_>, &Candidate<'_>) -> bool,
) -> usize {
    let mut all = candidates.iter().enumerate();
    let Some(mut best) = all.next() else { return 0 };
    let (mut ties, mut dice) = (1, random);
    for (n, candidate) in all {
        if better(&candidate, &best.1) {
            (best, ties) = ((n, candidate), 1);
        } else if !better(&best.1, &candidate) {
            ties += 1;
            dice = dice.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
            if below(dice, ties) == 0 {
                best = (n, candidate);
            }
        }
    }
    best.0
}
