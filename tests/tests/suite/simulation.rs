//! The simulation: seeds that once failed, a fresh few hundred, the same seed twice, and a judge that can see.

use rr_tests::simulation::{Lie, Options, Outcome, Recording, Stats, kept_seeds, run};

/// Within so many seeds a lie about promotions is caught.
const SEEDS_TO_CATCH: u64 = 400;

/// Runs the seeds, and shows how to look at one that fails.
fn must_hold(seeds: impl IntoIterator<Item = u64>) -> Stats {
    let mut stats = Stats::default();
    for seed in seeds {
        let outcome = run(seed, Options::default());
        let Outcome { violations, .. } = &outcome;
        assert!(
            violations.is_empty(),
            "seed {seed}: {violations:#?}\nsee it with: cargo run --release -p rr-tests --bin rr-sim -- --first {seed} --trace"
        );
        stats += outcome.stats;
    }
    stats
}

#[test]
fn seeds_that_once_failed_hold() {
    let kept = kept_seeds().expect("the rows can be read");
    must_hold(kept.iter().map(|row| row.seed));
}

#[test]
fn a_few_hundred_seeds_hold_and_see_everything_that_can_happen() {
    let stats = must_hold(1..=200);
    let happened = stats.happened;
    // A simulation in which these do not occur proves nothing about them.
    for (what, times) in [
        ("promotions in truth", stats.failovers),
        ("promotions by the world", stats.promotions),
        ("promotions by the world that ended well", happened.taken_over),
        ("promotions by the world that were given up", happened.given_up),
        ("promotions by the world whose end nobody knew", happened.doubts),
        ("second candidates", happened.next_candidates),
        ("acknowledged writes that another choice would have lost", happened.writes_at_stake),
        ("lost leases", happened.leases_lost),
        ("servers that the monitor cannot reach", happened.cuts_from_monitor),
        ("servers that the application cannot reach", happened.cuts_from_clients),
        ("servers that the others cannot reach", happened.cuts_from_peers),
        ("isolated servers", happened.isolations),
        ("answers that were overtaken", happened.overtaken_answers),
        ("answers that were lost", happened.lost_answers),
        ("answers that were late", happened.late_answers),
        ("reads of replicas that had to have something", happened.covered_reads),
        ("reads of replicas after a read of unknown position", happened.followed_reads),
        ("writes that end with a page", happened.page_ends),
        ("fallbacks", happened.fallback_reads),
        ("retries", happened.retried_reads),
        ("ejections", happened.ejections),
        ("split brains", happened.split_brains),
        ("foreign servers", happened.foreign),
        ("stale primaries", happened.stale_primaries),
        ("replicas beyond a fork", happened.beyond_fork),
        ("servers on a new timeline in recovery", happened.lingering),
        ("promotions by the world that somebody else's ended", happened.overtaken),
        ("stalls", happened.stalls),
        ("suspended machines", happened.suspensions),
        ("writes to a primary that was left behind", stats.limits.writes_on_stale_primary),
        ("lost writes", stats.limits.lost_writes_noticed),
    ] {
        assert!(times > 0, "{what}: none");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let traced = Options { recording: Recording::Text, ..Options::default() };
    let hashed = Options { recording: Recording::Hash, ..Options::default() };
    let mut hashes = Vec::new();
    for seed in 1..=20 {
        let (one, other) = (run(seed, traced), run(seed, traced));
        assert_eq!(one.lines, other.lines, "seed {seed}");
        assert_eq!((one.hash, one.stats), (run(seed, hashed).hash, run(seed, Options::default()).stats));
        hashes.push(one.hash);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 20, "different seeds give different runs");
}

#[test]
fn a_router_that_requires_nothing_is_caught() {
    let blind = Options { lie: Some(Lie::Blind), ..Options::default() };
    let violations: Vec<String> = (1..=10).flat_map(|seed| run(seed, blind).violations).collect();
    let told = |what: &str| violations.iter().any(|violation| violation.contains(what));
    assert!(told("lacks the session's"), "own writes: {violations:#?}");
    assert!(told("serves after the session saw"), "monotonic reads: {violations:#?}");
}

#[test]
fn a_router_that_forgets_what_was_read_last_is_caught() {
    let forgetful = Options { lie: Some(Lie::Forgetful), ..Options::default() };
    let violations: Vec<String> = (1..=30).flat_map(|seed| run(seed, forgetful).violations).collect();
    let back = |violation: &String| violation.contains("serves after the session saw");
    assert!(!violations.is_empty() && violations.iter().all(back), "{violations:#?}");
}

#[test]
fn a_router_that_forgets_what_is_in_flight_is_caught() {
    let leaky = Options { lie: Some(Lie::Leaky), ..Options::default() };
    let violations: Vec<String> = (1..=10).flat_map(|seed| run(seed, leaky).violations).collect();
    let left = |violation: &String| violation.contains(" in flight on ");
    assert!(!violations.is_empty() && violations.iter().all(left), "{violations:#?}");
}

#[test]
fn a_world_that_has_two_primaries_in_one_epoch_is_caught() {
    let uncounted = Options { lie: Some(Lie::Uncounted), ..Options::default() };
    let violations: Vec<String> = (1..=30).flat_map(|seed| run(seed, uncounted).violations).collect();
    let two = |violation: &String| violation.contains(": epoch 1 had ") && violation.contains(" and now #");
    assert!(violations.iter().any(two), "{violations:#?}");
}

#[test]
fn every_rule_of_promotions_catches_who_breaks_it() {
    for (lie, objection) in [
        (Lie::Unasked, ": the mode is "),
        (Lie::Unleased, ": the lease is not held"),
        (Lie::LeaseUnconfirmed, " is told to take over without the lease"),
        (Lie::Unconfirmed, ": the primary was silent "),
        (Lie::Unwitnessed, " does not confirm that the primary is gone"),
        (Lie::Alone, ": too few replicas answer"),
        (Lie::Restless, ": the last failover was "),
        (Lie::Distracted, ": another one is under way, or in doubt"),
        (Lie::Misdirected, ": it is no replica that answers"),
        (Lie::Impatient, " is told to take over while "),
        (Lie::Oblivious, " is told to take over, but "),
        (Lie::Hasty, " and takes over from one that has "),
        (Lie::Unelected, " standbys had applied "),
    ] {
        let lying = Options { lie: Some(lie), ..Options::default() };
        let caught = |seed: &u64| run(*seed, lying).violations.iter().any(|what| what.contains(objection));
        let by = (1..=SEEDS_TO_CATCH).find(caught);
        assert!(by.is_some(), "{lie:?}: nobody said \"{objection}\"");
    }
}
