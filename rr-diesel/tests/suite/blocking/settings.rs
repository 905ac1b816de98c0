//! What the settings of a node's pool do, counted by its server.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::time::Duration;

use diesel::connection::CacheSize;
use diesel::prelude::*;
use diesel::r2d2::{self, CustomizeConnection, Pool};
use diesel::result::Error;
use diesel::sql_query;
use rr_core::config::{ConfigBuilder, PoolOverrides};
use rr_diesel::blocking::RoutedManager;
use rr_tests::cluster::{Cluster, Node};

use super::{RoutedConnection, RoutedPool, place};
use crate::support::{Place, Result, boot, config, note, until};

const SHORT: Option<Duration> = Some(Duration::from_millis(100));

/// The sessions of pools that a server has: the monitor asks nothing else.
async fn sessions(node: &Node) -> Result<BTreeSet<i32>> {
    let sql = "SELECT coalesce(string_agg(pid::text, ' '), '') FROM pg_stat_activity \
               WHERE backend_type = 'client backend' AND usename = 'app' \
               AND query <> '' AND query NOT LIKE '%pg_is_in_recovery()%'";
    let told = node.admin_query_text(sql).await?;
    Ok(told.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
}

/// Waits until a server has so many, and says which.
async fn settled(node: &Node, count: usize) -> Result<BTreeSet<i32>> {
    until(&format!("{count} sessions"), async || Ok(sessions(node).await?.len() == count)).await?;
    sessions(node).await
}

/// Reads so many times at once, each on a connection of its own.
fn read_at_once(pool: &RoutedPool, count: usize) -> Result {
    let all = Barrier::new(count);
    let read = || {
        pool.handle().build_transaction().read_only().run(|conn| {
            let standby = place(conn)?.standby;
            all.wait();
            Ok::<_, Error>(standby)
        })
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..count).map(|_| scope.spawn(read)).collect();
        readers.into_iter().try_for_each(|reader| {
            assert!(reader.join().map_err(|_| "it panicked")??);
            Ok(())
        })
    })
}

/// A pool whose replicas have these settings: as those of their role, and as the node's own in place of others.
fn with(
    cluster: &Cluster,
    role: impl FnOnce(ConfigBuilder) -> ConfigBuilder,
    node: impl FnOnce(&mut PoolOverrides),
) -> Result<RoutedPool> {
    let settings = role(config(cluster)).with(|config| node(&mut config.replicas[0].pool));
    Ok(RoutedPool::start(settings.build()?)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_connections_are_opened_ahead_and_kept() -> Result {
    let cluster = boot(1).await?;
    let replica = cluster.replica(1)?;
    for own in [None, Some(2)] {
        let role = |config: ConfigBuilder| {
            config.with(|config| {
                config.pool.replica.min = if own.is_some() { 5 } else { 2 };
                config.pool.replica.idle_timeout = SHORT;
            })
        };
        let pool = with(&cluster, role, |node| node.min = own)?;
        let ahead = settled(replica, 2).await?;
        read_at_once(&pool, 4)?;
        let kept = settled(replica, 2).await?;
        assert_eq!(sessions(cluster.primary()).await?.len(), 0, "the primary's pool has settings of its own");
        replica.kill_client_connections().await?;
        until("what is lost to be opened anew", async || {
            place(&mut pool.handle())?;
            let new = sessions(replica).await?;
            Ok(new.len() == 2 && new.is_disjoint(&kept) && new.is_disjoint(&ahead))
        })
        .await?;
        drop(pool);
        settled(replica, 0).await?;
        settled(cluster.primary(), 0).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn old_connections_are_replaced() -> Result {
    let cluster = boot(1).await?;
    let replica = cluster.replica(1)?;
    for own in [None, SHORT] {
        let role = |config: ConfigBuilder| {
            config.with(|config| {
                config.pool.replica.min = 1;
                config.pool.replica.max_lifetime = if own.is_some() { None } else { SHORT };
            })
        };
        let pool = with(&cluster, role, |node| node.max_lifetime = own)?;
        let first = settled(replica, 1).await?;
        until("another one", async || {
            let now = sessions(replica).await?;
            Ok(now.len() == 1 && now.is_disjoint(&first))
        })
        .await?;
        assert!(place(&mut pool.handle())?.standby);
        drop(pool);
        settled(replica, 0).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unused_connections_are_closed_as_their_role_and_their_node_say() -> Result {
    let cluster = boot(1).await?;
    let replica = cluster.replica(1)?;
    for own in [None, SHORT] {
        let role = |config: ConfigBuilder| {
            config.with(|config| config.pool.replica.idle_timeout = if own.is_some() { None } else { SHORT })
        };
        let pool = with(&cluster, role, |node| node.idle_timeout = own)?;
        diesel::insert_into(note::table).values(note::text.eq("x")).execute(&mut pool.handle())?;
        until("the write on the replica", async || Ok(place(&mut pool.handle())?.standby)).await?;
        settled(replica, 0).await?;
        assert_eq!(sessions(cluster.primary()).await?.len(), 1, "the primary's stays");
        drop(pool);
        settled(cluster.primary(), 0).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_connections_are_opened_than_a_node_allows() -> Result {
    let cluster = boot(1).await?;
    let replica = cluster.replica(1)?;
    for own in [None, Some(2)] {
        let role = |config: ConfigBuilder| {
            config.with(|config| config.pool.replica.max = if own.is_some() { 10 } else { 2 })
        };
        let pool = with(&cluster, role, |node| node.max = own)?;
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..8).map(|_| scope.spawn(|| read_at_once(&pool, 1).is_ok())).collect();
            assert!(readers.into_iter().all(|reader| reader.join().is_ok_and(|read| read)));
        });
        let all = sessions(replica).await?;
        assert!((1..=2).contains(&all.len()), "{all:?}");
        drop(pool);
        settled(replica, 0).await?;
    }
    Ok(())
}

/// Statements that a connection keeps prepared, told by that connection.
const PREPARED: &str = "CREATE VIEW prepared AS SELECT on_standby() AS standby, count(*)::int AS port \
    FROM pg_prepared_statements WHERE statement LIKE '%\"note\".\"text\"%'";

/// Reads thrice, and says how many statements are kept for that on the standby's connection.
fn prepared(conn: &mut RoutedConnection) -> QueryResult<Place> {
    for _ in 0..3 {
        note::table.select(note::text).load::<String>(conn)?;
    }
    sql_query("SELECT standby, port FROM prepared").get_result(conn)
}

/// Sets the size of the cache of each handle that it is shown.
#[derive(Debug)]
struct Caching(CacheSize);

impl CustomizeConnection<RoutedConnection, r2d2::Error> for Caching {
    fn on_acquire(&self, conn: &mut RoutedConnection) -> Result<(), r2d2::Error> {
        conn.set_prepared_statement_cache_size(self.0);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_is_switched_off_holds_nothing() -> Result {
    let cluster = boot(1).await?;
    cluster.primary().sql(PREPARED).await?;
    cluster.wait_caught_up(crate::support::PATIENCE).await?;
    let settings = config(&cluster).with(|config| config.pool.replica.max = 1).build()?;
    let pool = RoutedPool::start(settings)?;
    // What is prepared stays so for as long as the connection lives.
    for (size, expected) in [(CacheSize::Disabled, 0), (CacheSize::Unbounded, 1)] {
        let expected = Place { standby: true, port: expected };
        let mut handle = pool.handle();
        handle.set_prepared_statement_cache_size(size);
        assert_eq!(prepared(&mut handle)?, expected, "{size:?}");
        // The same by the pool that an application has.
        let handles = Pool::builder()
            .max_size(2)
            .connection_customizer(Box::new(Caching(size)))
            .build(RoutedManager::new(pool.clone()))?;
        let mut handle = handles.get()?;
        assert_eq!(prepared(&mut handle)?, expected, "{size:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_r2d2_pool_of_handles_opens_nothing_and_keeps_nothing_open() -> Result {
    let cluster = boot(1).await?;
    let replica = cluster.replica(1)?;
    let role = |config: ConfigBuilder| {
        config.with(|config| {
            (config.pool.replica.idle_timeout, config.pool.replica.max) = (SHORT, 2);
            config.pool.primary.idle_timeout = SHORT;
        })
    };
    let pool = with(&cluster, role, |_| {})?;
    let handles = Pool::builder().max_size(8).min_idle(Some(8)).build(RoutedManager::new(pool))?;
    assert_eq!(handles.state().connections, 8);
    for node in cluster.nodes() {
        assert_eq!(sessions(node).await?.len(), 0);
    }
    // More handles at once than the node has connections for.
    std::thread::scope(|scope| -> Result {
        let readers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut handle = handles.get().map_err(|error| error.to_string())?;
                    place(&mut handle).map_err(|error| error.to_string())
                })
            })
            .collect();
        readers.into_iter().try_for_each(|reader| {
            assert!(reader.join().map_err(|_| "it panicked")??.standby);
            Ok(())
        })
    })?;
    let all = sessions(replica).await?;
    assert!(all.len() <= 2, "{all:?}");
    settled(replica, 0).await?;
    assert_eq!(handles.state().connections, 8, "handles are no connections");
    assert!(place(&mut *handles.get()?)?.standby);
    Ok(())
}
