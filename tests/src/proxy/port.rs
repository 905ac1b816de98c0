//! A TCP port which stays ours while nobody listens on it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// The queue of connections which wait to be accepted.
const BACKLOG: u32 = 1024;

/// A port on 127.0.0.1, held by a socket which is bound but does not listen.
///
/// Connections to it are refused, yet no other process gets it from the kernel as its free port, and a
/// client that calls it in vain cannot be connected to itself. On Linux another socket may listen on
/// the port all the same, as both allow re-use of the address; elsewhere the holder must step aside.
#[derive(Debug)]
pub(crate) struct ReservedPort {
    number: u16,
    holder: Option<TcpSocket>,
}

impl ReservedPort {
    /// Reserves a free port.
    pub(crate) fn reserve() -> io::Result<Self> {
        let holder = bind(0)?;
        Ok(Self { number: holder.local_addr()?.port(), holder: Some(holder) })
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// Steps aside for one who is about to listen on the port.
    pub(crate) fn lend(&mut self) {
        if !cfg!(target_os = "linux") {
            self.holder = None;
        }
    }

    /// Holds the port again after its listener has gone.
    pub(crate) fn hold(&mut self) -> io::Result<()> {
        if self.holder.is_none() {
            self.holder = Some(bind(self.number)?);
        }
        Ok(())
    }

    /// Listens on the port. Call [`hold`](Self::hold) once the listener is dropped.
    pub(crate) fn listen(&mut self) -> io::Result<TcpListener> {
        self.lend();
        bind(self.number)?.listen(BACKLOG)
    }
}

fn bind(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(socket)
}
