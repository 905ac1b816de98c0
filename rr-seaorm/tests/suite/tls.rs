//! TLS on real servers.

use std::path::PathBuf;
use std::time::Duration;

use rr_core::Config;
use rr_core::config::ConfigBuilder;
use rr_seaorm::RoutedConnection;
use rr_tests::cluster::{Cluster, Node};
use rr_tests::provided::{ENCRYPTED_STANDBY, Provided};
use rr_tests::tls::{Authority, accepted, demand_certificates, parameter};
use sea_orm::sqlx::postgres::PgSslMode;
use sea_orm::{ConnectOptions, ConnectionTrait};

use crate::support::{Result, ask, boot, until};

const ENCRYPTED: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

async fn boot_with_tls(authority: &Authority) -> Result<Cluster> {
    let cluster = boot(1).await?;
    authority.equip(&cluster).await?;
    Ok(cluster)
}

fn url(node: &Node, host: &str, parameters: &str) -> String {
    format!("{}?{parameters}", node.url().replace("127.0.0.1", host))
}

/// Whether the server says that a read is encrypted, and a write, on connections with these parameters.
async fn encrypted(cluster: &Cluster, host: &str, parameters: &str) -> Result<bool> {
    let config = Config::builder()
        .primary(url(cluster.primary(), host, parameters).as_str())
        .replica(url(cluster.replica(1)?, host, parameters).as_str())
        .write_wait(Duration::ZERO);
    let db = RoutedConnection::start(config.build()?).await?;
    let read: bool = ask(&db.use_replica(), ENCRYPTED).await?;
    let write: bool = ask(&db.use_primary(), ENCRYPTED).await?;
    assert_eq!(read, write);
    Ok(read)
}

#[tokio::test]
async fn each_mode_demands_what_it_says() -> Result {
    let (authority, stranger) = (Authority::new("ours")?, Authority::new("theirs")?);
    let cluster = boot_with_tls(&authority).await?;
    let root = parameter("sslrootcert", &authority.root());
    for (host, parameters, expected) in accepted(&authority) {
        assert_eq!(encrypted(&cluster, host, &parameters).await?, expected, "{host} {parameters}");
    }
    let strange = parameter("sslrootcert", &stranger.root());
    for (host, parameters, why) in [
        ("localhost", format!("sslmode=verify-full{root}"), "not valid for name"),
        ("127.0.0.1", format!("sslmode=verify-full{strange}"), "UnknownIssuer"),
        ("127.0.0.1", format!("sslmode=verify-ca{strange}"), "UnknownIssuer"),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert=%2Fnowhere.crt".to_owned(), "/nowhere.crt"),
    ] {
        let error = encrypted(&cluster, host, &parameters).await.unwrap_err().to_string();
        assert!(error.contains(why), "{host} {parameters}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_it_is_required() -> Result {
    let cluster = boot(1).await?;
    assert!(!encrypted(&cluster, "127.0.0.1", "sslmode=prefer").await?);
    let error = encrypted(&cluster, "127.0.0.1", "sslmode=require").await.unwrap_err().to_string();
    assert!(error.contains("TLS"), "{error}");
    Ok(())
}

#[tokio::test]
async fn servers_that_ask_for_a_certificate_get_one() -> Result {
    let authority = Authority::new("ours")?;
    let cluster = boot_with_tls(&authority).await?;
    demand_certificates(&cluster).await?;
    let without = format!("sslmode=verify-full{}", parameter("sslrootcert", &authority.root()));
    until("the servers to ask", async || Ok(encrypted(&cluster, "127.0.0.1", &without).await.is_err()))
        .await?;
    let with = format!("{without}{}", authority.client_parameters()?);
    assert!(encrypted(&cluster, "127.0.0.1", &with).await?);
    let error = encrypted(&cluster, "127.0.0.1", &without).await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    Ok(())
}

/// As `deploy/postgres/` describes them: with passwords, encryption demanded, and commits that a standby shows.
#[tokio::test]
async fn servers_as_provided_are_reached_encrypted_and_in_no_other_way() -> Result {
    let servers = Provided::start().await?;
    servers.synchronous().await?;
    let db = RoutedConnection::start(servers.config(&servers.verified())?).await?;
    until("a standby to serve", async || Ok(ask(&db, ENCRYPTED_STANDBY).await?)).await?;
    assert_eq!(db.execute_unprepared("INSERT INTO note VALUES ('x')").await?.rows_affected(), 1);
    assert_eq!(ask::<i64>(&db, "SELECT count(*) FROM note").await?, 1, "its own write");

    let clear = RoutedConnection::start(servers.config("sslmode=disable")?).await?;
    let error = clear.execute_unprepared("DELETE FROM note").await.unwrap_err().to_string();
    assert!(error.contains("no encryption"), "{error}");
    Ok(())
}

/// Both servers, by settings of SeaORM's that demand a certificate of this authority.
async fn trusting(
    cluster: &Cluster,
    root: PathBuf,
    parameters: &str,
    replica: &str,
) -> Result<RoutedConnection> {
    let mut options = ConnectOptions::new(format!("{}{parameters}", cluster.primary().url()));
    options
        .map_sqlx_postgres_opts(move |options| options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(&root));
    let settings = |config: ConfigBuilder| config.replica(replica).write_wait(Duration::ZERO);
    Ok(RoutedConnection::connect_with(options, settings).await?)
}

#[tokio::test]
async fn what_seaorms_own_settings_demand_holds_for_all_nodes() -> Result {
    let (authority, stranger) = (Authority::new("ours")?, Authority::new("theirs")?);
    let cluster = boot_with_tls(&authority).await?;
    let plain = cluster.replica(1)?.url();
    // Settings of its own come on top.
    let own = format!("{plain}?options=-c%20lock_timeout%3D44s");
    let less = format!("{plain}?sslmode=require");
    let file = parameter("sslrootcert", &authority.root()).replacen('&', "?", 1);
    for (parameters, replica, lock_timeout) in [
        ("", plain, "0"),
        ("", own, "44s"),
        // A URL that demands less, or names an authority, takes nothing back.
        ("?sslmode=require", less, "0"),
        (&file, format!("{}{file}", cluster.replica(1)?.url()), "0"),
    ] {
        let db = trusting(&cluster, authority.root(), parameters, &replica).await?;
        assert!(ask::<bool>(&db.use_replica(), ENCRYPTED).await?, "{replica}");
        assert!(ask::<bool>(&db.use_primary(), ENCRYPTED).await?);
        let shown: String = ask(&db.use_replica(), "SELECT current_setting('lock_timeout')").await?;
        assert_eq!(shown, lock_timeout);
        if parameters != file {
            let error = trusting(&cluster, stranger.root(), parameters, &replica).await;
            let error = error.unwrap_err().to_string();
            assert!(error.contains("UnknownIssuer"), "{replica}: {error}");
        }
    }
    let file = parameter("sslrootcert", &stranger.root()).replacen('&', "?", 1);
    let error = trusting(&cluster, authority.root(), &file, &cluster.replica(1)?.url()).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("UnknownIssuer"), "{error}");
    Ok(())
}
