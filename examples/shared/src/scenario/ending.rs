//! How an example ends, and how it uses servers that are not its own.

use rr_tests::cluster::Cluster;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Example, Result, ensure, until};
use crate::Client;

/// Ends the launcher politely and by force, and looks whether its instances and servers are gone.
///
/// # Errors
/// When the program cannot be started or something outlives it.
pub async fn with_the_launcher(program: &str) -> Result {
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let servers = tempfile::tempdir()?;
        let folder = servers.path().to_str().ok_or("a path")?;
        let arguments = ["--cluster", "--port", "0", "--instances", "2"];
        let example = Example::start_with(program, &arguments, &[("RR_TEST_CLUSTER_DIR", folder)]).await?;
        // The template that servers are copied from stays.
        let left = || {
            let names = std::fs::read_dir(servers.path())?.map(|entry| Ok(entry?.file_name()));
            let names = names.collect::<std::io::Result<Vec<_>>>()?;
            Ok::<_, std::io::Error>(
                names.iter().filter(|name| name.to_string_lossy().starts_with("rr-cluster-")).count(),
            )
        };
        ensure(left()? == 1, || "its servers are somewhere else".to_owned())?;
        let client = Client::new();
        let browser = example.browser(&client);
        let mut ports: Vec<u16> = Vec::new();
        for url in &example.urls {
            ports.push(url.rsplit_once(':').ok_or("a port")?.1.parse()?);
        }
        until("the cluster to be well", async || {
            let health = browser.stranger().get(0, "/health/database").await?;
            ensure(health["status"] == "healthy", || format!("{health}"))?;
            Ok(true)
        })
        .await?;
        let status = example.stop(signal).await?;
        ensure(status.success() == (signal != Signal::KILL), || format!("{signal:?}: {status}"))?;
        until("the instances to be gone", async || {
            Ok(ports.iter().all(|port| std::net::TcpStream::connect(("127.0.0.1", *port)).is_err()))
        })
        .await?;
        // Whoever removes them stops the servers first.
        until("the servers and their folder to be gone", async || Ok(left()? == 0)).await?;
    }
    Ok(())
}

/// Starts the program twice on servers that are there already: the second time it finds its tables. There is no laboratory,
/// and nothing is booted.
///
/// # Errors
/// When the servers cannot be booted or the program does something else.
pub async fn on_foreign_servers(program: &str) -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    let (primary, replica) = (cluster.primary().url(), cluster.replica(1)?.url());
    let environment = [("RR_PRIMARY_URL", &*primary), ("RR_REPLICA_URLS", &*replica)];
    let client = Client::new();
    for notes in 0..2 {
        let example =
            Example::start_with(program, &["--port", "0", "--instances", "2"], &environment).await?;
        ensure(!example.said.iter().any(|line| line.contains("booting")), || format!("{:?}", example.said))?;
        let mut browser = example.browser(&client);
        browser.log_in(0, "ann").await?;
        let count = browser.get(1, "/notes/count").await?;
        ensure(count == json!({ "notes": notes }), || format!("{count}"))?;
        browser.post(1, "/notes", json!({ "title": "t", "body": "b" })).await?;
        let (status, _) = browser.send(0, http::Method::POST, "/lab/burst", Some(Value::Null)).await?;
        ensure(status == http::StatusCode::NOT_FOUND, || format!("{status}"))?;
        example.stop(Signal::TERM).await?;
    }
    let stored = cluster.primary().query_text("SELECT count(*) FROM notes").await?;
    ensure(stored == "2", || stored)
}
