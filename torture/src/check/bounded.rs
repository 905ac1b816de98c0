//! Bounded staleness: what had returned so long before a read was invoked is there.

use super::ground::{Edge, Floor, Ground};
use super::{Rule, Violation};
use crate::history::{Level, Outcome};

/// Judges.
#[must_use]
pub fn check(ground: &Ground<'_>) -> Vec<Violation> {
    overdue(ground, Rule::Bounded, |level| match level {
        Level::Bounded(millis) => Some(millis * 1_000_000),
        Level::Eventual | Level::Session | Level::Strong => None,
    })
}

/// Reads that did not see what had returned `age` (nanoseconds) before they were invoked, by whomever it was written.
pub(super) fn overdue(ground: &Ground<'_>, rule: Rule, age: impl Fn(Level) -> Option<u64>) -> Vec<Violation> {
    let mut edges: Vec<(u64, Edge, usize)> = Vec::new();
    for (index, op) in ground.ops() {
        if op.outcome == Outcome::Ok && ground.placed(op).is_some() {
            edges.push((op.returned, Edge::Returned, index));
        } else if let Some(age) = op.read().and_then(|(level, _)| age(level)) {
            edges.push((op.invoked.saturating_sub(age), Edge::Invoked, index));
        }
    }
    edges.sort_unstable();
    let mut known: Floor = vec![(0, None); ground.keys];
    let mut violations = Vec::new();
    for (_, edge, index) in edges {
        match edge {
            Edge::Returned => {
                if let Some((key, version)) = ground.placed(&ground.history.ops[index])
                    && known[key].0 < version
                {
                    known[key] = (version, Some(index));
                }
            }
            Edge::Invoked => {
                let missing = ground.missing(index, &known);
                violations.extend(missing.map(|missing| ground.violation(rule, index, missing)));
            }
        }
    }
    violations
}
