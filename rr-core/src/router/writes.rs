//! Writes that wait, and what became of those that had to.

use std::sync::Arc;

use super::Router;
use crate::connector::Connector;
use crate::tally::WriteStep;
use crate::writers::Writers;

impl<C: Connector> Router<C> {
    /// The writes that wait for a primary.
    pub(crate) fn writers(&self) -> &Arc<Writers> {
        &self.inner.shared.writers
    }

    /// How many writes wait for a primary.
    #[must_use]
    pub fn waiting_writes(&self) -> usize {
        self.writers().waiting()
    }

    pub(crate) fn count_write(&self, step: WriteStep) {
        self.inner.shared.tally.count_write(step);
    }

    /// How often writes took this step so far.
    #[must_use]
    pub fn counted_writes(&self, step: WriteStep) -> u64 {
        self.inner.shared.tally.writes(step)
    }
}
