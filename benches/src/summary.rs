//! What the benchmarks found, in short: a table that stands in `benches/RESULTS.md` and in `README.md`, and is written into both,
//! so that neither says what nobody has measured.

use std::path::Path;

use crate::Error;

/// Where the table is in a text.
const BEGIN: &str = "<!-- measured, written by `make bench` -->\n\n";
const END: &str = "\n<!-- /measured -->\n";

/// A line of the table.
struct Row {
    what: &'static str,
    /// Of which benchmark and whose of its figures, and which.
    figures: &'static [(&'static str, Option<&'static str>, &'static str)],
    shown: Shown,
}

/// How a figure is written.
#[derive(Clone, Copy)]
enum Shown {
    /// With so many decimals.
    Number(usize),
    /// A share of one.
    Percent,
    With(&'static str),
}

const ROWS: [Row; 16] = [
    Row {
        what: "a routing decision among sixteen nodes, without any server",
        figures: &[("route", None, "route_16_p2c_ns")],
        shown: Shown::With("ns"),
    },
    Row {
        what: "a statement on a standby through diesel-async, SeaORM and Diesel, in times of a plain pool's",
        figures: &[
            ("diesel", None, "diesel_read_ratio"),
            ("seaorm", None, "seaorm_read_ratio"),
            ("blocking", None, "blocking_read_ratio"),
        ],
        shown: Shown::Number(2),
    },
    Row {
        what: "a write through the same three, where nobody reads what was written",
        figures: &[
            ("diesel", None, "diesel_write_ratio"),
            ("seaorm", None, "seaorm_write_ratio"),
            ("blocking", None, "blocking_write_ratio"),
        ],
        shown: Shown::Number(2),
    },
    Row {
        what: "a transaction that reads and writes, likewise",
        figures: &[
            ("diesel", None, "diesel_tx_ratio"),
            ("seaorm", None, "seaorm_tx_ratio"),
            ("blocking", None, "blocking_tx_ratio"),
        ],
        shown: Shown::Number(2),
    },
    Row {
        what: "… and both while somebody wants to know where writes end: a write and a transaction through diesel-async, and through Diesel",
        figures: &[
            ("diesel", None, "diesel_asked_write_ratio"),
            ("diesel", None, "diesel_asked_tx_ratio"),
            ("blocking", None, "blocking_asked_write_ratio"),
            ("blocking", None, "blocking_asked_tx_ratio"),
        ],
        shown: Shown::Number(2),
    },
    Row {
        what: "a write that is read back at once, diesel-async and SeaORM, in times of a plain pool's",
        figures: &[("capture", None, "diesel_read_back_ratio"), ("capture", None, "seaorm_read_back_ratio")],
        shown: Shown::Number(1),
    },
    Row {
        what: "reads that replicas serve, one statement in ten a write, own writes always seen",
        figures: &[("causal", None, "causal_replica_share")],
        shown: Shown::Percent,
    },
    Row {
        what: "reads of two and of four replicas, in times of one's",
        figures: &[("scaling", None, "scaling_2"), ("scaling", None, "scaling_4")],
        shown: Shown::Number(1),
    },
    Row {
        what: "the 99th percentile when one of three replicas becomes slow, in times of before",
        figures: &[("tail", None, "tail_p2c_p99_ratio")],
        shown: Shown::Number(1),
    },
    Row {
        what: "our throughput in times of pgpool-II's, sqlx-pool-router's (it knows one replica) and two hand-written pools'",
        figures: &[
            ("compare", None, "compare_rr_vs_pgpool_throughput"),
            ("compare", None, "compare_rr_vs_sqlx_pool_router_throughput"),
            ("compare", None, "compare_rr_vs_two_pools_throughput"),
        ],
        shown: Shown::Number(2),
    },
    Row {
        what: "… in times of a plain pool's on the primary alone: replicas on the same machine add work and no processors",
        figures: &[("compare", None, "compare_rr_vs_plain_throughput")],
        shown: Shown::Number(2),
    },
    Row {
        what: "… and reads that lacked an own write or went back: pgpool-II, sqlx-pool-router, two pools, rr",
        figures: &[
            ("compare", None, "pgpool_stale"),
            ("compare", None, "sqlx_pool_router_stale"),
            ("compare", None, "two_pools_stale"),
            ("compare", None, "rr_stale"),
        ],
        shown: Shown::Number(0),
    },
    Row {
        what: "… reads that replicas serve when pgpool-II is careful (`disable_load_balance_on_write = always`)",
        figures: &[("compare", None, "careful_pgpool_replica_share")],
        shown: Shown::Percent,
    },
    Row {
        what: "nobody can write after the death of an asynchronous primary, and of one with `remote_apply` (median)",
        figures: &[
            ("failover", Some("asynchronous"), "failover_write_outage_ms_p50"),
            ("failover", Some("remote_apply"), "failover_write_outage_ms_p50"),
        ],
        shown: Shown::With("ms"),
    },
    Row {
        what: "… answered writes that were lost with it, those of them that their writers were told of, and lost with `remote_apply`",
        figures: &[
            ("failover", Some("asynchronous"), "lost_acknowledged_writes"),
            ("failover", Some("asynchronous"), "reported"),
            ("failover", Some("remote_apply"), "lost_acknowledged_writes"),
        ],
        shown: Shown::Number(0),
    },
    Row {
        what: "the longest write of a planned switchover (median)",
        figures: &[("failover", None, "switchover_pause_ms")],
        shown: Shown::With("ms"),
    },
];

impl Shown {
    fn write(self, value: f64) -> String {
        match self {
            Self::Number(decimals) => format!("{value:.decimals$}"),
            Self::Percent => format!("{:.1} %", 100.0 * value),
            Self::With(unit) => format!("{value:.0} {unit}"),
        }
    }
}

/// The table, with its marks. What was not measured is a dash, and a line of dashes is left out.
pub(crate) fn table(found: impl Fn(&str, Option<&str>, &str) -> Option<f64>) -> String {
    let mut text = format!("{BEGIN}| | | command |\n|---|---|---|\n");
    for Row { what, figures, shown } in &ROWS {
        let value = |(bench, of, name): &(&str, Option<&str>, &str)| found(bench, *of, name);
        let values: Vec<_> = figures.iter().map(value).collect();
        if values.iter().all(Option::is_none) {
            continue;
        }
        let values: Vec<_> = values
            .into_iter()
            .map(|value| value.map_or_else(|| String::from("–"), |value| shown.write(value)))
            .collect();
        let mut commands: Vec<_> =
            figures.iter().map(|(bench, ..)| format!("`make bench-{bench}`")).collect();
        commands.dedup();
        text += &format!("| {what} | {} | {} |\n", values.join(", "), commands.join(", "));
    }
    text + END
}

/// The table in a text, with its marks.
fn part(text: &str) -> Option<&str> {
    let from = text.find(BEGIN)?;
    let to = from + text[from..].find(END)? + END.len();
    Some(&text[from..to])
}

/// Puts the table in the place of the one that the file has.
pub(crate) fn replace(file: &Path, table: &str) -> Result<(), Error> {
    let text = std::fs::read_to_string(file)?;
    let old = part(&text).ok_or_else(|| format!("{} has no table to replace", file.display()))?;
    Ok(std::fs::write(file, text.replace(old, table))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_says_what_the_results_say() {
        let (readme, results) = (include_str!("../../README.md"), include_str!("../RESULTS.md"));
        assert!(part(readme).is_some());
        assert_eq!(part(readme), part(results));
    }

    #[test]
    fn each_figure_stands_beside_its_command_and_what_was_not_measured_is_none() {
        let found = |bench: &str, _: Option<&str>, _: &str| match bench {
            "blocking" | "diesel" => Some(1.044),
            "causal" => Some(0.994),
            _ => None,
        };
        let written = table(found);
        let rows: Vec<_> = written.lines().collect();
        assert_eq!(rows.len(), 11, "{written}");
        assert!(rows[4].ends_with(
            "| 1.04, –, 1.04 | `make bench-diesel`, `make bench-seaorm`, `make bench-blocking` |"
        ));
        assert!(rows[8].ends_with("| 99.4 % | `make bench-causal` |"));
    }

    #[test]
    fn only_the_table_of_a_file_is_replaced() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("before\n{BEGIN}old\n{END}after\n")).unwrap();
        let new = table(|_, _, _| Some(1.0));
        replace(file.path(), &new).unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), format!("before\n{new}after\n"));
        std::fs::write(file.path(), "nothing").unwrap();
        assert!(replace(file.path(), &new).is_err());
    }
}
