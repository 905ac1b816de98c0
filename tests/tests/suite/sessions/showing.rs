//! A standby shows a commit before it says that it has applied it: while it removes the files of tables that the commit has
//! dropped, or only until the process that replays gets the processor again.

use std::fmt::Write;

use rr_core::topology::Node;
use rr_tests::cluster::Part;

use super::*;

/// Files to be removed keep a standby within one commit for long enough to be stopped there.
const TABLES: usize = 2000;
const ATTEMPTS: usize = 5;

async fn look(client: &tokio_postgres::Client, sql: &str) -> Result<String> {
    Ok(client.query_one(sql, &[]).await?.get(0))
}

/// Commits this note, and stops the replay of the replica when that shows the note and does not yet say so.
async fn caught_in_the_act(cluster: &Cluster, replica: &rr_tests::cluster::Node, text: &str) -> Result<bool> {
    let primary = cluster.primary().direct().await?;
    let watching = replica.direct().await?;
    let mut commit = format!("BEGIN; INSERT INTO note (text) VALUES ('{text}');");
    for number in 0..TABLES {
        write!(commit, "DROP TABLE \"{text} {number}\";")?;
    }
    commit.push_str("COMMIT");
    primary.batch_execute(&commit).await?;
    let end = look(&primary, "SELECT pg_current_wal_insert_lsn()::text").await?;
    let shown = format!("SELECT count(*)::text FROM note WHERE text = '{text}'");
    while look(&watching, &shown).await? == "0" {}
    replica.sigstop(Part::Replay)?;
    let before = format!("SELECT (pg_last_wal_replay_lsn() < '{end}')::text");
    let caught = look(&watching, &before).await? == "true";
    if !caught {
        replica.sigcont(Part::Replay)?;
    }
    Ok(caught)
}

#[tokio::test]
async fn what_a_standby_shows_before_it_says_so_is_not_unseen_elsewhere() -> Result {
    let (cluster, one, other) = two(2).await?;
    let (ahead, behind) = (cluster.replica(1)?, cluster.replica(2)?);
    let mut text = String::new();
    for attempt in 0..ATTEMPTS {
        text = format!("note {attempt}");
        let create = format!(
            "DO $$ BEGIN FOR n IN 0..{} LOOP EXECUTE format('CREATE TABLE %I ()', '{text} ' || n); END LOOP; END $$",
            TABLES - 1
        );
        cluster.primary().sql(&create).await?;
        behind.apply_delay(Duration::ZERO).await?;
        cluster.wait_caught_up(PATIENCE).await?;
        // It stops right before the next commit.
        behind.apply_delay(Duration::from_secs(3600)).await?;
        if caught_in_the_act(&cluster, ahead, &text).await? {
            break;
        }
        text.clear();
    }
    assert!(!text.is_empty(), "the replica was never stopped within a commit");
    let here = Session::new();
    // The other one shows what was before.
    while !one.of(&here).find(&text).await?.0 {}
    let mut tokens = Vec::new();
    for _ in 0..20 {
        let (seen, node, reason) = one.of(&here).find(&text).await?;
        assert!(seen, "{node} ({reason}) does not show what was seen");
        tokens.push(one.router().export(&here, Duration::from_millis(100)).await?.token);
        // The next read is free to go wherever that says what was seen.
        let read_at = one.router().now();
        until(one.router(), "the replica to be asked", |router| {
            let asked = |node: &Node| &*node.name == ahead.name() && node.sampled_at > Some(read_at);
            router.topology().nodes().iter().any(asked)
        })
        .await?;
    }
    for token in tokens {
        let there = other.router().resume(token.as_str()).await?;
        for _ in 0..5 {
            let (seen, node, reason) = other.of(&there).find(&text).await?;
            assert!(seen, "{node} ({reason}) does not show what was seen in another process");
        }
    }
    ahead.sigcont(Part::Replay)?;
    Ok(())
}
