//! What the project wants of its figures, beside what was found: also where a target is missed.

/// A bound for a figure of a benchmark.
struct Target {
    bench: &'static str,
    of: Option<&'static str>,
    figure: &'static str,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost};

const TARGETS: [Target; 20] = [
    target("route", None, "route_16_p2c_ns", AtMost(100.0)),
    target("route", None, "allocs", AtMost(0.0)),
    target("classify", None, "classify_long_ns_per_byte", AtMost(1.0)),
    target("diesel", None, "diesel_read_ratio", AtMost(1.03)),
    target("diesel", None, "diesel_tx_ratio", AtMost(1.01)),
    target("diesel", None, "diesel_write_ratio", AtMost(1.03)),
    target("seaorm", None, "seaorm_read_ratio", AtMost(1.03)),
    target("seaorm", None, "seaorm_tx_ratio", AtMost(1.01)),
    target("seaorm", None, "seaorm_write_ratio", AtMost(1.05)),
    target("causal", None, "causal_replica_share", AtLeast(0.95)),
    target("scaling", None, "scaling_2", AtLeast(1.9)),
    target("scaling", None, "scaling_4", AtLeast(3.7)),
    target("tail", None, "tail_p2c_p99_ratio", AtMost(2.0)),
    target("compare", None, "compare_rr_vs_pgpool_throughput", AtLeast(1.0)),
    target("compare", None, "rr_stale", AtMost(0.0)),
    target("compare", None, "pgpool_stale", AtLeast(1.0)),
    target("failover", Some("remote_apply"), "failover_write_outage_ms_p50", AtMost(1000.0)),
    target("failover", Some("asynchronous"), "failover_write_outage_ms_p50", AtMost(1000.0)),
    target("failover", None, "outside_reroute_ms_p50", AtMost(300.0)),
    target("failover", None, "switchover_pause_ms", AtMost(300.0)),
];

const fn target(bench: &'static str, of: Option<&'static str>, figure: &'static str, bound: Bound) -> Target {
    Target { bench, of, figure, bound }
}

impl Bound {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            AtMost(most) => value <= most,
            AtLeast(least) => value >= least,
        }
    }
}

/// Each target beside its figure. What was not measured is left out.
pub(crate) fn table(found: impl Fn(&str, Option<&str>, &str) -> Option<f64>) -> String {
    let mut text = String::from("| figure | target | found | |\n|---|---|---|---|\n");
    for Target { bench, of, figure, bound } in &TARGETS {
        let Some(value) = found(bench, *of, figure) else { continue };
        let (sign, limit) = match bound {
            AtMost(most) => ('≤', most),
            AtLeast(least) => ('≥', least),
        };
        let of = of.map_or(String::new(), |of| format!("{of}: "));
        let met = if bound.is_met_by(value) { "met" } else { "**missed**" };
        let value = if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.3}") };
        text += &format!("| {of}`{figure}` | {sign} {limit} | {value} | {met} |\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_is_said() {
        let found = |_: &str, of: Option<&str>, figure: &str| match (of, figure) {
            (None, "route_16_p2c_ns") => Some(100.5),
            (None, "scaling_2") => Some(1.9),
            (None, "pgpool_stale") => Some(0.0),
            (Some("remote_apply"), "failover_write_outage_ms_p50") => Some(143.0),
            _ => None,
        };
        let written = table(found);
        let rows: Vec<_> = written.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| `route_16_p2c_ns` | ≤ 100 | 100.500 | **missed** |",
                "| `scaling_2` | ≥ 1.9 | 1.900 | met |",
                "| `pgpool_stale` | ≥ 1 | 0 | **missed** |",
                "| remote_apply: `failover_write_outage_ms_p50` | ≤ 1000 | 143 | met |",
            ]
        );
    }
}
