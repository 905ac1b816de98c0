//! The task behind a proxy: it owns the listening port and every connection.

use std::io;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::link::{self, Closing, Link, Shape};
use super::{Change, Command, Origin, ReservedPort};

/// When to try again to listen on a port that another process holds for a moment.
const RETRY: Duration = Duration::from_millis(10);

struct Acceptor {
    port: ReservedPort,
    origin: Origin,
    listener: Option<TcpListener>,
    cut: bool,
    shape: watch::Sender<Shape>,
    links: JoinSet<()>,
    /// How many connections there were.
    carried: u64,
}

/// Serves until the last handle of the proxy is dropped.
pub(super) async fn run(port: ReservedPort, origin: Origin, mut commands: mpsc::Receiver<Command>) {
    let (shape, _) = watch::channel(Shape::default());
    let links = JoinSet::new();
    let mut acceptor = Acceptor { port, origin, listener: None, cut: false, shape, links, carried: 0 };
    let mut origin_changes = acceptor.origin.clone();
    loop {
        let listens_as_it_should = acceptor.reconcile().is_ok();
        tokio::select! {
            biased;
            command = commands.recv() => {
                let Some(Command { change, done }) = command else { return };
                acceptor.obey(change).await;
                // A failure is tried again by the loop; a caller who gave up needs no answer.
                let _retried = acceptor.reconcile();
                let _unheard = done.send(());
            }
            changed = origin_changes.changed() => if changed.is_err() { return },
            Some(_ended) = acceptor.links.join_next() => {}
            connection = accept(acceptor.listener.as_ref()) => acceptor.carry(connection),
            () = tokio::time::sleep(RETRY), if !listens_as_it_should => {}
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => Ok(listener.accept().await?.0),
        None => std::future::pending().await,
    }
}

impl Acceptor {
    /// Listens if and only if the server is up and the link is not cut.
    fn reconcile(&mut self) -> io::Result<()> {
        let should_listen = !self.cut && self.origin.borrow().is_some();
        if !should_listen {
            self.listener = None;
            self.port.hold()?;
        } else if self.listener.is_none() {
            self.listener = Some(self.port.listen()?);
        }
        Ok(())
    }

    async fn obey(&mut self, change: Change) {
        match change {
            Change::Cut => {
                self.cut = true;
                self.listener = None;
                self.close_all(Closing::Orderly).await;
            }
            Change::Reset => self.close_all(Closing::Reset).await,
            Change::Blackhole => self.reshape(|shape| shape.silent = true),
            Change::Forget => self.reshape(|shape| shape.forgotten = self.carried),
            Change::Delay { to_server, to_client } => self.reshape(|shape| {
                shape.to_server.delay = to_server;
                shape.to_client.delay = to_client;
            }),
            Change::Rate(rate) => self.reshape(|shape| {
                shape.to_server.rate = Some(rate);
                shape.to_client.rate = Some(rate);
            }),
            Change::Heal => {
                self.cut = false;
                self.reshape(|shape| {
                    let Shape { epoch, forgotten, .. } = *shape;
                    *shape = Shape { epoch, forgotten, ..Shape::default() };
                });
            }
            Change::Settle => {}
        }
    }

    fn reshape(&self, change: impl FnOnce(&mut Shape)) {
        self.shape.send_modify(change);
    }

    async fn close_all(&mut self, closing: Closing) {
        self.reshape(|shape| {
            shape.epoch += 1;
            shape.closing = closing;
        });
        while self.links.join_next().await.is_some() {}
    }

    fn carry(&mut self, connection: io::Result<TcpStream>) {
        // A failed accept concerns a client who has gone already.
        if let Ok(client) = connection {
            self.carried += 1;
            let it = Link { number: self.carried, epoch: self.shape.borrow().epoch };
            self.links.spawn(link::carry(client, self.origin.clone(), self.shape.subscribe(), it));
        }
    }
}
