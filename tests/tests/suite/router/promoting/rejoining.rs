//! The way back of an old primary: the script that is shipped, with the real `pg_rewind`.

use std::io::Write as _;
use std::path::PathBuf;

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
    // What is its own, and stays so.
    old.admin_sql("ALTER SYSTEM SET maintenance_work_mem = '47MB'").await?;
    let data = PathBuf::from(old.admin_query_text("SHOW data_directory").await?);
    let own = [
        ("postgresql.conf", "work_mem = '11MB'"),
        ("pg_hba.conf", "# mine"),
        ("pg_ident.conf", "# mine too"),
    ];
    for (file, line) in own {
        let mut file = std::fs::File::options().append(true).open(data.join(file))?;
        writeln!(file, "{line}")?;
    }
    old.stop(rr_tests::cluster::Mode::Fast).await?;

    let port = leader.replication_link().port();
    let source = format!("host=127.0.0.1 port={port} user=postgres");
    let conninfo = format!("host=127.0.0.1 port={port} user=postgres application_name=primary");
    let said = old.run_script(SCRIPT, &[&source, &conninfo, "the_old_primary"]).await?;
    assert!(said.contains("follows the new primary"), "{said}");
    old.start().await?;
    old.repointed(leader).await?;
    for setting in ["work_mem", "maintenance_work_mem"] {
        let has = old.admin_query_text(&format!("SHOW {setting}")).await?;
        assert!(["11MB", "47MB"].contains(&&*has), "{setting} = {has}");
    }
    for (file, line) in own {
        assert!(std::fs::read_to_string(data.join(file))?.contains(line), "{file}");
    }
    assert_eq!(old.admin_query_text("SHOW default_transaction_read_only").await?, "off");
    let beside = data.parent().ok_or("a folder")?.read_dir()?.flatten().map(|entry| entry.file_name());
    assert!(
        beside.into_iter().all(|name| !name.to_string_lossy().contains("rejoin")),
        "nothing is left behind"
    );
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
