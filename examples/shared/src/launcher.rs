//! The process that a user starts: it owns the servers, the laboratory and the instances.

use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use rr_tests::cluster::Cluster;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::BoxError;
use crate::command_line::Arguments;
use crate::instance::{LISTEN, LISTENING, NUMBER};
use crate::laboratory::{Laboratory, Place};
use crate::passing;

const PRIMARY_URL: &str = "RR_PRIMARY_URL";
const REPLICA_URLS: &str = "RR_REPLICA_URLS";
const KEYS: &str = "RR_SESSION_KEYS";

/// For instances to end by themselves.
const GRACE: Duration = Duration::from_secs(2);

/// An instance that runs. It ends when this is dropped.
struct Instance {
    number: u16,
    url: String,
    /// Its standard input: it ends when that does.
    lifeline: Option<ChildStdin>,
    process: Child,
}

/// Starts everything that the command line asks for, and ends it at Ctrl-C.
pub(crate) async fn launch(about: &'static str) -> Result<(), BoxError> {
    let arguments = Arguments::parse();
    let stop = stop()?;
    tokio::pin!(stop);
    let mut environment = vec![(KEYS, key()?)];
    let cluster = if arguments.cluster || !names_servers() {
        say("booting a primary and two replicas ...")?;
        let cluster = tokio::select! {
            cluster = Box::pin(Cluster::builder().replicas(2).start()) => cluster?,
            () = &mut stop => return Ok(()),
        };
        environment.push((PRIMARY_URL, cluster.primary().url()));
        let replicas: Vec<_> = cluster.replicas().iter().map(|node| node.url()).collect();
        environment.push((REPLICA_URLS, replicas.join(",")));
        Some(Arc::new(cluster))
    } else {
        None
    };
    let laboratory = match &cluster {
        Some(cluster) => Some(Laboratory::start(Arc::clone(cluster), key()?).await?),
        None => None,
    };
    if let Some(laboratory) = &laboratory {
        environment.push((passing::LABORATORY, laboratory.url().to_owned()));
        environment.push((passing::LABORATORY_KEY, laboratory.key().to_owned()));
    }
    let mut instances = tokio::select! {
        instances = start_all(&arguments, &environment) => instances?,
        () = &mut stop => return Ok(()),
    };
    if let Some(laboratory) = &laboratory {
        let place = |instance: &Instance| Place { number: instance.number, url: instance.url.clone() };
        laboratory.has(instances.iter().map(place));
    }
    announce(about, &instances, cluster.as_deref())?;
    tokio::select! {
        ended = first_end(&mut instances) => return Err(ended),
        () = &mut stop => say("\nstopping")?,
    }
    end_all(instances).await;
    Ok(())
}

/// Resolves when the user, or whoever else may, wants this to end.
fn stop() -> Result<impl Future<Output = ()>, BoxError> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
}

fn names_servers() -> bool {
    std::env::var_os(PRIMARY_URL).is_some_and(|url| !url.is_empty())
}

/// A key that nobody can guess.
fn key() -> Result<String, BoxError> {
    let mut random = [0_u8; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

async fn start_all(
    arguments: &Arguments,
    environment: &[(&'static str, String)],
) -> Result<Vec<Instance>, BoxError> {
    let mut starting = Vec::new();
    for index in 0..arguments.instances {
        let port = arguments.port_of(index).ok_or("there are not that many ports; try a lower --port")?;
        let listen = std::net::SocketAddr::new(arguments.bind, port).to_string();
        starting.push((index + 1, spawn(index + 1, &listen, environment)?));
    }
    let mut instances = Vec::new();
    for (number, (mut process, mut said)) in starting {
        // Waiting for a process would close it.
        let lifeline = process.stdin.take();
        let line = said.next_line().await?;
        let address = line.as_deref().and_then(|line| line.strip_prefix(LISTENING));
        let address = address.ok_or_else(|| format!("instance {number} could not start"))?;
        instances.push(Instance { number, url: format!("http://{address}"), lifeline, process });
    }
    Ok(instances)
}

fn spawn(
    number: u16,
    listen: &str,
    environment: &[(&'static str, String)],
) -> Result<(Child, Lines<BufReader<ChildStdout>>), BoxError> {
    let mut command = Command::new(std::env::current_exe()?);
    // The servers are named by URLs of ours.
    command.env_remove("DATABASE_URL");
    let given = environment.iter().filter(|(name, _)| *name != KEYS || std::env::var_os(KEYS).is_none());
    command.envs(given.map(|(name, value)| (*name, value))).env(LISTEN, listen);
    command.env(NUMBER, number.to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut process = command.spawn()?;
    let said = process.stdout.take().ok_or("no standard output")?;
    Ok((process, BufReader::new(said).lines()))
}

/// Waits until an instance ends, which none should.
async fn first_end(instances: &mut [Instance]) -> BoxError {
    let ends = instances.iter_mut().map(|instance| {
        Box::pin(async {
            let status = instance.process.wait().await;
            let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            format!("instance {} has ended: {how}", instance.number)
        })
    });
    futures_util::future::select_all(ends).await.0.into()
}

/// Lets the instances end by themselves, for a while.
async fn end_all(instances: Vec<Instance>) {
    let ends = instances.into_iter().map(|Instance { lifeline, mut process, .. }| {
        drop(lifeline);
        async move { process.wait().await }
    });
    let _or_they_are_killed = tokio::time::timeout(GRACE, futures_util::future::join_all(ends)).await;
}

/// Says what a program wants to know, line by line up to `ready`, and then what a person wants to know.
fn announce(about: &str, instances: &[Instance], cluster: Option<&Cluster>) -> Result<(), BoxError> {
    for Instance { number, url, .. } in instances {
        say(&format!("instance {number} {url}"))?;
    }
    say("ready")?;
    let url = instances.first().map_or("", |instance| &instance.url);
    say(&format!(
        "\n{about}\n\n  open   {url}/\n  log in curl -c jar -H 'content-type: application/json' -d '{{\"name\":\"ann\"}}' {url}/login"
    ))?;
    for node in cluster.map(Cluster::nodes).unwrap_or_default() {
        say(&format!("  {:<10} psql '{}'", node.name(), node.url()))?;
    }
    say("\nCtrl-C stops and removes everything.")
}

fn say(line: &str) -> Result<(), BoxError> {
    let mut out = std::io::stdout();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
