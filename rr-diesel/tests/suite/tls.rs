//! TLS on real servers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use diesel_async::RunQueryDsl;
use rr_core::Config;
use rr_core::config::SslMode;
use rr_diesel::{DieselConnector, RoutedPool};
use rr_tests::cluster::{Cluster, Node};
use rr_tests::provided::{ENCRYPTED_STANDBY, Provided};
use rr_tests::tls::{Authority, accepted, admit, demand_certificates, parameter};

use crate::support::{PATIENCE, Result, boot, note, place, until};

pub(crate) async fn boot_with_tls(authority: &Authority) -> Result<Cluster> {
    let cluster = boot(1).await?;
    authority.equip(&cluster).await?;
    Ok(cluster)
}

#[derive(Debug, QueryableByName)]
pub(crate) struct Encrypted {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    pub(crate) encrypted: bool,
}

pub(crate) const ENCRYPTED: &str = "SELECT ssl AS encrypted FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

/// A primary and its standby at this host, with these parameters in their URLs.
pub(crate) fn config(cluster: &Cluster, host: &str, parameters: &str) -> Result<Config> {
    let url = |node: &Node| format!("{}?{parameters}", node.url().replace("127.0.0.1", host));
    let config = Config::builder().primary(url(cluster.primary()).as_str());
    let config = config.replica(url(cluster.replica(1)?).as_str()).write_wait(Duration::ZERO);
    Ok(config.build()?)
}

/// Whether the server says that a read is encrypted, and a write, on connections with these parameters.
async fn encrypted(cluster: &Cluster, host: &str, parameters: &str) -> Result<bool> {
    are_encrypted(config(cluster, host, parameters)?).await
}

async fn are_encrypted(config: Config) -> Result<bool> {
    let pool = RoutedPool::start(config).await?;
    let ask = ENCRYPTED;
    let read: Encrypted = sql_query(format!("/*rr:replica*/ {ask}")).get_result(&mut pool.handle()).await?;
    let write: Encrypted = sql_query(format!("/*rr:primary*/ {ask}")).get_result(&mut pool.handle()).await?;
    assert_eq!(read.encrypted, write.encrypted);
    Ok(read.encrypted)
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
    ] {
        let error = encrypted(&cluster, host, &parameters).await.unwrap_err().to_string();
        assert!(error.contains(why), "{host} {parameters}: {error}");
    }
    let missing = encrypted(&cluster, "127.0.0.1", "sslmode=verify-ca&sslrootcert=%2Fnowhere.crt").await;
    let missing = missing.unwrap_err();
    let cause = missing.source().map(ToString::to_string).unwrap_or_default();
    assert!(format!("{missing} {cause}").contains("/nowhere.crt"), "{missing}: {cause}");
    Ok(())
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_it_is_required() -> Result {
    let cluster = boot(1).await?;
    assert!(!encrypted(&cluster, "127.0.0.1", "sslmode=prefer").await?);
    let error = encrypted(&cluster, "127.0.0.1", "sslmode=require").await.unwrap_err().to_string();
    assert!(error.contains("server does not support TLS"), "{error}");
    Ok(())
}

#[tokio::test]
async fn servers_that_ask_for_a_certificate_get_one() -> Result {
    let authority = Authority::new("ours")?;
    let cluster = boot_with_tls(&authority).await?;
    demand_certificates(&cluster).await?;
    let root = parameter("sslrootcert", &authority.root());
    let with = format!("sslmode=verify-full{root}{}", authority.client_parameters()?);
    until("the servers to ask", async || {
        Ok(encrypted(&cluster, "127.0.0.1", &format!("sslmode=verify-full{root}")).await.is_err())
    })
    .await?;
    assert!(encrypted(&cluster, "127.0.0.1", &with).await?);
    let error = encrypted(&cluster, "127.0.0.1", &format!("sslmode=verify-full{root}")).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    // The same, from the settings for all nodes.
    let mut settings = config(&cluster, "127.0.0.1", "")?;
    settings.tls.mode = SslMode::VerifyFull;
    settings.tls.root_cert = Some(authority.root());
    settings.tls.client_cert = Some(authority.root().with_file_name("client.crt"));
    settings.tls.client_key = Some(authority.root().with_file_name("client.key"));
    assert!(are_encrypted(settings.clone()).await?);
    let stranger = Authority::new("theirs")?;
    settings.tls.root_cert = Some(stranger.root());
    for hint in ["replica", "primary"] {
        let pool = RoutedPool::start(settings.clone()).await?;
        let asked = sql_query(format!("/*rr:{hint}*/ {ENCRYPTED}"));
        let error = asked.get_result::<Encrypted>(&mut pool.handle()).await.unwrap_err().to_string();
        assert!(error.contains("UnknownIssuer"), "{hint}: {error}");
    }
    Ok(())
}

/// As `deploy/postgres/` describes them: with passwords, encryption demanded, and commits that a standby shows.
#[tokio::test]
async fn servers_as_provided_are_reached_encrypted_and_in_no_other_way() -> Result {
    let servers = Provided::start().await?;
    servers.synchronous().await?;
    let pool = RoutedPool::start(servers.config(&servers.verified())?).await?;
    until("a standby to serve", async || {
        let read: Option<Encrypted> =
            sql_query(ENCRYPTED_STANDBY).get_result(&mut pool.handle()).await.optional()?;
        Ok(read.is_some_and(|row| row.encrypted))
    })
    .await?;
    let mut handle = pool.handle();
    assert_eq!(sql_query("INSERT INTO note VALUES ('x')").execute(&mut handle).await?, 1);
    let seen: Encrypted =
        sql_query("SELECT count(*) = 1 AS encrypted FROM note").get_result(&mut handle).await?;
    assert!(seen.encrypted, "its own write");

    let clear = RoutedPool::start(servers.config("sslmode=disable")?).await?;
    let refused = sql_query("DELETE FROM note").execute(&mut clear.handle()).await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("no encryption"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_hook_may_change_every_connect() -> Result {
    let cluster = boot(1).await?;
    let wrong = |node: &Node| node.url().replace("app@", "nobody@");
    let config = Config::builder()
        .primary(wrong(cluster.primary()).as_str())
        .replica(wrong(cluster.replica(1)?).as_str());
    let connector = DieselConnector::new().before_connect(async |node, mut settings| {
        settings.user("app").application_name(format!("hook-{}", node.name));
        Ok(settings)
    });
    let pool = RoutedPool::start_with(connector, config.build()?).await?;
    let name = "SELECT current_setting('application_name') = 'hook-replica-1' AS encrypted";
    let read: Encrypted = sql_query(name).get_result(&mut pool.handle()).await?;
    assert!(read.encrypted);
    Ok(())
}

#[tokio::test]
async fn what_the_hook_says_when_it_fails_is_told() -> Result {
    let cluster = boot(1).await?;
    let connector = DieselConnector::new().before_connect(|_, _| async { Err("the vault is closed".into()) });
    let settings = crate::support::config(&cluster).with(|config| config.retries.within = Duration::ZERO);
    let pool = RoutedPool::start_with(connector, settings.write_wait(Duration::ZERO).build()?).await?;
    let read = place(&mut pool.handle()).await.map(drop);
    let insert = diesel::insert_into(note::table).values(note::text.eq("x"));
    let write = insert.execute(&mut pool.handle()).await.map(drop);
    for told in [read, write] {
        let error = told.unwrap_err().to_string();
        assert!(error.contains("hook") && error.contains("the vault is closed"), "{error}");
    }
    Ok(())
}

/// Makes servers ask the application's user for its password, which is `text` from now on.
pub(crate) async fn set_password(cluster: &Cluster, text: &str) -> Result {
    cluster.primary().admin_sql(&format!("ALTER ROLE app PASSWORD '{text}'")).await?;
    cluster.wait_caught_up(PATIENCE).await?;
    admit(cluster, "host all app 127.0.0.1/32 scram-sha-256").await?;
    for node in cluster.nodes() {
        let refused = async || Ok(node.client().await.is_err());
        until("passwords to be asked for", refused).await?;
        // Who is connected already is not asked again.
        node.kill_client_connections().await?;
    }
    Ok(())
}

#[tokio::test]
async fn passwords_may_rotate() -> Result {
    let cluster = boot(1).await?;
    let current = Arc::new(Mutex::new(String::new()));
    let connector = DieselConnector::new().before_connect({
        let current = Arc::clone(&current);
        move |_, mut settings| {
            settings.password(current.lock().unwrap().as_str());
            async { Ok(settings) }
        }
    });
    set_password(&cluster, "first").await?;
    "first".clone_into(&mut current.lock().unwrap());
    // Each refusal is to be seen, and not only the last of five seconds.
    let settings = crate::support::config(&cluster).with(|config| config.retries.within = Duration::ZERO);
    let pool = RoutedPool::start_with(connector, settings.build()?).await?;
    for password in ["second/?&%=", "third"] {
        until("the standby to serve", async || Ok(place(&mut pool.handle()).await?.standby)).await?;
        diesel::insert_into(note::table).values(note::text.eq("x")).execute(&mut pool.handle()).await?;
        password.clone_into(&mut current.lock().unwrap());
        set_password(&cluster, password).await?;
    }
    until("the standby to serve", async || Ok(place(&mut pool.handle()).await?.standby)).await?;
    diesel::insert_into(note::table).values(note::text.eq("x")).execute(&mut pool.handle()).await?;
    "wrong".clone_into(&mut current.lock().unwrap());
    let refused = async || {
        // One that was being opened a moment ago still had the right one.
        for node in cluster.nodes() {
            node.kill_client_connections().await?;
        }
        let error = place(&mut pool.handle()).await.map_or_else(|error| error.to_string(), |_| String::new());
        Ok(error.contains("password authentication failed"))
    };
    until("the wrong password to be refused", refused).await
}
