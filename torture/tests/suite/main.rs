//! Torture of real servers: a slice of `make torture`, and whether a lie is noticed.

mod kept;

use std::path::Path;
use std::time::Duration;

use rr_torture::Error;
use rr_torture::check::{Rule, check};
use rr_torture::faults::Change;
use rr_torture::history::History;
use rr_torture::load::Lie;
use rr_torture::round::{Plan, play};
use rr_torture::torture::{Torture, torture};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rr-torture");
/// Two ORMs in each of two processes.
const ROUTERS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_the_past_while_servers_are_tortured() -> Result<(), Error> {
    let seed = fastrand::u64(..1 << 32);
    let mut wish = Torture::new(seed, Duration::from_secs(120), Path::new(PROGRAM));
    wish.rounds = Change::ALL.len();
    let sum = torture(&wish, |line| println!("{line}")).await?;
    assert_eq!(sum.violations, 0, "seed {seed}");
    // What there is to judge was there, and somebody else than us has judged it.
    assert_eq!(sum.counts.lacking(ROUTERS), None, "seed {seed}: {sum:?}");
    assert!(sum.undecided <= 1, "seed {seed}: {sum:?}");
    assert!(sum.counts.failed < sum.counts.reads / 4, "seed {seed}: {sum:?}");
    assert!(sum.disturbed > 0, "seed {seed}: {sum:?}");
    assert!(sum.faults.values().all(|count| *count > 0), "seed {seed}: {sum:?}");
    Ok(())
}

/// What is switched off by public settings is noticed within seconds, by the judge of that rule.
async fn is_noticed(lie: Lie, rule: Rule) -> Result<History, Error> {
    is_noticed_by(lie, rule, |_| true).await
}

/// The same, where the first line of what is said has these words.
async fn is_noticed_by(lie: Lie, rule: Rule, words: impl Fn(&str) -> bool) -> Result<History, Error> {
    let plan = Plan::new(fastrand::u64(..1 << 32), Duration::from_secs(4), Path::new(PROGRAM));
    let history = play(&plan.lying(lie)).await?;
    let verdict = check(&history);
    let of_rule = verdict.violations.iter().filter(|violation| violation.rule == rule);
    let said: Vec<&str> =
        of_rule.map(|violation| violation.what.lines().next().unwrap_or_default()).collect();
    assert!(
        said.iter().any(|what| words(what)),
        "{rule:?} was not noticed in {} reads, but {said:?}",
        verdict.counts.reads
    );
    Ok(history)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_without_own_writes_are_noticed() -> Result<(), Error> {
    is_noticed(Lie::Eventual, Rule::OwnWrites).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_go_back_are_noticed() -> Result<(), Error> {
    is_noticed(Lie::ForgetsReads, Rule::MonotonicReads).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_token_is_noticed() -> Result<(), Error> {
    is_noticed(Lie::DropsToken, Rule::WritesFollowReads).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_that_is_not_kept_is_noticed() -> Result<(), Error> {
    is_noticed(Lie::Bounded, Rule::Bounded).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strong_reads_that_are_not_are_noticed() -> Result<(), Error> {
    is_noticed(Lie::Strong, Rule::Strong).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_independent_judge_notices_by_itself() -> Result<(), Error> {
    is_noticed(Lie::Eventual, Rule::Appends).await.map(drop)
}

/// A session's own order accuses these reads as well: only who asks for real time names it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_independent_judge_notices_by_real_time_as_well() -> Result<(), Error> {
    let by_time = |what: &str| what.split(':').next().is_some_and(|kind| kind.ends_with("-realtime"));
    is_noticed_by(Lie::Strong, Rule::Appends, by_time).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_never_was_is_noticed() -> Result<(), Error> {
    is_noticed(Lie::Patches, Rule::Prefix).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_that_nobody_is_told_of_is_noticed() -> Result<(), Error> {
    let history = is_noticed(Lie::HidesLoss, Rule::ToldLoss).await?;
    let changed = history.facts.faults.iter().map(|fault| fault.at).max();
    assert!(
        history.facts.lossy_until > changed,
        "when the primary died is known: {:?}",
        history.facts.lossy_until
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_are_gone_are_noticed() -> Result<(), Error> {
    is_noticed(Lie::CallsItSafe, Rule::Durable).await.map(drop)
}
