//! A write that a failover has lost is told to its session, before one of its reads shows that it is gone.

use std::collections::HashMap;

use super::ground::{Edge, Ground, place, step};
use super::{Rule, Violation};
use crate::history::{Action, Op, Outcome, SessionId};

/// Writes that are owed a word: their lists, and the operations. Of each list only the last ones, see [`owe`].
type Owed = Vec<(usize, usize)>;

/// Judges.
#[must_use]
pub fn check(ground: &Ground<'_>) -> Vec<Violation> {
    if !ground.history.facts.lossy {
        return Vec::new();
    }
    let ops = &ground.history.ops;
    let told = told(ground);
    // Until when what was begun is forgiven, to what ends at that instant.
    let forgiven = |session: SessionId, at: u64| {
        let told = told.get(&session).map(Vec::as_slice).unwrap_or_default();
        told.partition_point(|(invoked, _)| *invoked <= at).checked_sub(1).map(|last| told[last].1)
    };
    let mut sessions: HashMap<SessionId, Owed> = HashMap::new();
    let mut tokens: HashMap<u64, Owed> = HashMap::new();
    let mut violations = Vec::new();
    for (_, edge, index) in ground.edges() {
        let op = &ops[index];
        let owed = sessions.entry(op.session).or_default();
        if edge == Edge::Invoked
            && let Some(until) = forgiven(op.session, op.returned)
        {
            owed.retain(|(_, write)| {
                step();
                ops[*write].invoked > until
            });
        }
        match (edge, &op.action) {
            (Edge::Invoked, Action::Export { token }) => drop(tokens.insert(*token, owed.clone())),
            (Edge::Returned, Action::Resume { token }) if op.outcome == Outcome::Ok => {
                tokens.get(token).into_iter().flatten().for_each(|lost| owe(ops, owed, *lost));
            }
            // Nobody in particular can be told of a write without a session: there is a notice.
            (Edge::Returned, Action::Append { key, .. })
                if op.outcome == Outcome::Ok && !op.unscoped && ground.placed(op).is_none() =>
            {
                owe(ops, owed, (place(*key), index));
            }
            (Edge::Invoked, Action::Read { .. } | Action::Lists { .. }) if op.reads_for_session() => {
                let lacking = |(key, write): &&(usize, usize)| lacks(ground, index, *key, *write);
                violations.extend(owed.iter().find(lacking).map(|(key, write)| Violation {
                    rule: Rule::ToldLoss,
                    ops: vec![index, *write],
                    what: format!("a write to list {key} is lost, and its session reads on untold"),
                }));
            }
            _ => {}
        }
    }
    violations
}

/// A write that had returned when another one to its list was invoked came before it, and was lost with it: whoever shows the
/// later one shows both, and to whom the later one is forgiven, both are. So the later one stands for both, and those that are
/// left of a list were under way at one instant: no more than there were clients, however many writes are lost.
fn owe(ops: &[Op], owed: &mut Owed, (key, write): (usize, usize)) {
    let precedes = |one: usize, other: usize| one == other || ops[one].returned < ops[other].invoked;
    let of_this_list = |lost: &(usize, usize)| {
        step();
        lost.0 == key
    };
    if owed.iter().any(|lost| of_this_list(lost) && precedes(write, lost.1)) {
        return;
    }
    owed.retain(|lost| !(of_this_list(lost) && precedes(lost.1, write)));
    owed.push((key, write));
}

/// Whether a read is certain not to show this lost write to a list.
fn lacks(ground: &Ground<'_>, read: usize, key: usize, write: usize) -> bool {
    let (view, ops) = (ground.view(read), &ground.history.ops);
    if view.version(key).is_some() {
        return true;
    }
    // A standby that has not heard of the failover may still show it.
    if view.gone.iter().all(|(of, _)| *of != key) {
        return false;
    }
    let Action::Append { item, .. } = ops[write].action else { return false };
    match &ops[read].action {
        Action::Lists { lists, .. } => {
            lists.iter().all(|(of, items)| place(*of) != key || !items.contains(&item))
        }
        _ => {
            let seen = ops[read].seen();
            let mut last = seen.iter().filter(|seen| place(seen.key) == key);
            last.any(|last| {
                ground.appended(last.item).is_some_and(|last| ops[last].returned < ops[write].invoked)
            })
        }
    }
}

/// For each session when it was told of a loss, in order, and what that forgives: all that was begun by then.
fn told(ground: &Ground<'_>) -> HashMap<SessionId, Vec<(u64, u64)>> {
    let mut told: HashMap<SessionId, Vec<(u64, u64)>> = HashMap::new();
    for (_, op) in ground.ops().filter(|(_, op)| op.outcome == Outcome::LostWrite) {
        told.entry(op.session).or_default().push((op.invoked, op.returned));
    }
    for instants in told.values_mut() {
        instants.sort_unstable();
        let mut latest = 0;
        for (_, returned) in instants {
            latest = latest.max(*returned);
            *returned = latest;
        }
    }
    told
}
