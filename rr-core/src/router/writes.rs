//! Writes that wait, and what became of those that had to.

use std::sync::Arc;

use super::Router;
use crate::connector::Connector;
use crate::tally::WriteStep;
use crate::topology::Epoch;
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

    /// A write was answered by a node that was chosen in this epoch.
    #[inline]
    pub(crate) fn answered_write(&self, epoch: Option<Epoch>) {
        if let Some(epoch) = epoch {
            self.inner.shared.first_writes.answered(epoch, || self.now());
        }
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
