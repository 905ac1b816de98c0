//! TLS and logins of libpq on real servers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use rr_diesel::blocking::NodeConnector;
use rr_tests::cluster::Cluster;
use rr_tests::tls::{Authority, accepted, demand_certificates, parameter};

use super::{RoutedPool, place};
use crate::support::{Result, boot, config, note, until};
use crate::tls::{ENCRYPTED, Encrypted, boot_with_tls, set_password};

/// Whether the server says that a read is encrypted, and a write, on connections with these parameters.
fn encrypted(cluster: &Cluster, host: &str, parameters: &str) -> Result<bool> {
    let pool = RoutedPool::start(crate::tls::config(cluster, host, parameters)?)?;
    let ask = |hint: &str| sql_query(format!("/*rr:{hint}*/ {ENCRYPTED}")).get_result(&mut pool.handle());
    let (read, write): (Encrypted, Encrypted) = (ask("replica")?, ask("primary")?);
    assert_eq!(read.encrypted, write.encrypted);
    Ok(read.encrypted)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mode_demands_what_it_says() -> Result {
    let (authority, stranger) = (Authority::new("ours")?, Authority::new("theirs")?);
    let cluster = boot_with_tls(&authority).await?;
    let root = parameter("sslrootcert", &authority.root());
    for (host, parameters, expected) in accepted(&authority) {
        assert_eq!(encrypted(&cluster, host, &parameters)?, expected, "{host} {parameters}");
    }
    let strange = parameter("sslrootcert", &stranger.root());
    for (host, parameters, why) in [
        ("localhost", format!("sslmode=verify-full{root}"), "does not match host name \"localhost\""),
        ("127.0.0.1", format!("sslmode=verify-full{strange}"), "certificate verify failed"),
        ("127.0.0.1", format!("sslmode=verify-ca{strange}"), "certificate verify failed"),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert=%2Fnowhere.crt".to_owned(), "/nowhere.crt"),
    ] {
        let error = encrypted(&cluster, host, &parameters).unwrap_err();
        let text = error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
        assert!(text.contains(why), "{host} {parameters}: {text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_where_it_is_required() -> Result {
    let cluster = boot(1).await?;
    assert!(!encrypted(&cluster, "127.0.0.1", "sslmode=prefer")?);
    let error = encrypted(&cluster, "127.0.0.1", "sslmode=require").unwrap_err().to_string();
    assert!(error.contains("server does not support SSL"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_ask_for_a_certificate_get_one() -> Result {
    let authority = Authority::new("ours")?;
    let cluster = boot_with_tls(&authority).await?;
    demand_certificates(&cluster).await?;
    let without = format!("sslmode=verify-full{}", parameter("sslrootcert", &authority.root()));
    let refused = async || Ok(encrypted(&cluster, "127.0.0.1", &without).is_err());
    until("the servers to ask", refused).await?;
    let with = format!("{without}{}", authority.client_parameters()?);
    assert!(encrypted(&cluster, "127.0.0.1", &with)?);
    let error = encrypted(&cluster, "127.0.0.1", &without).unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    // The same, from the settings for all nodes.
    let mut config = config(&cluster).build()?;
    config.tls.mode = rr_core::config::SslMode::VerifyFull;
    config.tls.root_cert = Some(authority.root());
    config.tls.client_cert = Some(authority.root().with_file_name("client.crt"));
    config.tls.client_key = Some(authority.root().with_file_name("client.key"));
    let pool = RoutedPool::start(config)?;
    let read: Encrypted = sql_query(ENCRYPTED).get_result(&mut pool.handle())?;
    assert!(read.encrypted && place(&mut pool.handle())?.standby);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_may_rotate() -> Result {
    let cluster = boot(1).await?;
    let current = Arc::new(Mutex::new(String::new()));
    let connector = NodeConnector::new()?.before_connect({
        let current = Arc::clone(&current);
        move |node, mut login| {
            login.password(current.lock().unwrap().as_str());
            login.user("app").application_name(format!("hook-{}", node.name));
            Ok(login)
        }
    });
    set_password(&cluster, "first").await?;
    "first".clone_into(&mut current.lock().unwrap());
    // Each refusal is to be seen, and not only the last of five seconds.
    let settings = config(&cluster).with(|config| config.retries.within = Duration::ZERO);
    let pool = RoutedPool::start_with(connector, settings.build()?)?;
    let insert = || diesel::insert_into(note::table).values(note::text.eq("x")).execute(&mut pool.handle());
    for password in ["second/?&%=", "third"] {
        until("the standby to serve", async || Ok(place(&mut pool.handle())?.standby)).await?;
        insert()?;
        password.clone_into(&mut current.lock().unwrap());
        set_password(&cluster, password).await?;
        // So long that nobody trusts the connections to the primary.
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    until("the standby to serve", async || Ok(place(&mut pool.handle())?.standby)).await?;
    insert()?;
    let named = "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'hook-replica-1'";
    until("the monitor's own connection beside one for reads", async || {
        place(&mut pool.handle())?;
        Ok(cluster.replica(1)?.admin_query_text(named).await?.parse::<i64>()? >= 2)
    })
    .await?;
    "wrong".clone_into(&mut current.lock().unwrap());
    let refused = async || {
        // One that was being opened a moment ago still had the right one.
        for node in cluster.nodes() {
            node.kill_client_connections().await?;
        }
        let error = place(&mut pool.handle()).map_or_else(|error| error.to_string(), |_| String::new());
        Ok(error.contains("password authentication failed"))
    };
    until("the wrong password to be refused", refused).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_hook_says_when_it_fails_is_told() -> Result {
    let cluster = boot(1).await?;
    for panics in [false, true] {
        let connector = NodeConnector::new()?.before_connect(move |_, _| match panics {
            true => panic!("a hook with a bug"),
            false => Err("the vault is closed".into()),
        });
        let settings = config(&cluster).with(|config| config.retries.within = Duration::ZERO);
        let pool = RoutedPool::start_with(connector, settings.build()?)?;
        let error = place(&mut pool.handle()).unwrap_err().to_string();
        let expected = if panics { "panicked" } else { "the vault is closed" };
        assert!(error.contains("hook") && error.contains(expected), "{error}");
    }
    Ok(())
}
