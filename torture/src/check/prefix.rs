//! Consistent prefix: each state that was seen is one that the database has been in.
//!
//! Each list is a beginning of what it is in the end, unless a failover has lost the rest. A write is seen with all that
//! had returned before it was invoked. The states that standbys show are one after the other, and so are those of primaries:
//! between the two only the former holds, because a primary may show two concurrent commits in another order than its log
//! has them (which PostgreSQL's own snapshot isolation does not forbid, and no router can see).

use super::ground::{Floor, Ground, place};
use super::{Rule, Violation};
use crate::history::{Action, Item, Key, Outcome};

/// Judges.
#[must_use]
pub fn check(ground: &Ground<'_>) -> Vec<Violation> {
    let mut violations = never_was(ground);
    violations.extend(without_earlier(ground));
    for by_standby in [false, true] {
        violations.extend(incomparable(ground, by_standby));
    }
    violations
}

fn never_was(ground: &Ground<'_>) -> Vec<Violation> {
    if ground.history.facts.lossy {
        return never_appended(ground);
    }
    let bad = ground.ops().filter_map(|(index, _)| Some((index, ground.view(index).gone.first()?)));
    bad.map(|(index, (key, _))| Violation {
        rule: Rule::Prefix,
        ops: vec![index],
        what: format!("list {key} was never like that"),
    })
    .collect()
}

/// What a failover has lost was there before, and was one list as well.
fn never_appended(ground: &Ground<'_>) -> Vec<Violation> {
    let mut longest: Vec<(&[Item], usize)> = vec![(&[], 0); ground.keys];
    let mut violations = Vec::new();
    let mut object = |ops, key, what| {
        violations.push(Violation { rule: Rule::Prefix, ops, what: format!("list {key} {what}") });
    };
    for (index, op) in ground.ops() {
        let gone = |key: Key| ground.view(index).gone.iter().any(|(of, _)| *of == place(key));
        for seen in op.seen().iter().filter(|seen| gone(seen.key)) {
            if !ground.was_appended(seen.key, seen.item) {
                object(vec![index], seen.key, "ends with what nobody has appended");
            }
        }
        let Action::Lists { lists, .. } = &op.action else { continue };
        for (key, list) in lists.iter().filter(|(key, _)| gone(*key)) {
            let (known, by) = longest[place(*key)];
            if !list.iter().zip(known).all(|(one, other)| one == other) {
                object(vec![by, index], *key, "was lost in two ways");
            } else if list.len() > known.len() {
                // Its beginning was looked through already.
                if !list[known.len()..].iter().all(|item| ground.was_appended(*key, *item)) {
                    object(vec![index], *key, "has what nobody has appended");
                }
                longest[place(*key)] = (list, index);
            }
        }
    }
    violations
}

fn reads<'g>(ground: &'g Ground<'_>) -> impl Iterator<Item = (usize, bool)> + 'g {
    ground.ops().filter_map(|(index, op)| Some((index, op.read()?.1)))
}

fn without_earlier(ground: &Ground<'_>) -> Vec<Violation> {
    // For each list the latest instant at which one of its first writes was invoked, and by whom.
    let latest = |key: usize| {
        let mut latest = (0, None);
        let mut version = 0;
        let next = || {
            version += 1;
            (version <= ground.length(key)).then(|| {
                if let Some(writer) = ground.writer(key, version) {
                    latest = latest.max((ground.history.ops[writer].invoked, Some(writer)));
                }
                latest
            })
        };
        std::iter::from_fn(next).collect::<Vec<_>>()
    };
    let latest: Vec<_> = (0..ground.keys).map(latest).collect();
    let mut returned: Vec<(u64, usize, usize)> = ground
        .ops()
        .filter(|(_, op)| op.outcome == Outcome::Ok)
        .filter_map(|(_, op)| ground.placed(op).map(|(key, version)| (op.returned, key, version)))
        .collect();
    returned.sort_unstable();
    let mut due: Vec<(u64, Option<usize>, usize)> = reads(ground)
        .filter_map(|(index, _)| {
            let of = |(key, version): &(usize, usize)| latest[*key].get(version.checked_sub(1)?).copied();
            let (at, by) = ground.view(index).kept.iter().filter_map(of).max()?;
            Some((at, by, index))
        })
        .collect();
    due.sort_unstable();
    let mut floor: Floor = vec![(0, None); ground.keys];
    let mut returned = returned.into_iter().peekable();
    let mut violations = Vec::new();
    for (at, by, read) in due {
        while let Some((_, key, version)) = returned.next_if(|(returned, ..)| *returned < at) {
            floor[key].0 = floor[key].0.max(version);
        }
        if let Some((key, needed, seen, _)) = ground.missing(read, &floor) {
            violations.push(ground.violation(Rule::Prefix, read, (key, needed, seen, by)));
        }
    }
    violations
}

fn incomparable(ground: &Ground<'_>, by_standby: bool) -> Vec<Violation> {
    let all = |index: usize| {
        let version = |key| ground.view(index).version(key);
        (0..ground.keys).map(version).collect::<Option<Vec<usize>>>()
    };
    let states = reads(ground).filter(|(_, standby)| *standby == by_standby);
    // What a failover has lost is no part of the order.
    let states = states.filter(|(index, _)| ground.view(*index).gone.is_empty());
    let mut states: Vec<_> = states
        .filter_map(|(index, _)| {
            let state: Vec<usize> = all(index)?;
            Some((state.iter().sum::<usize>(), state, index))
        })
        .collect();
    states.sort_unstable();
    let pairs = states.windows(2).filter_map(|pair| {
        let [(_, less, first), (_, more, second)] = pair else { return None };
        let key = less.iter().zip(more).position(|(less, more)| less > more)?;
        let what = format!("one state has more of list {key}, the other more of another");
        Some(Violation { rule: Rule::Prefix, ops: vec![*first, *second], what })
    });
    pairs.collect()
}
