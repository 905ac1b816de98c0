//! Writes follow reads: whoever sees a write sees what its session knew when it wrote it, across hand-overs.

use super::ground::{Floor, Ground};
use super::{Rule, Verdict};
use crate::history::{Action, Outcome};

/// Judges.
pub fn check(ground: &Ground<'_>, verdict: &mut Verdict) {
    let floors = ground.floors(true, |index, op| match op.outcome {
        Outcome::Ok if op.reads_for_session() => ground.view(index).kept.clone(),
        Outcome::Ok => ground.placed(op).into_iter().collect(),
        Outcome::Failed | Outcome::Unknown | Outcome::LostWrite => Vec::new(),
    });
    let along = implied(ground, &floors);
    for (index, _) in ground.ops().filter(|(_, op)| op.read().is_some()) {
        let view = ground.view(index);
        let mut floor: Floor = vec![(0, None); ground.keys];
        for (key, version) in &view.kept {
            let Some(brought) = version.checked_sub(1).and_then(|last| along[*key].get(last)) else {
                continue;
            };
            join(&mut floor, brought);
        }
        let by_write = ground.missing(index, &floor);
        let Some(missing) = by_write.or_else(|| handed_over(ground, index, &floors[index])) else { continue };
        let (key, needed, seen, _) = missing;
        match ground.is_ahead(index, (key, needed, seen)) {
            true => verdict.ahead.push(index),
            false => verdict.violations.push(ground.violation(Rule::WritesFollowReads, index, missing)),
        }
    }
}

/// What is missing of what was known to the session that this one was handed over from.
fn handed_over(
    ground: &Ground<'_>,
    index: usize,
    floor: &Floor,
) -> Option<(usize, usize, usize, Option<usize>)> {
    let op = &ground.history.ops[index];
    let missing = op.reads_for_session().then(|| ground.missing(index, floor))??;
    let by = missing.3?;
    (ground.history.ops[by].session != op.session).then_some(missing)
}

/// For each list, and each of its versions: what the writes up to there imply.
fn implied(ground: &Ground<'_>, floors: &[Floor]) -> Vec<Vec<Floor>> {
    let list = |key: usize| {
        let mut so_far: Floor = vec![(0, None); ground.keys];
        let mut version = 0;
        let next = || {
            version += 1;
            let length = ground.length(key);
            (version <= length).then(|| {
                if let Some(writer) = ground.writer(key, version) {
                    debug_assert!(matches!(ground.history.ops[writer].action, Action::Append { .. }));
                    join(
                        &mut so_far,
                        &floors[writer].iter().map(|(least, by)| (*least, by.and(Some(writer)))).collect(),
                    );
                }
                so_far.clone()
            })
        };
        std::iter::from_fn(next).collect()
    };
    (0..ground.keys).map(list).collect()
}

fn join(floor: &mut Floor, other: &Floor) {
    for (least, more) in floor.iter_mut().zip(other) {
        if least.0 < more.0 {
            *least = *more;
        }
    }
}
