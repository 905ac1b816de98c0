//! What `pg_hba.conf` and the synchronous part of `primary.conf` promise.

use rr_tests::provided::Provided;
use rr_tests::tls::Authority;
use rr_tests::wait;
use tokio_postgres::NoTls;

use super::*;

const NOTES: &str = "SELECT count(*)::text FROM note";

async fn connected(url: &str) -> std::result::Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The superuser in the application's database.
async fn admin(node: &Node) -> Result<tokio_postgres::Client> {
    let url = format!("postgres://postgres@127.0.0.1:{}/shop", node.port());
    Ok(connected(&url).await?)
}

async fn notes(node: &Node) -> Result<String> {
    Ok(admin(node).await?.query_one(NOTES, &[]).await?.get(0))
}

#[tokio::test]
async fn nobody_gets_in_without_encryption() -> Result {
    let servers = Provided::start().await?;
    let (primary, standby) = (servers.cluster.primary(), servers.cluster.replica(1)?);
    // With the right password, on every server: any may become the primary.
    for node in servers.cluster.nodes() {
        let url = servers.url(node, "sslmode=disable");
        for url in [url.clone(), url.replace("//shop:", "//shop_owner:")] {
            let error = connected(&url).await.err().ok_or("it got in")?;
            let refused = error.as_db_error().ok_or("the server refuses it")?;
            assert_eq!(refused.code().code(), "28000", "{refused}");
            assert!(refused.message().contains("no encryption"), "{refused}");
        }
    }
    // Standbys: in clear, for a host of another name, and signed by somebody else.
    let stranger = Authority::new("theirs")?;
    standby.stop(Mode::Fast).await?;
    standby.run_script("find . -mindepth 1 -delete", &[]).await?;
    let folder = servers.folder(standby)?;
    let ours = servers.authority();
    for (authority, host, mode, why) in [
        (ours, "127.0.0.1", "disable", "no encryption"),
        (ours, "localhost", "verify-full", "does not match host name \"localhost\""),
        (&stranger, "127.0.0.1", "verify-full", "certificate verify failed"),
    ] {
        let conninfo = servers.conninfo(standby, authority, host, mode).await?;
        let said = refused(standby, &[&folder, &conninfo, "db-4"]).await?;
        assert!(said.contains(why) && said.contains("pg_hba.conf"), "{host} {mode}: {said}");
    }
    assert_eq!(slots(primary).await?, "db_2,db_3,replica_1,replica_2", "nothing was made for db-4");
    Ok(())
}

/// With `remote_apply`, and of two standbys any: one may be away, and what is answered is seen on the other.
#[tokio::test]
async fn a_synchronous_commit_waits_for_a_standby_that_shows_it() -> Result {
    let servers = Provided::start().await?;
    servers.synchronous().await?;
    let (primary, second, third) =
        (servers.cluster.primary(), servers.cluster.replica(1)?, servers.cluster.replica(2)?);
    let writer = Arc::new(admin(primary).await?);
    let write = || {
        let writer = Arc::clone(&writer);
        tokio::spawn(async move { writer.batch_execute("INSERT INTO note VALUES ('x')").await })
    };
    let waiting = async || {
        wait::until("the commit to wait for a standby", async || {
            let waiting = "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
            Ok(primary.admin_query_text(waiting).await? == "1")
        })
        .await
    };

    second.pause_replay().await?;
    write().await??;
    assert_eq!(notes(third).await?, "1", "whoever has the answer finds it there");

    third.pause_replay().await?;
    let second_note = write();
    waiting().await?;
    // Both have it on disk, and neither shows it; nor does the primary.
    assert_eq!(notes(primary).await?, "1");
    assert!(!second_note.is_finished());
    third.resume_replay().await?;
    second_note.await??;
    assert_eq!((notes(primary).await?, notes(third).await?), ("2".to_owned(), "2".to_owned()));

    // The one that is left has to catch up first.
    third.stop(Mode::Fast).await?;
    let third_note = write();
    waiting().await?;
    assert_eq!((notes(primary).await?, notes(second).await?), ("2".to_owned(), "0".to_owned()));
    assert!(!third_note.is_finished());
    second.resume_replay().await?;
    third_note.await??;
    assert_eq!(notes(second).await?, "3");
    Ok(())
}
