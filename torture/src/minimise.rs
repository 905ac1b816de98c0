//! Makes a history small that breaks a rule: what can be left out without mending it is left out.

use crate::check::{Rule, check};
use crate::history::{Action, History, Op};

/// Judgements that this may cost.
const LOOKS: usize = 400;

/// The operations without which this rule would not be broken, by delta debugging: first whole sessions, then ever smaller
/// runs of operations. Of what nobody did any more nothing is left in the lists' ends but that it is there.
#[must_use]
pub fn minimise(history: &History, rule: Rule) -> History {
    let mut looks = 0;
    let mut breaks = |ops: &[Op]| {
        looks += 1;
        let candidate = History { facts: history.facts.clone(), ops: ops.to_vec() };
        looks <= LOOKS && check(&candidate).violations.iter().any(|violation| violation.rule == rule)
    };
    let mut ops = history.ops.clone();
    // The operations that the judge named, and who else they need, are often enough.
    for violation in check(history).violations.iter().filter(|violation| violation.rule == rule) {
        let named: Vec<Op> =
            violation.ops.iter().filter_map(|index| history.ops.get(*index)).cloned().collect();
        let mut with_tokens = history.ops.clone();
        with_tokens.retain(|op| {
            named.contains(op) || matches!(op.action, Action::Export { .. } | Action::Resume { .. })
        });
        if breaks(&with_tokens) {
            ops = with_tokens;
            break;
        }
    }
    let mut sessions: Vec<u64> = ops.iter().map(|op| op.session).collect();
    sessions.sort_unstable();
    sessions.dedup();
    for session in sessions {
        let mut without = ops.clone();
        without.retain(|op| op.session != session);
        if breaks(&without) {
            ops = without;
        }
    }
    let mut run = ops.len().div_ceil(2);
    while run > 0 {
        let mut at = 0;
        while at < ops.len() {
            let mut without = ops.clone();
            without.drain(at..(at + run).min(ops.len()));
            match breaks(&without) {
                true => ops = without,
                false => at += run,
            }
        }
        run /= 2;
    }
    History { facts: history.facts.clone(), ops }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Story, session};

    #[test]
    fn what_is_left_is_the_violation_alone() {
        let mut story = Story::new(2);
        for number in 0..50 {
            story.append(session(number % 7), 0).read(session(number % 7));
        }
        story.append(session(99), 1).stale(session(99), &[50, 0]);
        let history = story.history();
        let small = minimise(&history, Rule::OwnWrites);
        assert_eq!(small.ops.len(), 2, "{:?}", small.ops);
        assert!(small.ops.iter().all(|op| op.session == 99));
    }
}
