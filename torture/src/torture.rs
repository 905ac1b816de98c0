//! Rounds, one after the other, until time is up.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;
use rr_core::time::{Clock, Moment};

use crate::Error;
use crate::check::{Counts, Verdict, check};
use crate::faults::{Change, names, seeded};
use crate::history::History;
use crate::load::Lie;
use crate::minimise::minimise;
use crate::round::{Plan, play};

/// How long the clients of a round work, at least.
const ROUND: Duration = Duration::from_secs(12);

/// The same where consistency is switched off: that is noticed soon.
const LYING: Duration = Duration::from_secs(4);

/// What is wished for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Torture {
    /// Decides all rounds.
    pub seed: u64,
    /// How long: a round that has begun is ended.
    pub time: Duration,
    /// How many rounds at least, whatever the time.
    pub rounds: usize,
    /// What decides each round, in place of the seed.
    pub round: Option<u64>,
    /// How the primary changes in each round; in turn, unless it is said.
    pub change: Option<Change>,
    /// What is switched off, to see that it is noticed and kept.
    pub lie: Lie,
    /// The program of the second process.
    pub program: PathBuf,
    /// Where bad histories are kept.
    pub keep: PathBuf,
}

impl Torture {
    /// Bad histories are kept below the folder for temporary files.
    #[must_use]
    pub fn new(seed: u64, time: Duration, program: &Path) -> Self {
        let keep = std::env::temp_dir().join("rr-torture");
        Self {
            seed,
            time,
            rounds: 1,
            round: None,
            change: None,
            lie: Lie::None,
            program: program.to_owned(),
            keep,
        }
    }
}

/// What came out.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Sum {
    /// Rounds that were played.
    pub rounds: usize,
    /// What there was to judge.
    pub counts: Counts,
    /// Rules that were broken.
    pub violations: usize,
    /// Reads that missed what only a standby had shown so far.
    pub ahead: usize,
    /// Rounds of which the independent judge could not tell.
    pub undecided: usize,
    /// What was done to servers, by kind: of each kind that there is, how often.
    pub faults: BTreeMap<String, usize>,
    /// Changes of the primary, of those, that were begun while a standby was disturbed.
    pub disturbed: usize,
    /// Switchovers, of those, that were stopped, after which all was as before.
    pub stopped: usize,
}

/// Tortures, and tells of it line by line.
///
/// # Errors
/// When a round cannot be played.
pub async fn torture(wish: &Torture, tell: impl Fn(&str)) -> Result<Sum, Error> {
    let clock = Clock::start();
    let mut rng = Rng::with_seed(wish.seed);
    let mut sum = Sum { faults: names().map(|name| (name.to_owned(), 0)).collect(), ..Sum::default() };
    tell(&format!("seed {}; bad histories are kept in {}", wish.seed, wish.keep.display()));
    while sum.rounds < wish.rounds || clock.now().since(Moment::ORIGIN) < wish.time {
        let turn = wish.seed.wrapping_add(u64::try_from(sum.rounds)?);
        // Its own seed says how the primary changes in a round, so that it can be played again by that alone.
        let seed = wish.round.unwrap_or_else(|| seeded(turn, wish.change, rng.u64(..1 << 32)));
        let mut plan = match wish.lie {
            Lie::None => Plan::new(seed, ROUND, &wish.program),
            lie => Plan::new(seed, LYING, &wish.program).lying(lie),
        };
        if let Some(change) = wish.change {
            plan = plan.changing(change);
        }
        let history = play(&plan).await?;
        let (history, verdict) = tokio::task::spawn_blocking(move || {
            let verdict = check(&history);
            (history, verdict)
        })
        .await?;
        sum.add(&history, &verdict);
        let kinds: Vec<String> = history.facts.faults.iter().map(ToString::to_string).collect();
        tell(&format!(
            "round {} (seed {seed}): {} reads, {} violations; {}",
            sum.rounds,
            verdict.counts.reads,
            verdict.violations.len(),
            kinds.join(" ")
        ));
        if !verdict.violations.is_empty() {
            keep(&wish.keep, &history, &verdict, &tell)?;
        }
    }
    let counts = &sum.counts;
    tell(&format!(
        "reads checked: {}; violations: {}; reads that failed or took too long: {}",
        counts.reads, sum.violations, counts.failed
    ));
    for (router, reads) in &counts.standby_reads {
        tell(&format!("reads of standbys by {:?} in process {}: {reads}", router.orm, router.process));
    }
    tell(&format!("bounded reads of standbys: {}; strong reads: {}", counts.bounded, counts.strong));
    tell(&format!("reads that saw what a failover has lost: {}", counts.lost));
    tell(&format!(
        "hand-overs: {}; to another process: {}; to another ORM: {}",
        counts.resumed, counts.crossed_process, counts.crossed_orm
    ));
    tell(&format!("reads of the primary that missed what a standby had shown already: {}", sum.ahead));
    tell(&format!(
        "rounds of which the independent judge could not tell: {} of {}",
        sum.undecided, sum.rounds
    ));
    for (kind, count) in &sum.faults {
        tell(&format!("  {kind}: {count}"));
    }
    tell(&format!(
        "changes of the primary while a standby was disturbed: {}; stopped: {}",
        sum.disturbed, sum.stopped
    ));
    tell(&format!(
        "torture_reads={} torture_standby_reads={} torture_bounded={} torture_strong={} torture_resumed={} \
         torture_crossed_process={} torture_crossed_orm={} torture_rounds={} torture_decided={} \
         torture_violations={} torture_faults={} torture_disturbed={} seed={}",
        counts.reads,
        counts.all_standby_reads(),
        counts.bounded,
        counts.strong,
        counts.resumed,
        counts.crossed_process,
        counts.crossed_orm,
        sum.rounds,
        sum.decided(),
        sum.violations,
        sum.faults.values().sum::<usize>(),
        sum.disturbed,
        wish.seed
    ));
    Ok(sum)
}

impl Sum {
    /// Rounds of which the independent judge could tell.
    #[must_use]
    pub const fn decided(&self) -> usize {
        self.rounds - self.undecided
    }

    fn add(&mut self, history: &History, verdict: &Verdict) {
        self.rounds += 1;
        self.counts += &verdict.counts;
        self.violations += verdict.violations.len();
        self.ahead += verdict.ahead.len();
        self.undecided += usize::from(verdict.undecided);
        for fault in &history.facts.faults {
            *self.faults.entry(fault.kind.clone()).or_default() += 1;
            self.disturbed += usize::from(fault.during.is_some());
            self.stopped += usize::from(fault.stopped.is_some());
        }
    }
}

/// Keeps a bad history, and for each rule that it breaks what is left of it when that is made small.
fn keep(folder: &Path, history: &History, verdict: &Verdict, tell: &impl Fn(&str)) -> Result<(), Error> {
    // Whoever else runs this here may have made the folder.
    let own = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
    let folder = &match own {
        Ok(_) => folder.to_owned(),
        Err(_) => tempfile::Builder::new().prefix("rr-torture-").tempdir()?.keep(),
    };
    let name = free(folder, history.facts.seed)?;
    let whole = folder.join(format!("{name}.jsonl"));
    history.write(&whole)?;
    tell(&format!("  kept: {}", whole.display()));
    let mut rules: Vec<_> = verdict.violations.iter().map(|violation| violation.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    for rule in rules {
        if let Some(first) = verdict.violations.iter().find(|violation| violation.rule == rule) {
            tell(&format!("  {first}"));
        }
        let small = minimise(history, rule);
        let file = folder.join(format!("{name}-{rule:?}.jsonl"));
        small.write(&file)?;
        tell(&format!("  made small, {} operations: {}", small.ops.len(), file.display()));
    }
    Ok(())
}

/// A name that no history has yet, and none gets: the same round played again is another one.
fn free(folder: &Path, seed: u64) -> Result<String, Error> {
    let mut name = seed.to_string();
    let mut again = 0;
    while let Err(error) = File::create_new(folder.join(format!("{name}.jsonl"))) {
        if error.kind() != ErrorKind::AlreadyExists {
            return Err(error.into());
        }
        again += 1;
        name = format!("{seed}-again-{again}");
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_given_twice() {
        let folder = tempfile::tempdir().unwrap();
        let names = [7, 7, 8, 7].map(|seed| free(folder.path(), seed).unwrap());
        assert_eq!(names, ["7", "7-again-1", "8", "7-again-2"]);
        assert!(free(&folder.path().join("that is not there"), 7).is_err());
    }
}
