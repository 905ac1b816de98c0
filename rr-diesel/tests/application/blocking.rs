//! The application on Diesel's own connections. It tells the same story, word for word.

use diesel::r2d2::{self, ConnectionManager};
use diesel::{Connection, ConnectionResult, PgConnection};
use rr_diesel::blocking::{RoutedConnection, RoutedManager, RoutedPool};

use crate::ground::{Database, Ground, Replicas, Result, migrations, same};

macro_rules! variants {
    ($($name:ident: $connection:ty, $pool:ty;)+) => {$(
        mod $name {
            mod meaning {
                use super::super::*;
                pub(super) type Conn = $connection;
                pub(super) type Pool = $pool;
            }
            use meaning::{Conn, Pool};
            include!("blocking_story.rs");
        }
    )+};
}

type Routed = RoutedConnection<PgConnection>;

variants! {
    blocking_plain: PgConnection, Established<PgConnection>;
    blocking_plain_r2d2: PgConnection, r2d2::Pool<ConnectionManager<PgConnection>>;
    blocking_established: Routed, Established<Routed>;
    blocking_routed: Routed, RoutedPool<PgConnection>;
    blocking_r2d2: Routed, r2d2::Pool<RoutedManager<PgConnection>>;
    blocking_r2d2_by_url: Routed, r2d2::Pool<ConnectionManager<Routed>>;
}

/// Connections without a pool.
struct Established<C>(String, std::marker::PhantomData<C>);

impl<C: Connection> Established<C> {
    fn of(urls: String) -> Self {
        Self(urls, std::marker::PhantomData)
    }

    fn get(&self) -> ConnectionResult<C> {
        C::establish(&self.0)
    }
}

/// Lets each of these pools tell the story.
macro_rules! told {
    ($ground:expr, $expected:expr, $($name:ident: $urls:expr, $pool:expr;)+) => {$(
        let database = $ground.database(stringify!($name)).await?;
        assert_eq!($name::migrate(&mut Connection::establish(&$urls(&database))?, migrations)?, [1, 0]);
        database.is_ready().await?;
        let pool = $pool(&database)?;
        same(stringify!($name), &$name::story(&pool)?, $expected);
        database.wait_for_replicas(async || $name::is_served_by_a_replica(&pool)).await?;
        drop(pool);
        database.check($name::VISITS + 1).await?;
    )+};
}

fn pool(database: &Database<'_>) -> Result<RoutedPool<PgConnection>> {
    Ok(RoutedPool::start(database.config()?)?)
}

fn r2d2_of_handles(database: &Database<'_>) -> Result<r2d2::Pool<RoutedManager<PgConnection>>> {
    Ok(r2d2::Pool::builder().max_size(3).build(RoutedManager::new(pool(database)?))?)
}

fn r2d2_by_url(database: &Database<'_>) -> Result<r2d2::Pool<ConnectionManager<Routed>>> {
    Ok(r2d2::Pool::builder().max_size(3).build(ConnectionManager::new(database.urls()))?)
}

fn established(database: &Database<'_>) -> Result<Established<Routed>> {
    Ok(Established::of(database.urls()))
}

async fn all_routed(replicas: Replicas) -> Result {
    let ground = Ground::boot(replicas).await?;
    let expected = crate::asynchronous::expected(&ground).await?;
    told! { ground, &expected,
        blocking_routed: Database::urls, pool;
        blocking_r2d2: Database::urls, r2d2_of_handles;
    }
    Ok(())
}

/// As [`all_routed`], with connections whose settings are those of the environment.
async fn by_url(replicas: Replicas) -> Result {
    let ground = Ground::boot(replicas).await?;
    let expected = crate::asynchronous::expected(&ground).await?;
    told! { ground, &expected,
        blocking_established: Database::urls, established;
        blocking_r2d2_by_url: Database::urls, r2d2_by_url;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_connections_and_pools_tell_it_as_asynchronous_ones_do() -> Result {
    let ground = Ground::boot(Replicas::Follow).await?;
    let expected = crate::asynchronous::expected(&ground).await?;
    let alone = ground.database("blocking_plain").await?;
    blocking_plain::migrate(&mut PgConnection::establish(&alone.url())?, migrations)?;
    let pool = Established::of(alone.url());
    same("blocking_plain", &blocking_plain::story(&pool)?, &expected);
    assert!(!blocking_plain::is_served_by_a_replica(&pool)?);
    let pooled = ground.database("blocking_plain_r2d2").await?;
    blocking_plain_r2d2::migrate(&mut PgConnection::establish(&pooled.url())?, migrations)?;
    let pool = r2d2::Pool::builder().max_size(3).build(ConnectionManager::new(pooled.url()))?;
    same("blocking_plain_r2d2", &blocking_plain_r2d2::story(&pool)?, &expected);
    assert!(!blocking_plain_r2d2::is_served_by_a_replica(&pool)?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn routed_connections_tell_it_with_replicas_that_follow() -> Result {
    all_routed(Replicas::Follow).await
}

#[tokio::test(flavor = "multi_thread")]
async fn routed_connections_tell_it_with_replicas_that_stand_still() -> Result {
    all_routed(Replicas::Stand).await
}

#[tokio::test(flavor = "multi_thread")]
async fn routed_connections_tell_it_when_every_read_waits_for_a_replica() -> Result {
    all_routed(Replicas::AreAwaited).await
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_by_url_tell_it_with_replicas_that_follow() -> Result {
    by_url(Replicas::Follow).await
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_by_url_tell_it_with_replicas_that_stand_still() -> Result {
    by_url(Replicas::Stand).await
}

/// Once more in a process of its own, which has the settings in its environment.
#[tokio::test(flavor = "multi_thread")]
async fn connections_by_url_tell_it_when_every_read_waits_for_a_replica() -> Result {
    let (setting, patience) = ("RR_READ_PREFERENCE", "RR_CAUSAL_WAIT");
    if std::env::var_os(setting).is_some() {
        return by_url(Replicas::AreAwaited).await;
    }
    let this = "blocking::connections_by_url_tell_it_when_every_read_waits_for_a_replica";
    let mut again = tokio::process::Command::new(std::env::current_exe()?);
    let again = again.args(["--exact", this]).env(setting, "replica").env(patience, "20s").output().await?;
    let told = String::from_utf8_lossy(&again.stdout);
    assert!(
        again.status.success() && told.contains("1 passed"),
        "{told}{}",
        String::from_utf8_lossy(&again.stderr)
    );
    Ok(())
}
