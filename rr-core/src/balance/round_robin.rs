//! One after the other, each as often as its weight says.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Balancer, Candidates};

/// One after the other. Nodes of higher weight come up more often, spread over the round.
///
/// The counter is shared by all requests, so that the turn is fair over the whole process and not for each
/// kind of request.
#[derive(Debug, Default)]
pub struct RoundRobin {
    turn: AtomicU64,
}

/// The fractional part of the golden ratio as a 64-bit fraction: consecutive multiples of it fall as evenly
/// over the circle as any sequence can (Weyl), which spreads the turns of a heavy node instead of bunching them.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Balancer for RoundRobin {
    fn choose(&self, candidates: &Candidates<'_>, _random: u64) -> usize {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut weights = candidates.iter().map(|c| c.node.weight);
        let first = weights.next().unwrap_or(1);
        if weights.all(|weight| weight == first) {
            let len = u64::try_from(candidates.len()).unwrap_or(1).max(1);
            return usize::try_from(turn % len).unwrap_or_default();
        }
        super::weighted::pick(candidates, turn.wrapping_mul(GOLDEN), |c| u64::from(c.node.weight))
    }
}
