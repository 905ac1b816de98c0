//! The better of two random candidates.
//!
//! Asking two at random and taking the less loaded one is nearly as good as asking all of them, and has no
//! herd: processes with the same stale picture of the load do not all run to the same node.

use super::{Balancer, Candidate, Candidates, below, ratio_less};

/// The better of two random candidates (the default): moving average of the latency × (statements in flight + 1)
/// ÷ weight.
#[derive(Clone, Copy, Debug, Default)]
pub struct PowerOfTwo;

impl Balancer for PowerOfTwo {
    fn choose(&self, candidates: &Candidates<'_>, random: u64) -> usize {
        let len = candidates.len();
        // Two halves of one random number: the first choice among all, the second among the others.
        let first = below(random << 32, len);
        let second = below(random & 0xFFFF_FFFF_0000_0000, len - 1);
        let second = if second >= first { second + 1 } else { second };
        if ratio_less(cost(&candidates.get(second)), cost(&candidates.get(first))) { second } else { first }
    }
}

/// A node of unknown latency costs as little as an instant one: it has to be tried to become known.
fn cost(candidate: &Candidate<'_>) -> (u64, u32) {
    let waiting = u64::from(candidate.load.in_flight()) + 1;
    (candidate.load.latency_nanos().max(1).saturating_mul(waiting), candidate.node.weight)
}
