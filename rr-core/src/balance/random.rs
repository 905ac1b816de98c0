//! Every candidate with the same probability, whatever its weight.

use super::{Balancer, Candidates, below};

/// Every candidate with the same probability.
#[derive(Clone, Copy, Debug, Default)]
pub struct Random;

impl Balancer for Random {
    fn choose(&self, candidates: &Candidates<'_>, random: u64) -> usize {
        below(random, candidates.len())
    }
}
