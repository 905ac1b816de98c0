//! Many statements of every kind, and what they leave behind: nothing. A test binary of its own, because it counts every
//! allocation of the process.
//!
//! `make soak` runs a million; the test as many as take a minute.

use std::alloc::System;

use hunt::Kind;
use rr_core::Config;
use rr_core::config::Percent;
use rr_diesel::RoutedPool;
use rr_seaorm::RoutedConnection;
use rr_tests::cluster::Cluster;
use rr_tests::wait::PATIENCE;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

mod hunt;
#[cfg(feature = "blocking")]
mod with_blocking;
mod with_diesel;
mod with_seaorm;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// What the statements need. Who reads from `lost` on a standby loses the connection, and is answered by the primary.
const GROUND: &str = "\
    CREATE TABLE bucket (id serial PRIMARY KEY, n int NOT NULL); INSERT INTO bucket (n) VALUES (1); \
    CREATE FUNCTION lose() RETURNS int STABLE LANGUAGE plpgsql AS \
    'BEGIN IF pg_is_in_recovery() THEN PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(60); END IF; \
     RETURN 1; END'; \
    CREATE VIEW lost AS SELECT lose() AS n";

/// Connections of each pool: few, so that all of them are used again and again.
const CONNECTIONS: u32 = 3;

fn config(cluster: &Cluster) -> Result<Config> {
    // Past the network of the harness, which has sockets of its own.
    let mut config = Config::builder().primary(cluster.primary().direct_url());
    for replica in cluster.replicas() {
        config = config.replica(replica.direct_url());
    }
    let config = config.with(|config| {
        config.pool.primary.max = CONNECTIONS;
        config.pool.replica.max = CONNECTIONS;
        // Connections are lost here on purpose, and no replica is to be spared for that.
        config.health.max_ejected = Percent::default();
        config.session.keys = vec!["of at least thirty-two characters".into()];
    });
    Ok(config.build()?)
}

/// Bytes in use.
fn live() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// One after the other: what one leaves behind is not to be taken for the other's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_leave_nothing_behind() -> Result {
    let wanted = std::env::var("RR_TEST_STATEMENTS").ok().map(|count| count.parse()).transpose()?;
    let statements = wanted.unwrap_or(hunt::STATEMENTS) / if cfg!(feature = "blocking") { 3 } else { 2 };
    // What is seldom, often: it takes longer.
    let both = [(Kind::Turns, statements), (Kind::Stumbles, statements / 4)];
    let cluster = Cluster::builder().replicas(2).start().await?;
    cluster.primary().sql(GROUND).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let diesel = with_diesel::Diesel(RoutedPool::start(config(&cluster)?).await?);
    for (kind, count) in both {
        hunt::hunt("rr-diesel", &diesel, &cluster, kind, count).await?;
    }
    diesel.0.router().shutdown().await;
    drop(diesel);
    #[cfg(feature = "blocking")]
    {
        let blocking = with_blocking::Blocking(rr_diesel::blocking::RoutedPool::start(config(&cluster)?)?);
        for (kind, count) in both {
            hunt::hunt("rr-diesel, blocking", &blocking, &cluster, kind, count).await?;
        }
        blocking.0.router().shutdown().await;
    }
    let seaorm = with_seaorm::SeaOrm(RoutedConnection::start(config(&cluster)?).await?);
    for (kind, count) in both {
        hunt::hunt("rr-seaorm", &seaorm, &cluster, kind, count).await?;
    }
    Ok(())
}
