//! Applications that are told of the primary alone, and read from replicas all the same.

use std::time::Duration;

use rr_core::config::{DatabaseUrl, DiscoveryKind};
use rr_core::discovery::Place;
use rr_core::{Config, Consistency, RouteReason};
use rr_seaorm::RoutedConnection;
use rr_tests::cluster::{Cluster, Mode};
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
    let load = load(&db);
    let serves = |name| db.router().routed(name, RouteReason::Replica) > 10;
    for (round, replica) in cluster.replicas().iter().cycle().take(4).enumerate() {
        until("both to serve", async || Ok(serves("replica-1") && serves("replica-2"))).await?;
        // It goes on answering and follows no more, or it is gone altogether.
        let (link, stops) = (replica.upstream_link().ok_or("a link")?, round >= 2);
        if stops {
            replica.stop(Mode::Fast).await?
        } else {
            link.cut().await?
        }
        let gone = async || Ok(db.router().in_flight(replica.name()).is_none());
        until("the vanished replica to be gone", gone).await?;
        load.writes(20).await?;
        if stops { replica.start().await? } else { link.heal().await? }
    }
    until("both to serve in the end", async || Ok(serves("replica-1") && serves("replica-2"))).await?;
    let done = load.end().await?;
    assert!(done.reads > 100);
    assert_eq!((done.failed_reads, done.failed_writes), (0, 0));
    assert_eq!(done.missing_on(cluster.primary()).await?, Vec::<String>::new());
    Ok(())
}
