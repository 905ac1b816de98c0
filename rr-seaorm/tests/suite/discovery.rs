//! Applications that are told of the primary alone, and read from replicas all the same.

use std::time::Duration;

use rr_core::config::{DatabaseUrl, DiscoveryKind};
use rr_core::discovery::Place;
use rr_core::{Config, Consistency};
use rr_seaorm::RoutedConnection;
use rr_tests::cluster::Cluster;
use rr_tests::come_and_go::no_statement_fails;
use sea_orm::{ActiveModelTrait, EntityTrait, Set};

use crate::failovers::load;
use crate::support::{PATIENCE, Result, boot, note, seen, until};

/// So many replicas, of which the application is not told.
async fn started(replicas: usize, level: Consistency) -> Result<(Cluster, RoutedConnection)> {
    let cluster = boot(replicas).await?;
    cluster.primary().admin_sql("GRANT pg_read_all_stats TO app").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let mut config = Config::new(cluster.primary().url())?;
    config.consistency = level;
    config.discovery.kind = DiscoveryKind::Replication;
    config.discovery.interval = Duration::from_millis(100);
    config.discovery.grace = Duration::ZERO;
    for replica in cluster.replicas() {
        config.discovery.map.insert(replica.name(), Place::Url(DatabaseUrl::parse(&replica.url())?));
    }
    Ok((cluster, RoutedConnection::start(config).await?))
}

#[tokio::test]
async fn an_application_that_knows_only_the_primary_reads_from_the_replica_that_is_found() -> Result {
    let (cluster, db) = started(1, Consistency::Session).await?;
    // Two rows are a standby's answer.
    let on_standby = async || Ok(seen::Entity::find().all(&db).await?.len() == 2);
    until("the replica to serve", on_standby).await?;
    for round in 0..20 {
        let text = format!("round {round}");
        let wrote = note::ActiveModel { text: Set(text.clone()), ..Default::default() }.insert(&db).await?;
        let read = note::Entity::find_by_id(wrote.id).one(&db).await?;
        assert_eq!(read.map(|note| note.text), Some(text));
    }
    until("the replica to serve again", on_standby).await?;
    assert_eq!(cluster.primary().query_text("SELECT count(*)::text FROM note").await?, "20");
    db.close().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_fails_while_replicas_that_are_found_come_and_go() -> Result {
    // The load writes all the time: reads that must see it are the primary's more often than not.
    let (cluster, db) = started(2, Consistency::Eventual).await?;
    no_statement_fails(&cluster, db.router(), load(&db)).await
}
