//! The independent judge: `adya`, Elle's method over appends and reads of whole lists.
//!
//! It knows nothing of versions, floors or tokens: it infers who saw whom from the lists alone and looks for cycles, with
//! the order of each client's operations, and for strong reads with that of real time.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use adya::{Opts, Valid, Workload};
use serde_json::{Value, json};

use super::ground::{Edge, Ground};
use super::{Rule, Verdict, Violation};
use crate::history::{Action, Level, Op, Outcome};

/// How long it may look for a cycle that it knows to be there.
const PATIENCE: Duration = Duration::from_secs(5);

/// What it must not find. Snapshot isolation as a whole is more than PostgreSQL gives to those who read from several
/// servers: two concurrent commits may be shown in either order (`G-nonadjacent`).
const SESSIONS: [&str; 2] = ["consistent-view", "strong-session-read-committed"];
const CYCLES: [&str; 1] = ["G-single-process"];
const STRONG: [&str; 1] = ["strict-serializable"];

/// Judges, after those who say which reads need not follow what a standby has shown.
pub fn check(ground: &Ground<'_>, verdict: &mut Verdict) {
    let ahead: HashSet<usize> = verdict.ahead.iter().copied().collect();
    let all = judge(&Transcript::of(ground, &ahead, |_| true), &SESSIONS, &CYCLES);
    let strong = Transcript::of(ground, &ahead, |level| level == Level::Strong);
    for judged in [all, judge(&strong, &STRONG, &[])] {
        match judged {
            Some(violations) => verdict.violations.extend(violations),
            None => verdict.undecided = true,
        }
    }
}

/// A history in Jepsen's words.
struct Transcript {
    lines: String,
    /// The operation of each line.
    ops: Vec<usize>,
}

impl Transcript {
    fn of(ground: &Ground<'_>, ahead: &HashSet<usize>, levels: impl Fn(Level) -> bool) -> Self {
        let counts = |index: usize, op: &Op| match &op.action {
            // What a failover has lost is not there for anybody who counts.
            Action::Append { .. } => {
                op.outcome != Outcome::Ok || ground.placed(op).is_some() || !ground.history.facts.lossy
            }
            Action::Lists { level, .. } => {
                let is_whole = ground.view(index).gone.is_empty() || !ground.history.facts.lossy;
                op.outcome == Outcome::Ok && levels(*level) && is_whole && !ahead.contains(&index)
            }
            Action::Read { .. } | Action::Export { .. } | Action::Resume { .. } => false,
        };
        let mut transcript = Self { lines: String::new(), ops: Vec::new() };
        let mut processes: HashMap<(u64, u64), usize> = HashMap::new();
        let mut of_op: HashMap<usize, usize> = HashMap::new();
        let mut next = 0;
        for (_, edge, index) in ground.edges() {
            let op = &ground.history.ops[index];
            if !counts(index, op) {
                continue;
            }
            if edge == Edge::Invoked {
                let mut fresh = || {
                    next += 1;
                    next
                };
                // Whoever asks for any state has no order with what it asked for before.
                let is_loose = matches!(op.read(), Some((Level::Eventual | Level::Bounded(_), _)));
                let process = match is_loose {
                    true => fresh(),
                    false => *processes.entry((op.client, op.session)).or_insert_with(fresh),
                };
                of_op.insert(index, process);
            }
            let kind = match (edge, op.outcome) {
                (Edge::Invoked, _) => "invoke",
                (Edge::Returned, Outcome::Ok) => "ok",
                (Edge::Returned, Outcome::Failed | Outcome::LostWrite) => "fail",
                (Edge::Returned, Outcome::Unknown) => "info",
            };
            if kind == "info" {
                processes.remove(&(op.client, op.session));
            }
            transcript.push(index, kind, of_op.get(&index).copied().unwrap_or_default(), &value(op, edge));
        }
        let finals = &ground.history.facts.finals;
        let all =
            |seen: bool| finals.iter().map(|(key, items)| json!(["r", key, seen.then_some(items)])).collect();
        let last = ground.history.ops.len();
        transcript.push(last, "invoke", next + 1, &all(false));
        transcript.push(last, "ok", next + 1, &all(true));
        transcript
    }

    fn push(&mut self, op: usize, kind: &str, process: usize, value: &Value) {
        let line = json!({ "index": self.ops.len(), "type": kind, "process": process, "value": value });
        self.ops.push(op);
        self.lines.push_str(&line.to_string());
        self.lines.push('\n');
    }
}

fn value(op: &Op, edge: Edge) -> Value {
    match &op.action {
        Action::Append { key, item } => json!([["append", key, item]]),
        Action::Lists { lists, .. } => lists
            .iter()
            .map(|(key, items)| json!(["r", key, (edge == Edge::Returned).then_some(items)]))
            .collect(),
        Action::Read { .. } | Action::Export { .. } | Action::Resume { .. } => json!([]),
    }
}

/// `None` where it cannot tell: then it accuses nobody.
fn judge(transcript: &Transcript, models: &[&str], anomalies: &[&str]) -> Option<Vec<Violation>> {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let options =
        Opts { models: owned(models), anomalies: owned(anomalies), timeout: PATIENCE, ..Opts::default() };
    let unreadable = |what: String| Violation { rule: Rule::Appends, ops: Vec::new(), what };
    let history = match adya::History::from_json(&transcript.lines) {
        Ok(history) => history,
        Err(error) => return Some(vec![unreadable(format!("not judged: {error}"))]),
    };
    let report = adya::check(&history, Workload::ListAppend, &options);
    match report.valid {
        Valid::True => return Some(Vec::new()),
        Valid::Unknown => return None,
        Valid::False => {}
    }
    let op = |index: &u64| usize::try_from(*index).ok().and_then(|index| transcript.ops.get(index)).copied();
    let mut violations = Vec::new();
    for (kind, found) in &report.anomalies {
        for anomaly in found {
            let mut ops: Vec<usize> = anomaly.ops.iter().filter_map(op).collect();
            ops.sort_unstable();
            ops.dedup();
            let what = format!("{kind}: {}", anomaly.explanation);
            violations.push(Violation { rule: Rule::Appends, ops, what });
        }
    }
    if violations.is_empty() {
        violations.push(unreadable(format!("not valid: {:?}", report.anomaly_types)));
    }
    Some(violations)
}
