//! The way back of an old primary: the script that is shipped, with the real `pg_rewind`.

use super::*;

const SCRIPT: &str = include_str!("../../../../../deploy/postgres/rejoin.sh");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_primary_that_went_another_way_is_rewound_and_follows() -> Result {
    let (cluster, router) = promoted(1, FailoverMode::Automatic, |_| {}).await?;
    let (old, leader) = (cluster.primary(), cluster.replica(1)?);
    write(&router, "before").await?;
    leader.wait_caught_up(old, PATIENCE).await?;
    old.kill9().await?;
    write_soon(&router, "after").await?;
    assert!(ended(&router, 1).await?.succeeded());
    // It goes on by itself, as nobody has stopped it, and writes what nobody will have.
    old.start().await?;
    old.sql("INSERT INTO note (text) VALUES ('of another world')").await?;
    old.admin_sql("ALTER SYSTEM SET default_transaction_read_only = on").await?;
    old.stop(rr_tests::cluster::Mode::Fast).await?;

    let port = leader.replication_link().port();
    let source = format!("host=127.0.0.1 port={port} user=postgres");
    let conninfo = format!("host=127.0.0.1 port={port} user=postgres application_name=primary");
    let said = old.run_script(SCRIPT, &[&source, &conninfo, "the_old_primary"]).await?;
    assert!(said.contains("follows the new primary"), "{said}");
    old.start().await?;
    old.repointed(leader).await?;
    let at = write(&router, "followed").await?;
    until(&router, "the old primary to serve", |r| {
        let request = Request::read(Requirement::covering(at.clone()));
        r.route(&request).is_ok_and(|route| &**route.name() == "primary")
    })
    .await?;
    let texts = old.query_text("SELECT string_agg(text, ', ' ORDER BY id) FROM note").await?;
    assert_eq!(texts, "before, after, followed");
    let slots = leader
        .admin_query_text("SELECT string_agg(slot_name, ',') FROM pg_replication_slots WHERE active")
        .await?;
    assert_eq!(slots, "the_old_primary");
    Ok(())
}
