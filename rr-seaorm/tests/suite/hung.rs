//! A connection on which nobody has answered is never used again.

use std::time::Duration;

use rr_tests::cluster::{Node, Part};

use crate::support::{PATIENCE, Result, ask, boot, config, in_flight, on_standby, started, until};

async fn is_there(node: &Node, pid: i32) -> Result<bool> {
    let sql = format!("SELECT count(*)::text FROM pg_stat_activity WHERE pid = {pid}");
    Ok(node.admin_query_text(&sql).await? != "0")
}

/// A replica that hangs in one way or another, and then goes on.
async fn hang(link: bool) -> Result {
    let cluster = boot(1).await?;
    cluster
        .primary()
        .sql("CREATE FUNCTION on_pid() RETURNS int STABLE LANGUAGE sql AS 'SELECT pg_backend_pid()'")
        .await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let settings = config(&cluster).with(|config| {
        config.pool.replica.max = 1;
        config.pool.replica.statement_timeout = Some(Duration::from_millis(500));
    });
    let db = &started(settings).await?;
    let replica = cluster.replica(1)?;
    let on_pid = async || ask::<i32>(db, "SELECT on_pid()").await;
    let hung = on_pid().await?;
    assert!(is_there(replica, hung).await?, "the standby's");
    // Whatever notices first, the monitor or the limit of the statement: the read is under way when it happens.
    let reading = async {
        let sql = "SELECT on_standby() FROM pg_sleep(CASE WHEN on_standby() THEN 600 ELSE 0 END)";
        Ok(ask::<bool>(db, sql).await?)
    };
    let hanging = async {
        match link {
            false => drop(replica.sigstop(Part::Everything)?),
            true => replica.link().blackhole().await?,
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let (standby, ()) = tokio::try_join!(reading, hanging)?;
    assert!(!standby, "the primary answers");
    assert_eq!(in_flight(db), [Some(0); 2]);
    match link {
        false => drop(replica.sigcont(Part::Everything)?),
        true => replica.link().heal().await?,
    }
    until("the standby to serve again", async || Ok(on_standby(db).await?)).await?;
    let pid = on_pid().await?;
    assert_ne!(pid, hung, "a connection that was left in the middle of a statement is not used again");
    assert!(is_there(replica, pid).await?, "the standby's");
    // The server learns that nobody listens when it wants to say something.
    replica.admin_sql(&format!("SELECT pg_cancel_backend({hung})")).await?;
    until("the hung connection to be closed", async || Ok(!is_there(replica, hung).await?)).await?;
    Ok(())
}

#[tokio::test]
async fn the_connection_of_a_server_that_hung_is_not_used_again() -> Result {
    hang(false).await
}

#[tokio::test]
async fn a_half_open_connection_is_not_used_again() -> Result {
    hang(true).await
}
