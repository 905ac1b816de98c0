//! The second process: the same program, which shares nothing with the first but the servers and the token key. Tokens go
//! through a socket, line by line.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rr_core::Config;
use rr_core::config::{LostWrites, NodeConfig};
use rr_tests::cluster::Cluster;
use rr_tests::guarded::{Ending, Guarded};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Error;
use crate::client::Db;
use crate::history::{History, Op, Orm};
use crate::load::{Lie, Load, Shared, Token};

/// What both processes sign tokens with.
pub const KEY: &str = "a-key-that-guards-nothing-but-torture";
/// Tokens on their way.
const ON_THE_WAY: usize = 16;
/// Anything but a hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the second process is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Plan {
    seed: u64,
    lie: Lie,
    /// Names and URLs, the primary first.
    nodes: Vec<(String, String)>,
    socket: PathBuf,
    ops: PathBuf,
}

/// The servers as any application has them: it follows whatever happens.
///
/// # Errors
/// When a URL is none.
fn config(nodes: &[(String, String)], lie: Lie) -> Result<Config, Error> {
    let mut nodes = nodes.iter();
    let (_, primary) = nodes.next().ok_or("no primary")?;
    let mut config = Config::new(primary.as_str())?;
    for (name, url) in nodes {
        config.replicas.push(NodeConfig::new(url.as_str())?.with_name(name));
    }
    tune(&mut config, lie);
    Ok(config)
}

/// What all routers of the torture have in common.
pub fn tune(config: &mut Config, lie: Lie) {
    if lie == Lie::HidesLoss {
        config.lost_writes = LostWrites::Warn;
    }
    config.session.keys = vec![KEY.into()];
    config.monitor.interval = Duration::from_millis(100);
    config.monitor.jitter = Duration::from_millis(20);
    config.pool.replica.checkout_timeout = Duration::from_millis(500);
}

/// Names and URLs, the primary first.
#[must_use]
pub fn nodes(cluster: &Cluster) -> Vec<(String, String)> {
    cluster.nodes().iter().map(|node| (node.name().to_owned(), node.url())).collect()
}

/// A router that follows, in this process.
///
/// # Errors
/// When it cannot be started.
pub async fn follower(orm: Orm, nodes: &[(String, String)], lie: Lie) -> Result<Db, Error> {
    Db::start(orm, config(nodes, lie)?).await
}

/// The second process, seen from the first.
#[derive(Debug)]
pub struct Peer {
    process: Guarded,
    writer: JoinHandle<Result<(), Error>>,
    reader: JoinHandle<Result<(), Error>>,
    orders: mpsc::Sender<String>,
    said: mpsc::Receiver<String>,
    ops: PathBuf,
}

impl Peer {
    /// Starts it and waits until its clients work. What `outbox` gives goes there.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(
        program: &Path,
        folder: &Path,
        cluster: &Cluster,
        (seed, lie): (u64, Lie),
        shared: Arc<Shared>,
        mut outbox: mpsc::Receiver<Token>,
    ) -> Result<Self, Error> {
        let (socket, ops) = (folder.join("socket"), folder.join("ops"));
        let listener = UnixListener::bind(&socket)?;
        let plan = Plan { seed, lie, nodes: nodes(cluster), socket, ops: ops.clone() };
        let file = folder.join("plan");
        std::fs::write(&file, serde_json::to_vec(&plan)?)?;
        let mut command = tokio::process::Command::new(program);
        command.arg("peer").arg(&file);
        let process = Guarded::start(command, Ending::Killed(Path::new("")))?;
        let (stream, _) = timeout(PATIENCE, listener.accept()).await??;
        let (read, mut write) = stream.into_split();
        let (orders, mut ordered) = mpsc::channel::<String>(ON_THE_WAY);
        let writer = tokio::spawn(async move {
            loop {
                let line = tokio::select! {
                    biased;
                    order = ordered.recv() => match order {
                        Some(order) => order,
                        None => return Ok(()),
                    },
                    Some(token) = outbox.recv() => line_of(&token),
                };
                say(&mut write, &line).await?;
            }
        });
        let (saying, said) = mpsc::channel(ON_THE_WAY);
        let reader = tokio::spawn(async move {
            let mut lines = BufReader::new(read).lines();
            while let Some(line) = lines.next_line().await? {
                match token_of(&line) {
                    Some(token) => shared.receive(token),
                    None => saying.send(line).await?,
                }
            }
            Ok(())
        });
        let mut peer = Self { process, writer, reader, orders, said, ops };
        peer.hears("ready").await?;
        Ok(peer)
    }

    /// Tells it to do something, and waits until it has.
    async fn tell(&mut self, order: &str, answer: &str) -> Result<(), Error> {
        self.orders.send(order.to_owned()).await?;
        self.hears(answer).await
    }

    async fn hears(&mut self, answer: &str) -> Result<(), Error> {
        match timeout(PATIENCE, self.said.recv()).await? {
            Some(said) if said == answer => Ok(()),
            other => Err(format!("the second process said {other:?} in place of {answer}").into()),
        }
    }

    /// Nothing is written there until [`go`](Self::go).
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn hold(&mut self) -> Result<(), Error> {
        self.tell("hold", "held").await
    }

    /// Writes go on.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn go(&mut self) -> Result<(), Error> {
        self.tell("go", "gone").await
    }

    /// Ends it, and gives what was done there.
    ///
    /// # Errors
    /// When it does not end by itself.
    pub async fn end(mut self) -> Result<Vec<Op>, Error> {
        self.tell("stop", "done").await?;
        drop(self.orders);
        self.writer.await??;
        self.reader.await??;
        self.process.end().await?;
        Ok(History::read(&self.ops)?.ops)
    }
}

/// The second process itself.
///
/// # Errors
/// When its parent is gone, or its servers never were.
pub async fn run(plan: &Path) -> Result<(), Error> {
    let plan: Plan = serde_json::from_slice(&std::fs::read(plan)?)?;
    let (read, mut write) = UnixStream::connect(&plan.socket).await?.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut dbs = Vec::new();
    for orm in [Orm::Diesel, Orm::Seaorm] {
        dbs.push(follower(orm, &plan.nodes, plan.lie).await?);
    }
    let (outbox, mut outgoing) = mpsc::channel(ON_THE_WAY);
    let load = Load::start(1, dbs, plan.seed, plan.lie, outbox);
    say(&mut write, "ready").await?;
    let shared = Arc::clone(load.shared());
    serve(&shared, &mut lines, &mut write, &mut outgoing).await?;
    let ops = load.end().await?;
    History { facts: crate::history::Facts::default(), ops }.write(&plan.ops)?;
    say(&mut write, "done").await
}

async fn serve(
    shared: &Shared,
    lines: &mut Lines<BufReader<OwnedReadHalf>>,
    write: &mut OwnedWriteHalf,
    outgoing: &mut mpsc::Receiver<Token>,
) -> Result<(), Error> {
    let mut held = None;
    loop {
        tokio::select! {
            line = lines.next_line() => match line?.as_deref() {
                Some("hold") => {
                    held = Some(shared.gate.write().await);
                    say(write, "held").await?;
                }
                Some("go") => {
                    drop(held.take());
                    say(write, "gone").await?;
                }
                Some("stop") | None => return Ok(()),
                Some(line) => shared.receive(token_of(line).ok_or("neither an order nor a token")?),
            },
            Some(token) = outgoing.recv() => say(write, &line_of(&token)).await?,
        }
    }
}

fn line_of(token: &Token) -> String {
    format!("{} {}", token.number, token.text)
}

fn token_of(line: &str) -> Option<Token> {
    let (number, text) = line.split_once(' ')?;
    Some(Token::new(number.parse().ok()?, text.to_owned()))
}

async fn say(write: &mut OwnedWriteHalf, line: &str) -> Result<(), Error> {
    Ok(write.write_all(format!("{line}\n").as_bytes()).await?)
}
