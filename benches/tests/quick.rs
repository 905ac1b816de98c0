//! The benchmarks work, on real servers, in their short form. What they find depends on the machine; what they promise does
//! not: each fails by itself when a read is older than its session, or a node that should serve is never asked.

#[path = "../src/proxies/installed.rs"]
mod installed;

use std::process::Command;

use self::installed::installed;

/// Who is compared with where it is installed: program, name, rows of the table, and figures.
const PROXIES: [(&str, &str, &[&str], &[&str]); 2] = [
    ("pgbouncer", "PgBouncer", &["PgBouncer on the primary"], &[]),
    (
        "pgpool",
        "pgpool-II",
        &["pgpool-II  ", "pgpool-II, careful"],
        &[
            "compare_rr_vs_pgpool_throughput",
            "pgpool_stale",
            "pgpool_replica_share",
            "compare_rr_vs_careful_pgpool_throughput",
            "careful_pgpool_stale",
            "careful_pgpool_replica_share",
        ],
    ),
];

#[test]
fn benchmarks_on_servers_run_and_write_down_what_they_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rr-bench"));
    let done = command.args(["all", "--quick", "--into"]).arg(folder.path()).output().unwrap();
    let printed = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{printed}\n{}", String::from_utf8_lossy(&done.stderr));
    for figure in [
        "scaling_4=",
        "tail_p2c_p99_ratio=",
        "capture_1ms_ratio=",
        "diesel_read_ratio=",
        "rr_stale=0",
        "violations=0",
        "failover_write_outage_ms_p50=",
        "failed_reads=0",
        "lost_acknowledged_writes=",
        "switchover_pause_ms=",
    ] {
        assert!(printed.contains(figure), "{figure} is missing in\n{printed}");
    }
    let (_, seaorm) = printed.split_once("== seaorm\n").unwrap();
    let last = seaorm.split("\n== ").next().and_then(|section| section.lines().last()).unwrap();
    let figures: Vec<_> = last.split(' ').filter_map(|figure| figure.split_once('=')).collect();
    assert_eq!(
        figures.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["seaorm_read_ratio", "seaorm_tx_ratio", "seaorm_write_ratio"],
        "{printed}"
    );
    assert!(figures.iter().all(|(_, ratio)| ratio.parse::<f64>().is_ok_and(f64::is_normal)), "{figures:?}");
    let with_sqlx_pool_router = cfg!(feature = "sqlx-pool-router");
    assert_eq!(printed.contains("sqlx_pool_router_replica_share=1.000"), with_sqlx_pool_router, "{printed}");
    for (program, name, contenders, figures) in PROXIES {
        let skipped = format!("{name}: skipped, it is not installed; `scripts/setup.sh proxies` fetches it");
        let is_there = installed(program).is_some();
        assert_eq!(printed.contains(&skipped), !is_there, "{name}\n{printed}");
        for contender in contenders {
            let rate =
                printed.lines().filter_map(|line| line.strip_prefix(contender)?.split_whitespace().next());
            let served = rate.filter(|rate| rate.parse::<f64>().is_ok_and(|rate| rate > 0.0)).count();
            assert_eq!(served, usize::from(is_there), "statements a second of {contender}\n{printed}");
        }
        for figure in figures {
            assert_eq!(printed.contains(&format!("{figure}=")), is_there, "{figure}\n{printed}");
        }
    }
    let results = std::fs::read_to_string(folder.path().join("RESULTS.md")).unwrap();
    assert!(results.contains("| `make bench-scaling` |"), "the table is missing in\n{results}");
    assert!(results.contains("\n| compiler | rustc "), "the compiler is missing in\n{results}");
    for chart in [
        "scaling",
        "tail",
        "capture",
        "diesel",
        "compare-throughput",
        "compare-stale",
        "causal",
        "failover",
        "seaorm",
    ] {
        assert!(results.contains(&format!("(charts/{chart}.svg)")), "{chart} is missing in\n{results}");
        let drawn = std::fs::read_to_string(folder.path().join(format!("charts/{chart}.svg"))).unwrap();
        assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n"), "{drawn}");
    }
}

/// It fails by itself unless the servers have run as many statements for a plain pool as for a routed one.
#[test]
fn the_benchmark_of_diesel_ends_with_three_ratios_of_as_many_statements() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rr-bench"));
    let done = command.args(["diesel", "--quick"]).output().unwrap();
    let printed = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{printed}\n{}", String::from_utf8_lossy(&done.stderr));
    let figures = |line: &str| -> Vec<(String, f64)> {
        let each = line.split(' ').filter_map(|figure| figure.split_once('='));
        each.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
    };
    let mut lines = printed.lines().rev();
    let ratios = figures(lines.next().unwrap());
    let names: Vec<_> = ratios.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["diesel_read_ratio", "diesel_tx_ratio", "diesel_write_ratio"], "{printed}");
    assert!(ratios.iter().all(|(_, ratio)| ratio.is_finite() && *ratio > 0.0), "{printed}");
    // Ten times each: two reads, and twice a write and a transaction of two statements between its begin and its commit.
    let statements = figures(lines.next().unwrap());
    assert_eq!(
        statements,
        [("plain_statements".into(), 120.0), ("routed_statements".into(), 120.0)],
        "{printed}"
    );
}
