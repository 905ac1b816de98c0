//! The guide's queries are ones that servers understand.

use std::path::Path;

use rr_tests::cluster::{Cluster, ClusterError, Node};
use tokio_postgres::error::SqlState;

/// What the guide says to ask servers: in blocks of SQL, and in the middle of a line.
fn queries(guide: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut outside = String::new();
    for (number, part) in guide.split("```").enumerate() {
        match (number % 2, part.strip_prefix("sql\n")) {
            (0, _) => outside += part,
            (_, Some(block)) => found.extend(block.split(';').map(str::to_owned)),
            (_, None) => {}
        }
    }
    let inside = outside.split('`').skip(1).step_by(2);
    let asks = |text: &&str| ["SELECT ", "SHOW "].iter().any(|verb| text.starts_with(verb));
    // In a table, `|` is written so.
    found.extend(inside.filter(asks).map(|text| text.replace("\\|", "|")));
    found.retain(|query| !query.trim().is_empty());
    found
}

/// Whether a server answers; it may also say that it is not one to be asked that.
async fn answers(node: &Node, query: &str) -> Result<bool, ClusterError> {
    match node.admin_sql(query).await {
        Err(ClusterError::Sql { source, .. })
            if source.code() == Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) =>
        {
            Ok(false)
        }
        answered => answered.map(|()| true),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_troubleshooting_is_understood() -> Result<(), Box<dyn std::error::Error>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide/troubleshooting.md");
    let queries = queries(&std::fs::read_to_string(file)?);
    assert!(queries.len() >= 10, "some are not found any more: {queries:#?}");
    let cluster = Cluster::builder().replicas(1).start().await?;
    for query in queries {
        let mut answered = 0;
        for node in cluster.nodes() {
            let answers = answers(node, &query).await;
            let answers = answers.map_err(|error| format!("{query}\nto {}: {error}", node.name()))?;
            answered += usize::from(answers);
        }
        assert!(answered > 0, "neither a primary nor a standby answers: {query}");
    }
    Ok(())
}

#[test]
fn queries_are_found_in_blocks_and_in_lines() {
    let guide = "Ask `SELECT 1`, not `select` or `psql -c 'SELECT 2'`.\n```sql\n-- here\nSELECT 3;\nSHOW a;\n```\n\
                 ```rust\nSELECT 4;\n```\n| `SHOW b` | `SELECT 'c' \\|\\| 'd'` |\n";
    assert_eq!(queries(guide), ["-- here\nSELECT 3", "\nSHOW a", "SELECT 1", "SHOW b", "SELECT 'c' || 'd'"]);
}
