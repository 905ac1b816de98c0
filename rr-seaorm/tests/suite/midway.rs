//! Rows that were delivered are not delivered again: a stream that breaks midway ends with its error.

use futures_util::StreamExt;
use rr_core::topology::Role;
use rr_seaorm::fault;
use rr_tests::cluster::{Cluster, Node};
use sea_orm::StreamTrait;

use crate::support::{Result, boot_with, config, in_flight, on_standby, raw, server_port, started, until};

/// Far more than fits between the server and its client.
const ROWS: i32 = 1_000_000;

#[tokio::test]
async fn a_stream_that_loses_its_server_midway_is_not_run_again() -> Result {
    let cluster = boot_with(Cluster::builder().replicas(2).setting("log_statement", "all")).await?;
    let db = started(config(&cluster)).await?;
    let sql = format!("SELECT n, on_port() AS port, repeat('x', 1000) FROM generate_series(1, {ROWS}) n");
    for (round, handle) in [db.clone(), db.use_primary()].into_iter().enumerate() {
        let sql = format!("{sql} /* round {round} */");
        let mut rows = handle.stream_raw(raw(&sql)).await?;
        let first = rows.next().await.ok_or("a row")??;
        assert_eq!(first.try_get::<i32>("", "n")?, 1);
        let port: i32 = first.try_get("", "port")?;
        let serving = cluster.nodes().iter().find(|node| server_port(node).is_ok_and(|own| own == port));
        let serving = serving.ok_or("the node that serves")?;
        assert_eq!(serving.name() == "primary", round == 1);
        assert!(serving.kill_client_connections().await? > 0);
        let mut last = 1;
        let error = loop {
            match rows.next().await.ok_or("an error before the end")? {
                Ok(row) => {
                    last += 1;
                    assert_eq!(row.try_get::<i32>("", "n")?, last, "each row once, in its order");
                    assert_eq!(row.try_get::<i32>("", "port")?, port);
                }
                Err(error) => break error,
            }
        };
        assert!(last < ROWS, "{error}");
        assert!(fault(&error, Role::Replica).is_some(), "{error}");
        assert!(rows.next().await.is_none(), "it has ended for good");
        assert_eq!(in_flight(&db), [Some(0); 2]);
        let runs = |node: &Node| {
            let log = node.log();
            log.lines().filter(|line| line.contains("LOG:  execute ") && line.contains(&sql)).count()
        };
        assert_eq!(cluster.nodes().iter().map(runs).sum::<usize>(), 1, "nobody has run it again");
        until("reads to go on", async || Ok(on_standby(&db).await?)).await?;
    }
    Ok(())
}
