//! One proxied connection: two one-way pumps under the shape of the moment.

use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::num::NonZeroU64;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Origin;

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;
/// Bytes under way in one direction; a slow reader must stop the writer at some point.
const IN_FLIGHT: usize = 1024 * 1024;

/// How the link treats its connections now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shape {
    /// Connections of an earlier epoch must end, as `closing` says.
    pub(super) epoch: u64,
    pub(super) closing: Closing,
    pub(super) silent: bool,
    /// Connections up to this one are silent for ever.
    pub(super) forgotten: u64,
    pub(super) to_server: Way,
    pub(super) to_client: Way,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Closing {
    #[default]
    Orderly,
    Reset,
}

/// Which connection it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) number: u64,
    pub(super) epoch: u64,
}

impl Link {
    fn is_silent(self, shape: &Shape) -> bool {
        shape.silent || self.number <= shape.forgotten
    }
}

/// One direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Way {
    pub(super) delay: Duration,
    pub(super) rate: Option<NonZeroU64>,
}

/// Carries one connection until a side ends it or the link does.
pub(super) async fn carry(mut client: TcpStream, origin: Origin, shape: watch::Receiver<Shape>, link: Link) {
    let mut ending = shape.clone();
    let ended = ending.wait_for(|shape| shape.epoch != link.epoch);
    tokio::pin!(ended);
    let connected = tokio::select! {
        _ended = &mut ended => return close(&shape, &[&client]),
        connected = connect(origin, shape.clone(), link) => connected,
    };
    let Ok(mut server) = connected else {
        // The server's own port would have answered with a reset.
        return reset(&[&client]);
    };
    let outcome = tokio::select! {
        _ended = &mut ended => None,
        outcome = converse(&mut client, &mut server, &shape, link) => Some(outcome),
    };
    match outcome {
        None => close(&shape, &[&client, &server]),
        Some(Err(_)) => reset(&[&client, &server]),
        Some(Ok(())) => {}
    }
}

async fn connect(origin: Origin, mut shape: watch::Receiver<Shape>, link: Link) -> io::Result<TcpStream> {
    let link_ended = || io::Error::from(io::ErrorKind::NotConnected);
    shape.wait_for(|shape| !link.is_silent(shape)).await.map_err(|_| link_ended())?;
    let port = origin.borrow().ok_or_else(link_ended)?;
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await
}

async fn converse(
    client: &mut TcpStream,
    server: &mut TcpStream,
    shape: &watch::Receiver<Shape>,
    link: Link,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    tokio::try_join!(
        pump(from_client, to_server, shape.clone(), link, |shape| shape.to_server),
        pump(from_server, to_client, shape.clone(), link, |shape| shape.to_client),
    )?;
    Ok(())
}

/// Forwards one direction until its end of file has been forwarded, too.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut shape: watch::Receiver<Shape>,
    link: Link,
    way: fn(&Shape) -> Way,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    // Chunks under way with the moment they were sent; an empty one is the end of file.
    let mut under_way: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut in_flight = 0;
    let mut at_end = false;
    let mut line_free = Instant::now();
    loop {
        // Delay and rate are those of now, so that healing sets free what is under way.
        let (silent, Way { delay, rate }) = {
            let shape = shape.borrow_and_update();
            (link.is_silent(&shape), way(&shape))
        };
        // An endless delay is never due.
        let arrives = under_way.front().and_then(|(sent, _)| sent.checked_add(delay));
        let due = arrives.map(|due| if rate.is_some() { due.max(line_free) } else { due });
        // A slow line is read in small bites, so that bytes drip rather than gush.
        let bite =
            rate.map_or(CHUNK, |rate| usize::try_from(rate.get() / 50).unwrap_or(CHUNK).clamp(1, CHUNK));
        tokio::select! {
            biased;
            changed = shape.changed() => if changed.is_err() { return Err(io::ErrorKind::NotConnected.into()) },
            () = arrival(due), if !silent => {
                let Some((_, chunk)) = under_way.pop_front() else { continue };
                if chunk.is_empty() {
                    return to.shutdown().await;
                }
                in_flight -= chunk.len();
                to.write_all(&chunk).await?;
                line_free = line_free.max(Instant::now()) + time_on_line(chunk.len(), rate);
            }
            read = from.read(&mut buffer[..bite]), if !silent && !at_end && in_flight < IN_FLIGHT => {
                let chunk = &buffer[..read?];
                at_end = chunk.is_empty();
                if under_way.is_empty() && delay.is_zero() && rate.is_none() && !at_end {
                    to.write_all(chunk).await?;
                } else {
                    in_flight += chunk.len();
                    under_way.push_back((Instant::now(), chunk.to_vec()));
                }
            }
        }
    }
}

async fn arrival(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn time_on_line(bytes: usize, rate: Option<NonZeroU64>) -> Duration {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    rate.map_or(Duration::ZERO, |rate| Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / rate))
}

fn close(shape: &watch::Receiver<Shape>, streams: &[&TcpStream]) {
    match shape.borrow().closing {
        Closing::Orderly => {}
        Closing::Reset => reset(streams),
    }
}

/// Makes the coming drop of the streams send a TCP reset.
fn reset(streams: &[&TcpStream]) {
    for stream in streams {
        // It fails only on a socket which the peer has reset already.
        let _already_reset = stream.set_zero_linger();
    }
}
