//! Read your writes: what a session's writes had returned is there, and for a handle without a session what anybody's
//! writes through its router had.

use std::collections::HashMap;

use super::ground::{Edge, Floor, Ground};
use super::{Rule, Violation};
use crate::history::{Outcome, Router};

/// Judges.
#[must_use]
pub fn check(ground: &Ground<'_>) -> Vec<Violation> {
    let own = |_, op: &crate::history::Op| match op.outcome {
        Outcome::Ok => ground.placed(op).into_iter().collect(),
        Outcome::Failed | Outcome::Unknown | Outcome::LostWrite => Vec::new(),
    };
    let floors = ground.floors(false, own);
    let read = ground.ops().filter(|(_, op)| op.reads_for_session());
    let mut violations: Vec<_> = read
        .filter_map(|(index, _)| {
            let missing = ground.missing(index, &floors[index])?;
            Some(ground.violation(Rule::OwnWrites, index, missing))
        })
        .collect();
    violations.extend(of_routers(ground));
    violations
}

fn of_routers(ground: &Ground<'_>) -> Vec<Violation> {
    let mut routers: HashMap<Router, Floor> = HashMap::new();
    let mut violations = Vec::new();
    for (_, edge, index) in ground.edges() {
        let op = &ground.history.ops[index];
        let known = routers.entry(op.router).or_insert_with(|| vec![(0, None); ground.keys]);
        match edge {
            Edge::Returned if op.outcome == Outcome::Ok => {
                if let Some((key, version)) = ground.placed(op)
                    && known[key].0 < version
                {
                    known[key] = (version, Some(index));
                }
            }
            Edge::Invoked if op.unscoped && op.reads_for_session() => {
                let missing = ground.missing(index, known);
                violations.extend(missing.map(|missing| ground.violation(Rule::OwnWrites, index, missing)));
            }
            Edge::Invoked | Edge::Returned => {}
        }
    }
    violations
}
