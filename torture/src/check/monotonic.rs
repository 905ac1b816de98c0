//! Monotonic reads: what a session's reads had seen, its next one sees.

use super::ground::Ground;
use super::{Rule, Verdict};

/// Judges.
pub fn check(ground: &Ground<'_>, verdict: &mut Verdict) {
    let floors = ground.floors(false, |index, op| match op.reads_for_session() {
        true => ground.view(index).kept.clone(),
        false => Vec::new(),
    });
    for (index, _) in ground.ops().filter(|(_, op)| op.reads_for_session()) {
        let Some(missing) = ground.missing(index, &floors[index]) else { continue };
        let (key, needed, seen, _) = missing;
        match ground.is_ahead(index, (key, needed, seen)) {
            true => verdict.ahead.push(index),
            false => verdict.violations.push(ground.violation(Rule::MonotonicReads, index, missing)),
        }
    }
}
