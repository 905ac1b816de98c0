//! Pools out of addresses and out of the environment, what their settings do, and what is never shown.

use std::fmt::Debug;
use std::time::Duration;

use diesel::connection::CacheSize;
use diesel::prelude::*;
use diesel::sql_query;
use diesel_async::{AsyncConnection, RunQueryDsl};
use rr_core::{Config, Request, Requirement};
use rr_diesel::{DieselConnector, RoutedPgConnection, RoutedPool};
use rr_tests::cluster::{Cluster, Node};

use crate::support::{PATIENCE, Place, Result, boot, config, note, place, until};

/// Runs a test of this program again, alone and with the cluster in its environment.
pub(crate) async fn again(test: &str, cluster: &Cluster) -> Result {
    let mut again = tokio::process::Command::new(std::env::current_exe()?);
    again.args(["--exact", test]).env("RR_PRIMARY_URL", cluster.primary().url());
    let again = again.env("RR_REPLICA_URLS", cluster.replica(1)?.url()).output().await?;
    let told = String::from_utf8_lossy(&again.stdout);
    let complained = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.success() && told.contains("1 passed"), "{told}{complained}");
    Ok(())
}

pub(crate) fn has_environment() -> bool {
    std::env::var_os("RR_PRIMARY_URL").is_some()
}

async fn serves(pool: &RoutedPool) -> Result {
    assert!(place(&mut pool.handle()).await?.standby);
    assert!(!place(pool.handle().use_primary()).await?.standby);
    Ok(())
}

#[tokio::test]
async fn a_pool_is_made_of_urls() -> Result {
    let cluster = boot(2).await?;
    let pool =
        RoutedPool::from_urls(&cluster.primary().url(), cluster.replicas().iter().map(Node::url)).await?;
    assert_eq!(pool.router().topology().nodes().len(), 3);
    serves(&pool).await?;
    assert!(RoutedPool::from_urls("nonsense", ["postgres://127.0.0.1/x"]).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_pool_is_made_of_the_environment() -> Result {
    if has_environment() {
        return serves(&RoutedPool::from_env().await?).await;
    }
    again("starting::a_pool_is_made_of_the_environment", &boot(1).await?).await
}

/// Sessions of a pool on the standby: all that have read there.
async fn sessions(cluster: &Cluster) -> Result<(u32, i32)> {
    let sql = "SELECT count(*) || ' ' || coalesce(max(pid), 0) FROM pg_stat_activity WHERE query LIKE '%FROM here%' \
               AND pid <> pg_backend_pid()";
    let told = cluster.replica(1)?.admin_query_text(sql).await?;
    let (count, process) = told.split_once(' ').ok_or("two numbers")?;
    Ok((count.parse()?, process.parse()?))
}

#[tokio::test]
async fn connections_are_kept_and_closed_as_the_settings_say() -> Result {
    let cluster = boot(1).await?;
    let open = |pool: &RoutedPool| -> Result<(u32, u32)> {
        Ok(pool.router().route(&Request::read(Requirement::NONE))?.pool().connections())
    };
    for own in [None, Some(3)] {
        let settings = config(&cluster).with(|config| {
            config.pool.replica.min = if own.is_some() { 1 } else { 3 };
            config.replicas[0].pool.min = own;
        });
        let pool = RoutedPool::start(settings.build()?).await?;
        place(&mut pool.handle()).await?;
        // Of those that nobody uses: the first use has opened one more.
        until("the least number of connections", async || Ok(open(&pool)?.1 >= 3)).await?;
        drop(pool);
        until("the pool to be gone", async || Ok(sessions(&cluster).await?.0 == 0)).await?;
    }

    let short = Some(Duration::from_millis(100));
    let settings = config(&cluster).with(|config| config.pool.replica.idle_timeout = short);
    let pool = RoutedPool::start(settings.build()?).await?;
    assert!(place(&mut pool.handle()).await?.standby);
    until("the idle connection to be closed", async || Ok(open(&pool)? == (0, 0))).await?;
    until("the server to see that", async || Ok(sessions(&cluster).await?.0 == 0)).await?;

    let settings = config(&cluster).with(|config| config.pool.replica.max_lifetime = short);
    let pool = RoutedPool::start(settings.build()?).await?;
    assert!(place(&mut pool.handle()).await?.standby);
    until("the old connection to be closed", async || Ok(open(&pool)? == (0, 0))).await?;
    assert!(place(&mut pool.handle()).await?.standby);
    Ok(())
}

#[tokio::test]
async fn a_cache_that_is_switched_off_holds_nothing() -> Result {
    let cluster = boot(1).await?;
    // Behind a view: what describes a server is asked on the primary.
    let prepared = "INSERT INTO note (text) VALUES ('x'); CREATE VIEW prepared AS SELECT on_standby() AS standby, \
                    count(*)::int AS port FROM pg_prepared_statements WHERE statement LIKE '%\"note\".\"text\"%'";
    cluster.primary().sql(prepared).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    let settings = config(&cluster).with(|config| config.pool.replica.max = 1);
    let pool = RoutedPool::start(settings.build()?).await?;
    for (size, expected) in [(CacheSize::Disabled, 0), (CacheSize::Unbounded, 1)] {
        let mut conn = pool.handle();
        conn.set_prepared_statement_cache_size(size);
        for _ in 0..3 {
            note::table.select(note::text).first::<String>(&mut conn).await?;
        }
        let there: Place = sql_query("SELECT standby, port FROM prepared").get_result(&mut conn).await?;
        assert_eq!(there, Place { standby: true, port: expected }, "{size:?}");
    }
    Ok(())
}

const SECRET: &str = "hunter2";

pub(crate) fn shows_no_secret(shown: &[String]) {
    for text in shown {
        assert!(!text.contains(SECRET), "a password is shown: {}", text.replace(SECRET, "…"));
    }
}

/// A primary and a replica that nobody listens for, with a password.
pub(crate) fn closed() -> Result<Config> {
    let url = |database: &str| format!("postgres://app:{SECRET}@127.0.0.1:1/{database}?sslmode=disable");
    let config =
        Config::builder().primary(url("shop").as_str()).replica(url("shop").replace(":1/", ":2/").as_str());
    let config = config.with(|config| {
        config.startup_wait = Duration::ZERO;
        config.retries.within = Duration::ZERO;
    });
    Ok(config.write_wait(Duration::ZERO).build()?)
}

/// Addresses that cannot be used, with a password.
pub(crate) fn bad_urls() -> [String; 4] {
    [
        format!("postgres://app:{SECRET}@127.0.0.1:port/shop"),
        format!("postgres://app:{SECRET}@127.0.0.1:1/shop?nonsense=1"),
        format!("mysql://app:{SECRET}@127.0.0.1:1/shop"),
        format!("app:{SECRET}@127.0.0.1/shop"),
    ]
}

/// An error and what it stems from, for people and for programmers.
pub(crate) fn shown(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    std::iter::successors(Some(error), |error| error.source())
        .flat_map(|error| [error.to_string(), format!("{error:?}")])
        .collect()
}

fn debug(what: &dyn Debug) -> [String; 2] {
    [format!("{what:?}"), format!("{what:#?}")]
}

#[tokio::test]
async fn a_password_is_shown_nowhere() -> Result {
    let pool = RoutedPool::start(closed()?).await?;
    let mut conn = pool.handle();
    let refused = [
        sql_query("SELECT 1").execute(&mut conn).await.unwrap_err(),
        sql_query("DELETE FROM note").execute(&mut conn).await.unwrap_err(),
        conn.transaction::<_, diesel::result::Error, _>(async |_| Ok(())).await.unwrap_err(),
    ];
    assert!(refused[0].to_string().contains("refused"), "{}", refused[0]);
    let mut texts: Vec<String> = refused.iter().flat_map(|error| shown(error)).collect();
    for url in bad_urls() {
        texts.extend(shown(&RoutedPgConnection::establish(&url).await.err().ok_or("a bad URL")?));
        texts.extend(shown(&RoutedPool::from_urls(&url, [&url]).await.err().ok_or("a bad URL")?));
    }
    texts.extend(debug(&pool).into_iter().chain(debug(&conn)).chain(debug(pool.router())));
    texts.extend(debug(pool.router().connector()).into_iter().chain(debug(&DieselConnector::new())));
    texts.extend(debug(&pool.router().health()).into_iter().chain(debug(&*pool.router().topology())));
    if let Ok(route) = pool.router().route(&Request::read(Requirement::NONE)) {
        texts.extend(debug(&route).into_iter().chain(debug(route.pool())));
    }
    shows_no_secret(&texts);
    Ok(())
}
