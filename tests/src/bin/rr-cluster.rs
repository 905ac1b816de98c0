//! Boots a primary and its replicas, prints their URLs, and removes everything at Ctrl-C.
//!
//! `rr-cluster [--replicas N]`, where N is 2 unless said otherwise.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use rr_tests::cluster::Cluster;

const USAGE: &str = "usage: rr-cluster [--replicas N]";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nowhere else to say it.
            let _unheard = writeln!(std::io::stderr(), "rr-cluster: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let replicas = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => 2,
        ["--replicas", number] => number.parse().map_err(|_| USAGE)?,
        _ => return Err(USAGE.into()),
    };
    let cluster = Cluster::builder().replicas(replicas).start().await?;
    let mut out = std::io::stdout();
    writeln!(out, "{} is up after {:?}", cluster.programs().version(), cluster.boot_time())?;
    writeln!(out, "folder: {}", cluster.folder().display())?;
    for node in cluster.nodes() {
        writeln!(out, "{}: {}", node.name(), node.url())?;
    }
    writeln!(out, "Ctrl-C stops the servers and removes the folder")?;
    out.flush()?;
    tokio::signal::ctrl_c().await?;
    Ok(())
}
