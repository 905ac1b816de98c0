//! Boots a primary and its replicas, prints their URLs, and removes everything at Ctrl-C.
//!
//! `rr-cluster [--replicas N] [-- COMMAND…]`, where N is 2 unless said otherwise. A command finds the URLs in its environment
//! (`RR_PRIMARY_URL`, `RR_REPLICA_URLS`); everything is removed when it ends.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use rr_tests::cluster::Cluster;

const USAGE: &str = "usage: rr-cluster [--replicas N] [-- COMMAND…]";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => code,
        Err(error) => {
            // Nowhere else to say it.
            let _unheard = writeln!(std::io::stderr(), "rr-cluster: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut parts = arguments.splitn(2, |argument| argument == "--");
    let own: Vec<&str> = parts.next().into_iter().flatten().map(String::as_str).collect();
    let replicas = match own[..] {
        [] => 2,
        ["--replicas", number] => number.parse().map_err(|_| USAGE)?,
        _ => return Err(USAGE.into()),
    };
    let cluster = Cluster::builder().replicas(replicas).start().await?;
    match parts.next() {
        Some([program, arguments @ ..]) => within(&cluster, program, arguments).await,
        Some([]) => Err(USAGE.into()),
        None => show(&cluster).await,
    }
}

async fn show(cluster: &Cluster) -> Result<ExitCode, Box<dyn Error>> {
    let mut out = std::io::stdout();
    writeln!(out, "{} is up after {:?}", cluster.programs().version(), cluster.boot_time())?;
    writeln!(out, "folder: {}", cluster.folder().display())?;
    for node in cluster.nodes() {
        writeln!(out, "{}: {}", node.name(), node.url())?;
    }
    writeln!(out, "Ctrl-C stops the servers and removes the folder")?;
    out.flush()?;
    tokio::signal::ctrl_c().await?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a command; at Ctrl-C it ends by itself.
async fn within(cluster: &Cluster, program: &str, arguments: &[String]) -> Result<ExitCode, Box<dyn Error>> {
    let replicas: Vec<String> = cluster.replicas().iter().map(|replica| replica.url()).collect();
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).env("RR_PRIMARY_URL", cluster.primary().url());
    command.env("RR_REPLICA_URLS", replicas.join(","));
    let mut running = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    let ended = tokio::select! {
        ended = running.wait() => ended?,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            running.wait().await?
        }
    };
    Ok(ended.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
