//! Runs every benchmark and writes down what they found: `benches/RESULTS.md`, its charts, and the table of `README.md`.
//!
//! Each has a process of its own: some pin themselves to a processor, or install what cannot be taken back.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use rr_core::time::Clock;
use rr_tests::cluster::Programs;

use crate::Error;
use crate::chart::svg;
use crate::report::Report;
use crate::{summary, targets};

/// A benchmark, with what it is told so that all of them take about a quarter of an hour.
struct Plan {
    arguments: &'static [&'static str],
    about: &'static str,
}

const PLANS: [Plan; if cfg!(feature = "blocking") { 11 } else { 10 }] = [
    Plan { arguments: &["route"], about: "What a routing decision costs, without any server." },
    Plan { arguments: &["classify"], about: "What it costs to tell reads from writes by their text." },
    Plan { arguments: &["diesel"], about: "A whole statement under diesel-async, beside a plain pool." },
    Plan { arguments: &["seaorm"], about: "The same under SeaORM." },
    #[cfg(feature = "blocking")]
    Plan { arguments: &["blocking"], about: "The same under Diesel's own connections." },
    Plan { arguments: &["capture"], about: "What it costs that a write says where in the log it has ended." },
    Plan { arguments: &["causal", "2"], about: "How many reads replicas serve, and how many are too old." },
    Plan { arguments: &["scaling"], about: "How reads grow with replicas whose capacity is limited." },
    Plan { arguments: &["tail"], about: "What one slow replica does to the slowest reads." },
    Plan { arguments: &["compare"], about: "What users would pick otherwise, under the same load." },
    Plan { arguments: &["failover", "5"], about: "How long nobody can write when the primary changes." },
];

/// What one benchmark said.
struct Section {
    plan: &'static Plan,
    printed: String,
    /// None when it has failed.
    report: Option<Report>,
}

/// Measures, and writes into a folder, or else to where the repository keeps it. With `quick`, only those that have a short form,
/// which measures nothing.
pub(crate) fn run(into: Option<&Path>, quick: bool) -> Result<Report, Error> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = into.unwrap_or(repository);
    let clock = Clock::start();
    let mut sections = Vec::new();
    for plan in PLANS.iter().filter(|plan| !quick || crate::QUICK.contains(&plan.arguments[0])) {
        println!("== {}", plan.arguments.join(" "));
        sections.push(measure(plan, quick)?);
    }
    let charts = folder.join("charts");
    std::fs::create_dir_all(&charts)?;
    for chart in
        sections.iter().filter_map(|section| section.report.as_ref()).flat_map(|report| &report.charts)
    {
        std::fs::write(charts.join(format!("{}.svg", chart.name)), svg(chart))?;
    }
    let took = clock.now().since(rr_core::time::Moment::ORIGIN);
    let results = folder.join("RESULTS.md");
    let found = |bench: &str, of: Option<&str>, name: &str| {
        let section = sections.iter().find(|section| section.plan.arguments[0] == bench)?;
        section.report.as_ref()?.figure(of, name)
    };
    let (table, targets) = (summary::table(found), targets::table(found));
    std::fs::write(&results, markdown(&sections, &table, &targets)?)?;
    println!("== targets\n{targets}");
    println!("== {} after {} s", results.display(), took.as_secs());
    let failed: Vec<_> = sections.iter().filter(|section| section.report.is_none()).collect();
    if failed.is_empty() {
        if into.is_none() {
            summary::replace(&repository.join("../README.md"), &table)?;
        }
        return Ok(Report::default());
    }
    let names: Vec<_> = failed.iter().map(|section| section.plan.arguments[0]).collect();
    Err(format!("failed: {}", names.join(", ")).into())
}

fn measure(plan: &'static Plan, quick: bool) -> Result<Section, Error> {
    let handed_over = tempfile::NamedTempFile::new()?;
    let mut command = Command::new(std::env::current_exe()?);
    match quick {
        true => command.args([plan.arguments[0], "--quick"]),
        false => command.args(plan.arguments),
    };
    command.arg("--report").arg(handed_over.path());
    let mut running = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut printed = String::new();
    for line in BufReader::new(running.stdout.take().ok_or("no standard output")?).lines() {
        let line = line?;
        println!("{line}");
        writeln!(printed, "{line}")?;
    }
    let succeeded = running.wait()?.success();
    let report = succeeded.then(|| Report::load(handed_over.path())).transpose()?;
    Ok(Section { plan, printed, report })
}

fn markdown(sections: &[Section], table: &str, targets: &str) -> Result<String, Error> {
    let mut text = String::from(
        "# Results\n\nWritten by `make bench`; do not edit. Times are of one machine that runs servers, clients and proxies \
         at once: look at the ratios.\n\n",
    );
    writeln!(text, "| | |\n|---|---|\n| machine | {} |", machine())?;
    writeln!(
        text,
        "| rr | {}{} |",
        env!("CARGO_PKG_VERSION"),
        if cfg!(debug_assertions) { ", not optimised" } else { "" }
    )?;
    writeln!(text, "| compiler | {} |", env!("RR_BENCH_COMPILER"))?;
    let mut versions = vec![String::from(Programs::find()?.version())];
    for said in
        sections.iter().filter_map(|section| section.report.as_ref()).flat_map(|report| &report.versions)
    {
        if !versions.contains(said) {
            versions.push(said.clone());
        }
    }
    writeln!(text, "| servers and proxies | {} |", versions.join("; "))?;
    let crates =
        ["diesel-async", "sea-orm", "sqlx-pool-router"].map(|name| format!("{name} {}", locked(name)));
    writeln!(text, "| crates | {} |\n\n## In short\n\n{table}", crates.join("; "))?;
    writeln!(text, "## Targets\n\nWhat the project wants of these figures.\n\n{targets}")?;
    for Section { plan, printed, report } in sections {
        let name = plan.arguments[0];
        writeln!(text, "\n## {name}\n\n{}\n", plan.about)?;
        let features = match name {
            "blocking" => " --features blocking",
            "compare" => " --features sqlx-pool-router",
            _ => "",
        };
        writeln!(text, "`cargo run --release -p rr-bench{features} -- {}`\n", plan.arguments.join(" "))?;
        match report {
            None => writeln!(text, "**It failed.**\n")?,
            Some(report) => {
                for chart in &report.charts {
                    writeln!(text, "![{}](charts/{}.svg)\n", chart.title, chart.name)?;
                }
                writeln!(text, "| figure | value |\n|---|---|")?;
                for line in &report.lines {
                    let of = line.of.as_deref().map_or(String::new(), |of| format!("{of}: "));
                    for figure in &line.figures {
                        writeln!(text, "| {of}`{}` | {:.*} |", figure.name, figure.decimals, figure.value)?;
                    }
                }
                writeln!(text)?;
            }
        }
        writeln!(text, "<details><summary>all it printed</summary>\n\n```text\n{printed}```\n\n</details>")?;
    }
    Ok(text)
}

/// Processors, memory and the operating system, where it says so.
fn machine() -> String {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let after = |text: String, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).map(String::from)?;
        line.split_once(':').map(|(_, value)| String::from(value.trim()))
    };
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut parts = vec![format!("{processors} processors")];
    parts.extend(after(read("/proc/cpuinfo"), "model name"));
    parts.extend(after(read("/proc/meminfo"), "MemTotal").map(|memory| format!("{memory} of memory")));
    let release = read("/proc/sys/kernel/osrelease");
    // What is behind the version says who built it.
    let release = release.split('-').next().unwrap_or_default().trim();
    parts.push(format!("{} {release}", std::env::consts::OS));
    parts.join(", ")
}

/// The version of a crate in the lock file.
fn locked(name: &str) -> &'static str {
    let (_, rest) = include_str!("../../Cargo.lock")
        .split_once(&format!("name = \"{name}\"\nversion = \""))
        .unwrap_or_default();
    rest.split('"').next().unwrap_or_default()
}
