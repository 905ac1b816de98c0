//! Strong reads: what had returned before they were invoked is there, whoever wrote it.

use super::bounded::overdue;
use super::{Ground, Rule, Violation};
use crate::history::Level;

/// Judges.
#[must_use]
pub fn check(ground: &Ground<'_>) -> Vec<Violation> {
    overdue(ground, Rule::Strong, |level| (level == Level::Strong).then_some(0))
}
