//! `rr-torture run` tortures; `rr-torture check FILE` judges a kept history again.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program's output is what it prints")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use rr_torture::check::check;
use rr_torture::faults::Change;
use rr_torture::history::History;
use rr_torture::torture::{Torture, torture};
use rr_torture::{Error, peer};

const USAGE: &str = "usage: rr-torture run [--minutes N] [--seed N] [--round N] [--change KIND] [--lie LIE] [--keep FOLDER] | check FILE\n\
    --minutes: 10, or with --round once, unless it is said\n\
    KIND: none, automatic-promotion, outside-promotion, switchover\n\
    LIE: what is switched off: eventual, forgets-reads, bounded, strong, drops-token, patches, hides-loss, calls-it-safe";

/// How long it tortures unless it is told. One round that is asked for is played once: rounds are played whole, whatever the time.
const MINUTES: f64 = 10.0;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("rr-torture: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing was violated.
async fn run() -> Result<bool, Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["run", ref options @ ..] => {
            let result = torture(&wish(options)?, |line| println!("{line}")).await?;
            Ok(result.violations == 0)
        }
        ["check", file] => judge(Path::new(file)),
        ["peer", plan] => peer::run(Path::new(plan)).await.map(|()| true),
        _ => Err(USAGE.into()),
    }
}

fn wish(options: &[&str]) -> Result<Torture, Error> {
    let mut minutes = None;
    let mut wish = Torture::new(fastrand::u64(..1 << 32), Duration::ZERO, &std::env::current_exe()?);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let value = *options.next().ok_or(USAGE)?;
        match *option {
            "--minutes" => minutes = Some(value.parse().map_err(|_| USAGE)?),
            "--seed" => wish.seed = value.parse().map_err(|_| USAGE)?,
            "--round" => wish.round = Some(value.parse().map_err(|_| USAGE)?),
            "--change" => wish.change = Some(Change::named(value).ok_or(USAGE)?),
            "--lie" => wish.lie = serde_json::from_value(value.into()).map_err(|_| USAGE)?,
            "--keep" => wish.keep = PathBuf::from(value),
            _ => return Err(USAGE.into()),
        }
    }
    let usual = if wish.round.is_some() { 0.0 } else { MINUTES };
    wish.time = Duration::try_from_secs_f64(minutes.unwrap_or(usual) * 60.0)?;
    Ok(wish)
}

fn judge(file: &Path) -> Result<bool, Error> {
    let history = History::read(file)?;
    let verdict = check(&history);
    for violation in &verdict.violations {
        println!("{violation}");
        for op in violation.ops.iter().filter_map(|index| history.ops.get(*index)) {
            println!("  {}", serde_json::to_string(op)?);
        }
    }
    println!("torture_reads={} torture_violations={}", verdict.counts.reads, verdict.violations.len());
    Ok(verdict.violations.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_round_is_played_once_unless_time_is_asked_for() {
        let time = |options: &[&str]| wish(options).unwrap().time.as_secs();
        assert_eq!(time(&[]), 600);
        assert_eq!(time(&["--seed", "7"]), 600);
        assert_eq!(time(&["--round", "7"]), 0);
        for both in [["--round", "7", "--minutes", "2"], ["--minutes", "2", "--round", "7"]] {
            assert_eq!(time(&both), 120);
        }
    }
}
