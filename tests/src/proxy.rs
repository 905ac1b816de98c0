//! The network between a client and a server, or between two servers, in the hands of the test.
//!
//! Every link of a [`cluster`](crate::cluster) goes through its own [`Proxy`]: a local TCP port which
//! forwards to the server. That needs no privilege and works on every operating system, unlike `tc netem`
//! or a firewall. While the server itself is down its proxies refuse connections just as the server's own
//! port would; while they do not listen they keep their port bound, so nobody else can take it.
//!
//! Each operation has taken effect when its future returns.

mod acceptor;
mod link;
mod port;

use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use port::ReservedPort;

/// Where a server listens now; `None` while it is down.
pub(crate) type Origin = watch::Receiver<Option<u16>>;

/// One link of the network. A cheap handle: clones steer the same link, and dropping the last one ends it.
#[derive(Clone, Debug)]
pub struct Proxy {
    port: u16,
    commands: Arc<mpsc::Sender<Command>>,
}

/// The proxy's tasks are gone: its cluster has been shut down.
#[derive(Debug, thiserror::Error)]
#[error("this link has ended with its cluster; keep the cluster alive while you use its network")]
#[non_exhaustive]
pub struct LinkEnded;

#[derive(Debug)]
pub(crate) struct Command {
    change: Change,
    done: oneshot::Sender<()>,
}

#[derive(Debug)]
pub(crate) enum Change {
    Cut,
    Reset,
    Blackhole,
    Forget,
    Delay { to_server: Duration, to_client: Duration },
    Rate(NonZeroU64),
    Heal,
    Settle,
}

impl Proxy {
    /// Starts a proxy on a free port whose tasks run on `runtime`.
    pub(crate) fn start(runtime: &Handle, origin: Origin) -> io::Result<Self> {
        let reserved = ReservedPort::reserve()?;
        let port = reserved.number();
        let (commands, inbox) = mpsc::channel(16);
        runtime.spawn(acceptor::run(reserved, origin, inbox));
        Ok(Self { port, commands: Arc::new(commands) })
    }

    /// The port on 127.0.0.1 which stands for the server.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host is gone: existing connections are closed and new ones refused, until [`heal`](Self::heal).
    ///
    /// # Errors
    /// When the cluster has ended.
    pub async fn cut(&self) -> Result<(), LinkEnded> {
        self.apply(Change::Cut).await
    }

    /// Existing connections end with a TCP reset; new ones are welcome.
    ///
    /// # Errors
    /// When the cluster has ended.
    pub async fn reset(&self) -> Result<(), LinkEnded> {
        self.apply(Change::Reset).await
    }

    /// All goes silent until [`heal`](Self::heal): new connections are accepted and never answered, existing
    /// ones are half-open. Nobody is told of anything, not even of a close by the other side.
    ///
    /// What is sent meanwhile arrives after healing, as it would through a network whose lost packets are
    /// sent again.
    ///
    /// # Errors
    /// When the cluster has ended.
    pub async fn blackhole(&self) -> Result<(), LinkEnded> {
        self.apply(Change::Blackhole).await
    }

    /// The network has forgotten its connections, as a firewall has that lost its table: existing ones are silent for ever,
    /// also after [`heal`](Self::heal), and new ones are welcome.
    ///
    /// # Errors
    /// When the cluster has ended.
    pub async fn forget(&self) -> Result<(), LinkEnded> {
        self.apply(Change::Forget).await
    }

    /// Every byte takes `delay` longer, in each direction: a round trip is slower by twice that.
    ///
    /// # Errors
    /// When the cluster has ended.
    pub async fn delay(&self, delay: Duration) -> Result<(), LinkEnded> {
        self.delay_ways(delay, delay).await
    }

    /// [`delay`](Self::delay) with a value for each direction.
    ///
    /// # Errors
    /// When the cluster has ended.
    pub async fn delay_ways(&self, to_server: Duration, to_client: Duration) -> Result<(), LinkEnded> {
        self.apply(Change::Delay { to_server, to_client }).await
    }

    /// At most so many bytes a second on each connection and direction.
    ///
    /// # Errors
    /// When the cluster has ended.
    pub async fn rate(&self, bytes_per_second: NonZeroU64) -> Result<(), LinkEnded> {
        self.apply(Change::Rate(bytes_per_second)).await
    }

    /// A perfect network again: no cut, no silence, no delay, no limit.
    ///
    /// # Errors
    /// When the cluster has ended.
    pub async fn heal(&self) -> Result<(), LinkEnded> {
        self.apply(Change::Heal).await
    }

    /// Waits until the proxy has noticed whether its server is up or down.
    pub(crate) async fn settle(&self) -> Result<(), LinkEnded> {
        self.apply(Change::Settle).await
    }

    async fn apply(&self, change: Change) -> Result<(), LinkEnded> {
        let (done, applied) = oneshot::channel();
        self.commands.send(Command { change, done }).await.map_err(|_| LinkEnded)?;
        applied.await.map_err(|_| LinkEnded)
    }
}
