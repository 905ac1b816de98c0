//! What servers have been asked, by their own logs.

use rr_tests::cluster::Cluster;

/// Reads the logs of servers that log each statement, a piece at a time.
pub(crate) struct Witness<'a> {
    cluster: &'a Cluster,
    /// How much of each log has been read.
    read: Vec<usize>,
}

/// Statements of the application that each kind of server was asked.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) primary: Vec<String>,
    pub(crate) standbys: Vec<String>,
}

impl<'a> Witness<'a> {
    /// Of what happens from now on.
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        let mut witness = Self { cluster, read: vec![0; cluster.nodes().len()] };
        witness.since();
        witness
    }

    /// What was asked since the last time. A server writes a statement down before it answers.
    pub(crate) fn since(&mut self) -> Asked {
        let mut asked = Asked::default();
        for (node, statements) in self.cluster.nodes().iter().zip(self.by_node()) {
            match node.name() == self.cluster.primary().name() {
                true => asked.primary.extend(statements),
                false => asked.standbys.extend(statements),
            }
        }
        asked
    }

    /// The same for each server, in the cluster's order.
    pub(crate) fn by_node(&mut self) -> Vec<Vec<String>> {
        let nodes = self.cluster.nodes().iter().zip(&mut self.read);
        let new = nodes.map(|(node, read)| {
            let log = node.log();
            let new = log[*read..].lines().filter_map(statement).map(str::to_owned).collect();
            *read = log.len();
            new
        });
        new.collect()
    }
}

/// A statement of the application, not of rr's monitor.
fn statement(line: &str) -> Option<&str> {
    let (_, entry) = line.strip_prefix("app/")?.split_once(" LOG:  ")?;
    let (kind, sql) = entry.split_once(": ")?;
    let probes = ["pg_is_in_recovery()", "pg_current_wal"];
    let is_statement = kind == "statement" || kind.starts_with("execute ");
    (is_statement && !probes.iter().any(|probe| sql.contains(probe))).then_some(sql)
}
