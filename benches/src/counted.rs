//! What the servers say about who ran how many statements: a comparison is one only if both sides ran the same.

use rr_tests::cluster::{Builder, Cluster};

use crate::Error;
use crate::report::{Report, count};

/// The names of the two sides, as their sessions have them.
pub(crate) const PLAIN: &str = "plain";
pub(crate) const ROUTED: &str = "routed";

/// Has the servers write down each statement and whose it is. That takes time: where it is done nothing is measured.
pub(crate) fn written_down(cluster: Builder) -> Builder {
    cluster.setting("log_statement", "all").setting("log_line_prefix", "%a ")
}

/// A node's URL for one of the sides.
pub(crate) fn named(url: &str, side: &str) -> String {
    format!("{url}?application_name={side}")
}

/// Fails unless both sides have run the same number of statements.
pub(crate) fn compare(cluster: &Cluster, report: &mut Report) -> Result<(), Error> {
    let ran = |side| cluster.nodes().iter().map(|node| statements(&node.log(), side)).sum::<u64>();
    let (plain, routed) = (ran(PLAIN), ran(ROUTED));
    report.line(None, &[("plain_statements", count(plain), 0), ("routed_statements", count(routed), 0)]);
    if plain == 0 || plain != routed {
        return Err(
            format!("{plain} statements through the plain pool, {routed} through the routed one").into()
        );
    }
    Ok(())
}

/// The statements of a side in a server's log, without what is nobody's: what sets up a session, what the monitor asks, and
/// what travels behind a write.
fn statements(log: &str, side: &str) -> u64 {
    let mut statements = 0;
    for line in log.lines() {
        let Some((kind, sql)) = line
            .strip_prefix(side)
            .and_then(|line| line.strip_prefix(" LOG:  "))
            .and_then(|entry| entry.split_once(": "))
        else {
            continue;
        };
        let is_statement = kind == "statement" || kind.starts_with("execute ");
        let is_nobodys =
            sql.starts_with("SET ") || sql.starts_with("/*rr*/") || sql.contains("pg_is_in_recovery()");
        statements += u64::from(is_statement && !is_nobodys);
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sides_own_statements_are_counted() {
        let log = "plain LOG:  statement: BEGIN\n\
                   plain LOG:  execute s0: SELECT $1\n\
                   plain DETAIL:  parameters: $1 = '1'\n\
                   plain LOG:  execute s1: SET TIME ZONE 'UTC'\n\
                   routed LOG:  execute s1: /*rr*/ SELECT pg_current_wal_insert_lsn()\n\
                   routed LOG:  execute s0: SELECT pg_is_in_recovery(), 1\n\
                   routed LOG:  execute s2: UPDATE author SET name = name\n\
                   \tLOG:  statement: BEGIN\n";
        assert_eq!((statements(log, PLAIN), statements(log, ROUTED)), (2, 1));
    }
}
