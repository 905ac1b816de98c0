//! The application on diesel-async.

use diesel::ConnectionResult;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, bb8, deadpool};
use diesel_async::{AsyncConnection, AsyncPgConnection};
use futures_util::FutureExt;
use rr_diesel::{RoutedPgConnection, RoutedPool};

use crate::ground::{Database, Ground, Replicas, Result, migrations, same};
use crate::models::Story;

macro_rules! variants {
    ($($name:ident: $connection:ty, $pool:ty;)+) => {$(
        mod $name {
            mod meaning {
                use super::super::*;
                pub(super) type Conn = $connection;
                pub(super) type Pool = $pool;
            }
            use meaning::{Conn, Pool};
            include!("story.rs");
        }
    )+};
}

variants! {
    plain: AsyncPgConnection, Plain;
    plain_bb8: AsyncPgConnection, bb8::Pool<AsyncPgConnection>;
    plain_deadpool: AsyncPgConnection, deadpool::Pool<AsyncPgConnection>;
    routed: RoutedPgConnection, RoutedPool;
    routed_bb8: RoutedPgConnection, bb8::Pool<RoutedPgConnection>;
    routed_deadpool: RoutedPgConnection, deadpool::Pool<RoutedPgConnection>;
}

/// Connections without a pool.
struct Plain(String);

impl Plain {
    async fn get(&self) -> ConnectionResult<AsyncPgConnection> {
        AsyncPgConnection::establish(&self.0).await
    }
}

/// The story as one database and plain connections tell it.
pub(crate) async fn expected(ground: &Ground) -> Result<Story> {
    let database = ground.database("plain").await?;
    let conn = AsyncPgConnection::establish(&database.url()).await?;
    assert_eq!(plain::migrate(conn, migrations).await?, [1, 0]);
    let pool = Plain(database.url());
    let story = plain::story(&pool).await?;
    assert!(!plain::is_served_by_a_replica(&pool).await?);
    Ok(story)
}

/// Lets each of these pools tell the story.
macro_rules! told {
    ($ground:expr, $expected:expr, $($name:ident: $connect:expr, $pool:expr;)+) => {$(
        let database = $ground.database(stringify!($name)).await?;
        let connection = $connect(&database).await?;
        assert_eq!($name::migrate(connection, migrations).await?, [1, 0]);
        database.is_ready().await?;
        let pool = $pool(&database).await?;
        same(stringify!($name), &$name::story(&pool).await?, $expected);
        database.wait_for_replicas(async || $name::is_served_by_a_replica(&pool).await).await?;
        drop(pool);
        // One more count, in the chapter about errors.
        database.check($name::VISITS + 1).await?;
    )+};
}

async fn established<C: AsyncConnection>(database: &Database<'_>) -> ConnectionResult<C> {
    C::establish(&database.urls()).await
}

async fn pool(database: &Database<'_>) -> Result<RoutedPool> {
    Ok(RoutedPool::start(database.config()?).await?)
}

/// By URLs, as an application writes it; where the configuration is an uncommon one, with handles of a pool that has it.
async fn manager(database: &Database<'_>) -> Result<AsyncDieselConnectionManager<RoutedPgConnection>> {
    if database.replicas() != Replicas::AreAwaited {
        return Ok(AsyncDieselConnectionManager::new(database.urls()));
    }
    let pool = pool(database).await?;
    let mut config = ManagerConfig::default();
    config.custom_setup = Box::new(move |_| futures_util::future::ok(pool.handle()).boxed());
    Ok(AsyncDieselConnectionManager::new_with_config("", config))
}

async fn bb8_of_handles(database: &Database<'_>) -> Result<bb8::Pool<RoutedPgConnection>> {
    Ok(bb8::Pool::builder().build(manager(database).await?).await?)
}

async fn deadpool_of_handles(database: &Database<'_>) -> Result<deadpool::Pool<RoutedPgConnection>> {
    Ok(deadpool::Pool::builder(manager(database).await?).build()?)
}

async fn all_routed(replicas: Replicas) -> Result {
    let ground = Ground::boot(replicas).await?;
    let expected = expected(&ground).await?;
    told! { ground, &expected,
        routed: established::<RoutedPgConnection>, pool;
        routed_bb8: established::<RoutedPgConnection>, bb8_of_handles;
        routed_deadpool: established::<RoutedPgConnection>, deadpool_of_handles;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_pools_tell_it_as_plain_connections_do() -> Result {
    let ground = Ground::boot(Replicas::Follow).await?;
    let expected = expected(&ground).await?;
    let bb8 = ground.database("plain_bb8").await?;
    plain_bb8::migrate(AsyncPgConnection::establish(&bb8.url()).await?, migrations).await?;
    let pool = bb8::Pool::builder().build(AsyncDieselConnectionManager::new(bb8.url())).await?;
    same("plain_bb8", &plain_bb8::story(&pool).await?, &expected);
    assert!(!plain_bb8::is_served_by_a_replica(&pool).await?);
    let deadpool = ground.database("plain_deadpool").await?;
    plain_deadpool::migrate(AsyncPgConnection::establish(&deadpool.url()).await?, migrations).await?;
    let pool = deadpool::Pool::builder(AsyncDieselConnectionManager::new(deadpool.url())).build()?;
    same("plain_deadpool", &plain_deadpool::story(&pool).await?, &expected);
    assert!(!plain_deadpool::is_served_by_a_replica(&pool).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn routed_connections_tell_it_with_replicas_that_follow() -> Result {
    Box::pin(all_routed(Replicas::Follow)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn routed_connections_tell_it_with_replicas_that_stand_still() -> Result {
    Box::pin(all_routed(Replicas::Stand)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn routed_connections_tell_it_when_every_read_waits_for_a_replica() -> Result {
    Box::pin(all_routed(Replicas::AreAwaited)).await
}
