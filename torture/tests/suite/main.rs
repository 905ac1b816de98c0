//! Torture of real servers: a slice of `make torture`, and whether a lie is noticed.

use std::path::Path;
use std::time::Duration;

use rr_torture::Error;
use rr_torture::check::{Rule, check};
use rr_torture::load::{BOUND, Lie};
use rr_torture::round::{Plan, play};
use rr_torture::torture::{Torture, torture};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rr-torture");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_the_past_while_servers_are_tortured() -> Result<(), Error> {
    let seed = fastrand::u64(..1 << 32);
    let wish = Torture::new(seed, Duration::from_secs(120), Path::new(PROGRAM));
    let sum = torture(&wish, |line| println!("{line}")).await?;
    assert!(sum.reads > 0 && !sum.faults.is_empty());
    assert_eq!(sum.violations, 0, "seed {seed}");
    Ok(())
}

/// What is switched off by public settings is noticed within seconds, by the judge of that rule.
async fn is_noticed(lie: Lie, delays: (u64, u64), rule: Rule) -> Result<(), Error> {
    let delays = (Duration::from_millis(delays.0), Duration::from_millis(delays.1));
    let plan = Plan::new(fastrand::u64(..1 << 32), Duration::from_secs(4), Path::new(PROGRAM));
    let history = play(&plan.lying(lie, delays)).await?;
    let verdict = check(&history);
    let broken = verdict.violations.iter().filter(|violation| violation.rule == rule).count();
    assert!(broken > 0, "{rule:?} was not noticed in {} reads", verdict.reads);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_without_own_writes_are_noticed() -> Result<(), Error> {
    is_noticed(Lie::Eventual, (300, 300), Rule::OwnWrites).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_go_back_are_noticed() -> Result<(), Error> {
    is_noticed(Lie::ForgetsReads, (0, 300), Rule::MonotonicReads).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_token_is_noticed() -> Result<(), Error> {
    is_noticed(Lie::DropsToken, (300, 300), Rule::WritesFollowReads).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_that_is_not_kept_is_noticed() -> Result<(), Error> {
    is_noticed(Lie::Bounded, (3 * BOUND, 3 * BOUND), Rule::Bounded).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strong_reads_that_are_not_are_noticed() -> Result<(), Error> {
    is_noticed(Lie::Strong, (300, 300), Rule::Strong).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_independent_judge_notices_by_itself() -> Result<(), Error> {
    is_noticed(Lie::Eventual, (300, 300), Rule::Appends).await
}
