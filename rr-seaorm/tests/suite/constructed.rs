//! A connection by the environment, and what constructors and handles tell of secrets: nothing.

use rr_core::config::Config;
use rr_core::{Request, Requirement};
use rr_seaorm::{RoutedConnection, SeaOrmConnector};
use sea_orm::{DbErr, StreamTrait as _, TransactionTrait as _};

use crate::support::{Result, boot, on_standby, raw, standby_serves};

const PASSWORD: &str = "hunter2";

/// Once more in a process of its own, which has the nodes in its environment.
#[tokio::test]
async fn the_environment_names_the_nodes() -> Result {
    let (primary, replicas) = ("DATABASE_URL", "RR_REPLICA_URLS");
    if std::env::var_os(replicas).is_some() {
        let db = RoutedConnection::from_env().await?;
        standby_serves(&db).await?;
        assert!(!on_standby(&db.use_primary()).await?);
        return Ok(());
    }
    let cluster = boot(1).await?;
    let this = "constructed::the_environment_names_the_nodes";
    let again = async |replica: String| {
        let mut again = tokio::process::Command::new(std::env::current_exe()?);
        again
            .args(["--exact", this])
            .env(primary, cluster.primary().url())
            .env(replicas, replica)
            .output()
            .await
    };
    let told = again(cluster.replica(1)?.url()).await?;
    let text = [told.stdout, told.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(told.status.success() && text.contains("1 passed"), "{text}");
    let told = again(format!("nonsense://app:{PASSWORD}@127.0.0.1/app")).await?;
    let text = [told.stdout, told.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(!told.status.success() && text.contains("1 failed"), "{text}");
    assert!(!text.contains(PASSWORD));
    Ok(())
}

#[tokio::test]
async fn handles_tell_no_password() -> Result {
    let cluster = boot(1).await?;
    let secret = |url: String| url.replace("app@", &format!("app:{PASSWORD}@"));
    let urls = [secret(cluster.primary().url()), secret(cluster.replica(1)?.url())];
    assert!(urls.iter().all(|url| url.contains(PASSWORD)));
    let db = RoutedConnection::connect_nodes(urls[0].as_str(), [urls[1].as_str()]).await?;
    standby_serves(&db).await?;
    let route = db.router().route(&Request::read(Requirement::NONE))?;
    let transaction = db.begin().await?;
    let stream = db.stream_raw(raw("SELECT 1")).await?;
    let told = [
        format!("{db:#?}"),
        format!("{:#?}", db.use_primary()),
        format!("{:#?}", db.router()),
        format!("{:#?}", db.router().config()),
        format!("{:#?}", db.router().topology()),
        format!("{:#?}", db.router().connector()),
        format!("{route:#?} {:#?}", route.pool()),
        format!("{transaction:#?}"),
        format!("{stream:#?}"),
        format!("{:#?}", SeaOrmConnector::new()),
    ];
    for text in &told {
        assert!(!text.is_empty() && !text.contains(PASSWORD), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn errors_tell_no_password() -> Result {
    let cluster = boot(1).await?;
    let secret = |url: String| url.replace("app@", &format!("app:{PASSWORD}@"));
    let good = secret(cluster.primary().url());
    cluster.replica(1)?.kill9().await?;
    let refused = secret(cluster.replica(1)?.url());
    let mut errors = vec![RoutedConnection::connect(refused.as_str()).await.err()];
    for bad in [
        format!("nonsense://app:{PASSWORD}@127.0.0.1/app"),
        format!("postgresql://app:{PASSWORD}@127.0.0.1:port/app"),
        format!("app:{PASSWORD}@127.0.0.1"),
    ] {
        errors.push(RoutedConnection::connect(bad.as_str()).await.err());
        errors.push(RoutedConnection::connect_nodes(good.as_str(), [bad.as_str()]).await.err());
        errors.push(match Config::builder().primary(bad.as_str()).build() {
            Ok(config) => RoutedConnection::start(config).await.err(),
            Err(error) => Some(DbErr::Custom(format!("{error} {error:#?}"))),
        });
    }
    for (index, error) in errors.into_iter().enumerate() {
        let error = error.ok_or_else(|| format!("an error of constructor {index}"))?;
        let text = format!("{error} {error:#?}");
        assert!(!text.contains(PASSWORD), "{index}: {text}");
    }
    Ok(())
}
