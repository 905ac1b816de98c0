//! What was answered is there, and what failed for certain is not.

use super::{Ground, Rule, Violation};
use crate::history::{Action, Op, Outcome};

/// Judges.
#[must_use]
pub fn check(ground: &Ground<'_>) -> Vec<Violation> {
    let facts = &ground.history.facts;
    // Who was asked after the old primary was dead can have lost nothing with it.
    let lost = |op: &Op| facts.lossy && facts.lossy_until.is_none_or(|until| op.invoked < until);
    let bad = ground.ops().filter_map(|(index, op)| {
        let Action::Append { key, item } = op.action else { return None };
        let what = match (op.outcome, ground.placed(op)) {
            (Outcome::Ok, None) if !lost(op) => "was answered, nothing could lose it, and it is gone",
            (Outcome::Failed | Outcome::LostWrite, Some(_)) => "failed for certain, and was done",
            _ => return None,
        };
        Some(Violation {
            rule: Rule::Durable,
            ops: vec![index],
            what: format!("{item} in list {key} {what}"),
        })
    });
    bad.collect()
}
