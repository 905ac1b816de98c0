//! The servers as `deploy/postgres/` sets them up: its settings, its roles, its `pg_hba.conf`, and a standby by its script.

use super::*;
use rr_tests::cluster::{Mode, Node};
use rr_tests::provided::{SETTINGS, access, make_roles, provide, refused, replica};

mod encrypted;

async fn slots(primary: &Node) -> Result<String> {
    let slots =
        "SELECT coalesce(string_agg(slot_name, ',' ORDER BY slot_name), '') FROM pg_replication_slots";
    Ok(primary.admin_query_text(slots).await?)
}

#[tokio::test]
async fn a_standby_by_the_script_is_found_and_serves() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    let (primary, standby) = (cluster.primary(), cluster.replica(1)?);
    standby.stop(Mode::Fast).await?;
    // Without encryption, which has a test of its own.
    provide(primary, SETTINGS, &access().replace("hostssl", "host   ")).await?;
    make_roles(primary, standby).await?;

    let folder = cluster.folder().join(standby.name());
    let folder = folder.to_str().ok_or("a path in UTF-8")?;
    let passfile = format!("{folder}.pass");
    let conninfo = format!(
        "host=127.0.0.1 port={} user=replicator passfile={passfile}",
        primary.replication_link().port()
    );
    let arguments = [folder, &conninfo, "db-2"];
    assert!(refused(standby, &arguments).await?.contains("is not empty"));
    standby.run_script("find . -mindepth 1 -delete", &[]).await?;

    // Whatever is refused leaves nothing behind, here and there.
    for (arguments, why) in [
        (&[folder, &conninfo][..], "usage"),
        (&[folder, &conninfo, "db 2"], "NAME may have"),
        (&[folder, &conninfo, "db-2", "db-2"], "SLOT may have"),
        (&[folder, "postgres://replicator@127.0.0.1", "db-2"], "not as a URL"),
        (&[folder, "host=127.0.0.1 password=secret", "db-2"], "in a passfile"),
        (&[folder, "host=127.0.0.1 password = secret", "db-2"], "in a passfile"),
        (&[folder, &format!("{conninfo} application_name=x"), "db-2"], "it is NAME"),
        (&arguments, "pg_hba.conf"), // there is no passfile yet
        (&[folder, &conninfo.replace("replicator", "shop"), "db-2"], "pg_hba.conf"),
    ] {
        let said = refused(standby, arguments).await?;
        assert!(said.contains(why) && !said.contains("secret"), "{arguments:?}: {said}");
    }
    standby.run_script("umask 077; echo '*:*:*:*:of the log' >\"$2\"", &[&passfile]).await?;
    let said = refused(standby, &[folder, &conninfo, "replica-1"]).await?;
    assert!(said.contains("pg_drop_replication_slot('replica_1')"), "the harness has made this one: {said}");
    let below = format!("{passfile}/data");
    let said = refused(standby, &[&below, &conninfo, "db-2"]).await?;
    assert!(said.contains("pg_basebackup: error"), "{said}");
    assert_eq!(slots(primary).await?, "replica_1", "a slot that it made is gone with the copy");

    let said = replica(standby, &arguments).await?;
    assert!(said.contains("follows as db-2 when it is started"), "{said}");
    let auto = standby.run_script("cat postgresql.auto.conf", &[]).await?;
    assert_eq!(auto.matches("primary_conninfo").count(), 1, "{auto}");
    assert!(!auto.contains("of the log"), "{auto}");
    standby.start().await?;
    assert_eq!(slots(primary).await?, "db_2,replica_1");

    // A router that knows the primary alone, as the role that was made.
    let url = |node: &Node| format!("postgres://shop:of%20the%20shop@127.0.0.1:{}/shop", node.link().port());
    let mut config = primary_alone(&cluster);
    config.primary = NodeConfig::new(url(primary))?.with_name("primary");
    config.discovery.kind = DiscoveryKind::Replication;
    config.discovery.map.insert("db-2", Place::Url(DatabaseUrl::parse(&url(standby))?));
    let router = start(config).await?;
    until(&router, "the standby to be found, and to serve", |r| {
        r.route(&read()).is_ok_and(|route| &**route.name() == "db-2")
    })
    .await?;
    assert_eq!(failures(&router).len(), 0, "the role may ask for standbys");

    // What the owner of the database makes, the application reads on the standby, and does not alter.
    let connect = format!("host=127.0.0.1 port={} user=postgres dbname=shop", primary.port());
    let (owner, connection) = tokio_postgres::connect(&connect, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    let owned = "SET ROLE shop_owner; CREATE TABLE note (text text); INSERT INTO note VALUES ('here')";
    owner.batch_execute(owned).await?;
    standby.wait_caught_up(primary, PATIENCE).await?;
    let route = router.route(&read())?;
    assert_eq!(&**route.name(), "db-2");
    assert_eq!(run(route, "SELECT text FROM note").await?, "here");
    let altered = run(router.route(&Request::write())?, "DROP TABLE note").await;
    assert!(altered.is_err_and(|error| error.to_string().contains("db error")), "it is not the owner");
    router.shutdown().await;
    Ok(())
}
