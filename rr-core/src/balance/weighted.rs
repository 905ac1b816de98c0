//! By chance, in proportion to weight, freshness and speed.

use super::{Balancer, Candidate, Candidates, below};
use crate::topology::HealthState;

/// By chance, in proportion to a score: the configured weight (slow start included), halved for a node that is
/// degraded, divided by how many times slower it answers than the fastest candidate and by how many
/// mebibytes of log it is behind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weighted;

/// Scores are scaled up, so that dividing a small weight does not make it 0.
const SCALE: u64 = 1024;
const MEBIBYTE: u64 = 1 << 20;

impl Balancer for Weighted {
    fn choose(&self, candidates: &Candidates<'_>, random: u64) -> usize {
        let fastest = candidates.iter().map(|c| c.load.latency_nanos()).filter(|&n| n > 0).min().unwrap_or(1);
        pick(candidates, random, |candidate| score(candidate, fastest))
    }
}

fn score(candidate: &Candidate<'_>, fastest: u64) -> u64 {
    let weight = u64::from(candidate.node.weight) * SCALE;
    let health = if candidate.node.health == HealthState::Degraded { 2 } else { 1 };
    let slowness = (candidate.load.latency_nanos() / fastest).max(1);
    let lag = candidate.node.lag_bytes.unwrap_or(0) / MEBIBYTE + 1;
    (weight / health / slowness / lag).max(1)
}

/// Picks a candidate with a probability in proportion to its share.
pub(super) fn pick(candidates: &Candidates<'_>, random: u64, share: impl Fn(&Candidate<'_>) -> u64) -> usize {
    let total: u64 = candidates.iter().map(|c| share(&c)).fold(0, u64::saturating_add);
    let mut left = below(random, usize::try_from(total).unwrap_or(usize::MAX));
    for (n, candidate) in candidates.iter().enumerate() {
        let share = usize::try_from(share(&candidate)).unwrap_or(usize::MAX);
        if left < share {
            return n;
        }
        left -= share;
    }
    candidates.len().saturating_sub(1)
}
