//! Applications that are told of the primary alone, and read from replicas all the same.

use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use diesel_async::RunQueryDsl;
use rr_core::discovery::{Discovering, Discovery, Found, FoundNode};
use rr_core::{Config, Router};
use rr_diesel::{DieselConnector, RoutedPool};
use rr_tests::cluster::Cluster;
use rr_tests::come_and_go::no_statement_fails;
use rr_tests::tls::{Authority, parameter};

use crate::failovers::load;
use crate::support::{PATIENCE, Place, Result, boot, note, place, until};
use crate::tls::{ENCRYPTED, Encrypted};

/// What such an application finds in its environment.
fn environment(cluster: &Cluster) -> Result<Config> {
    let replicas = cluster
        .replicas()
        .iter()
        .map(|replica| format!("{}=127.0.0.1:{}", replica.name(), replica.link().port()));
    let variables = [
        ("DATABASE_URL", cluster.primary().url()),
        ("RR_DISCOVERY_KIND", "replication".to_owned()),
        ("RR_DISCOVERY_MAP", replicas.collect::<Vec<_>>().join(",")),
        ("RR_DISCOVERY_INTERVAL", "100ms".to_owned()),
        ("RR_DISCOVERY_GRACE", "0s".to_owned()),
    ];
    Ok(Config::default().overlay_env(variables.map(|(name, value)| (name.to_owned(), value)))?)
}

#[tokio::test]
async fn an_application_that_knows_only_the_primary_reads_from_the_replica_that_is_found() -> Result {
    let cluster = boot(2).await?;
    cluster.primary().admin_sql("GRANT pg_read_all_stats TO app").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let pool = RoutedPool::start(environment(&cluster)?).await?;
    let mut ports = Vec::new();
    for number in 1..=2 {
        let port = i32::from(cluster.replica(number)?.port());
        ports.push(port);
        let there = Place { standby: true, port };
        until("the replica to serve", async || Ok(place(&mut pool.get().await?).await? == there)).await?;
    }
    // Own writes are seen, wherever they are read.
    let conn = &mut pool.get().await?;
    for round in 0..20 {
        let values = (note::text.eq("found"), note::stars.eq(round));
        let insert = diesel::insert_into(note::table).values(values).returning(note::id);
        let id: i32 = insert.get_result(conn).await?;
        let stars: i32 = note::table.find(id).select(note::stars).first(&mut pool.get().await?).await?;
        assert_eq!(stars, round);
    }
    // One goes: not a single read fails, and none goes there in the end.
    cluster.replica(1)?.upstream_link().ok_or("a link")?.cut().await?;
    until("the vanished replica to be gone", async || {
        place(&mut pool.get().await?).await?;
        Ok(pool.router().in_flight("replica-1").is_none())
    })
    .await?;
    for _ in 0..50 {
        assert_ne!(place(&mut pool.get().await?).await?.port, ports[0]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_fails_while_replicas_that_are_found_come_and_go() -> Result {
    let cluster = boot(2).await?;
    cluster.primary().admin_sql("GRANT pg_read_all_stats TO app").await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let pool = RoutedPool::start(environment(&cluster)?).await?;
    no_statement_fails(&cluster, pool.router(), load(&pool)).await
}

/// Knows the replica's address, and the name in its certificate.
struct Addresses(u16);

impl Discovery for Addresses {
    fn name(&self) -> &str {
        "addresses"
    }

    fn discover(&self) -> Discovering<'_> {
        let (address, host) = ([127, 0, 0, 1].into(), Some("db.internal".to_owned()));
        let node = FoundNode::at_address("found", address, Some(self.0), host);
        Box::pin(std::future::ready(Ok(Found::new(vec![node]))))
    }
}

#[tokio::test]
async fn certificates_are_checked_for_the_name_and_not_for_the_address_that_is_found() -> Result {
    let authority = Authority::new("ours")?;
    for (name, trusted) in [("db.internal", true), ("else.internal", false)] {
        let cluster = boot(1).await?;
        authority.equip_as("db.internal", &cluster).await?;
        if !trusted {
            authority.equip_as(name, &cluster).await?;
        }
        let port = cluster.primary().link().port();
        let url = format!("postgres://app@db.internal:{port}/app?hostaddr=127.0.0.1&sslmode=verify-full");
        let url = url + &parameter("sslrootcert", &authority.root());
        let mut config = Config::new(url.as_str())?;
        config.write_wait = Duration::ZERO;
        config.pool.primary.checkout_timeout = Duration::from_millis(500);
        let found = Arc::new(Addresses(cluster.replica(1)?.link().port()));
        let router = Router::builder(DieselConnector::new()).config(config).discovery(found).start().await?;
        let pool = RoutedPool::from(router);
        if trusted {
            until("the replica to serve", async || Ok(place(&mut pool.get().await?).await?.standby)).await?;
            let read: Encrypted = sql_query(ENCRYPTED).get_result(&mut pool.handle()).await?;
            assert!(read.encrypted);
        } else {
            let error = place(&mut pool.get().await?).await.unwrap_err();
            assert!(error.to_string().contains("not valid for name"), "{error}");
        }
        pool.router().shutdown().await;
    }
    Ok(())
}
