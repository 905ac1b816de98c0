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
        let dice = random.wrapping_mul(SPREAD);
        let cost = |n: usize, die: u64| cost(&candidates.get(n), u32::from(die.to_le_bytes()[0]));
        if ratio_less(cost(second, dice >> 56), cost(first, dice >> 48)) { second } else { first }
    }
}

/// Any odd number with its bits well mixed: makes dice that do not depend on the two choices.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Differences well below this many nanoseconds come from schedulers and caches and say nothing about a node.
const NOISE: u64 = 500_000;

/// A node of unknown latency costs as little as an instant one: it has to be tried to become known.
///
/// The die raises the cost by up to a factor of two. Without it an idle system would send everything to the node that
/// happens to be a microsecond faster; with it, nearly equal nodes share, and one that is twice as slow still loses.
fn cost(candidate: &Candidate<'_>, die: u32) -> (u64, u32) {
    let waiting = u64::from(candidate.load.in_flight()) + 1;
    let latency = (candidate.load.latency_nanos() + NOISE).saturating_mul(u64::from(256 + die));
    (latency.saturating_mul(waiting), candidate.node.weight)
}
