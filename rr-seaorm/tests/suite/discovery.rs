//! Applications that are told of the primary alone, and read from replicas all the same.

use rr_core::Config;
use rr_core::config::{DatabaseUrl, DiscoveryKind};
use rr_core::discovery::Place;
use rr_seaorm::RoutedConnection;
use sea_orm::{ActiveModelTrait, EntityTrait, Set};

use crate::support::{PATIENCE, Result, boot, note, seen, until};

#[tokio::test]
async fn an_application_that_knows_only_the_primary_reads_from_the_replica_that_is_found() -> Result {
    let cluster = boot(1).await?;
    cluster.primary().admin_sql("GRANT pg_read_all_stats TO app").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let mut config = Config::new(cluster.primary().url())?;
    config.discovery.kind = DiscoveryKind::Replication;
    let replica = cluster.replica(1)?;
    config.discovery.map.insert(replica.name(), Place::Url(DatabaseUrl::parse(&replica.url())?));
    let db = RoutedConnection::start(config).await?;
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
