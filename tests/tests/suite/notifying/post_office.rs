//! A mail server that records what it is given: as much of RFC 5321 as a client needs.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rr_tests::tls::Authority;
use rr_tests::wait::{PATIENCE, wait_for};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::receiver::acceptor;
use crate::router::Result;

/// How a connection is encrypted.
#[derive(Clone)]
pub(super) enum Encryption {
    None,
    StartTls,
    Always,
}

/// A mail.
#[derive(Clone, Debug, Default)]
pub(super) struct Letter {
    /// User and password, with a byte 0 before each.
    pub(super) login: String,
    pub(super) encrypted: bool,
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) text: String,
}

#[derive(Default)]
struct Office {
    letters: Vec<Letter>,
    /// How the next letters are refused; what comes after them is taken.
    refusals: VecDeque<&'static str>,
}

type Shared = Arc<Mutex<Office>>;

pub(super) struct PostOffice {
    pub(super) address: SocketAddr,
    shared: Shared,
    serving: JoinHandle<()>,
}

impl Drop for PostOffice {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl PostOffice {
    pub(super) async fn open(
        authority: &Authority,
        encryption: Encryption,
        refusals: impl IntoIterator<Item = &'static str>,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, tls) = (listener.local_addr()?, acceptor(authority)?);
        let office = Office { refusals: refusals.into_iter().collect(), ..Office::default() };
        let shared = Shared::new(Mutex::new(office));
        let state = Arc::clone(&shared);
        let serving = tokio::spawn(async move {
            // One after the other is enough. A client that breaks off ends its conversation only.
            while let Ok((stream, _)) = listener.accept().await {
                let ended = match encryption {
                    Encryption::Always => match tls.accept(stream).await {
                        Ok(stream) => converse(BufStream::new(stream), None, true, &state).await.map(drop),
                        Err(error) => Err(error),
                    },
                    Encryption::StartTls => upgrade(BufStream::new(stream), &tls, &state).await,
                    Encryption::None => converse(BufStream::new(stream), None, false, &state).await.map(drop),
                };
                drop(ended);
            }
        });
        Ok(Self { address, shared, serving })
    }

    pub(super) fn letters(&self) -> Vec<Letter> {
        self.shared.lock().expect("no test panics while it looks").letters.clone()
    }

    pub(super) async fn until(&self, count: usize) -> Result<Vec<Letter>> {
        let look = || {
            let letters = self.letters();
            std::future::ready(Ok::<_, Infallible>((letters.len() >= count).then_some(letters)))
        };
        Ok(wait_for(PATIENCE, "mail", look)
            .await
            .map_err(|error| format!("{error}: {:#?}", self.letters()))?)
    }
}

async fn upgrade<S>(stream: BufStream<S>, tls: &TlsAcceptor, shared: &Shared) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if let Some(plain) = converse(stream, Some("STARTTLS"), false, shared).await? {
        let stream = BufStream::new(tls.accept(plain.into_inner()).await?);
        // No second greeting after STARTTLS.
        talk(stream, None, true, shared).await?;
    }
    Ok(())
}

async fn converse<S>(
    mut stream: BufStream<S>,
    offer: Option<&str>,
    encrypted: bool,
    shared: &Shared,
) -> std::io::Result<Option<BufStream<S>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    say(&mut stream, "220 office ESMTP").await?;
    talk(stream, offer, encrypted, shared).await
}

/// Gives back the connection when it is to be encrypted.
async fn talk<S>(
    mut stream: BufStream<S>,
    offer: Option<&str>,
    encrypted: bool,
    shared: &Shared,
) -> std::io::Result<Option<BufStream<S>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut letter = Letter { encrypted, ..Letter::default() };
    loop {
        let line = hear(&mut stream).await?;
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => {
                let last = if encrypted { "AUTH PLAIN LOGIN" } else { offer.unwrap_or("HELP") };
                say(&mut stream, &format!("250-office\r\n250-8BITMIME\r\n250 {last}")).await?;
            }
            "STARTTLS" if offer.is_some() => {
                say(&mut stream, "220 go ahead").await?;
                return Ok(Some(stream));
            }
            "AUTH" => {
                let encoded = rest.strip_prefix("PLAIN ").unwrap_or_default();
                let decoded = STANDARD.decode(encoded).unwrap_or_default();
                letter.login = String::from_utf8_lossy(&decoded).into_owned();
                say(&mut stream, "235 welcome").await?;
            }
            "MAIL" => {
                rest.trim_start_matches("FROM:").clone_into(&mut letter.from);
                say(&mut stream, "250 ok").await?;
            }
            "RCPT" => {
                letter.to.push(rest.trim_start_matches("TO:").to_owned());
                say(&mut stream, "250 ok").await?;
            }
            "DATA" => {
                say(&mut stream, "354 go ahead").await?;
                loop {
                    let line = hear(&mut stream).await?;
                    if line == "." {
                        break;
                    }
                    letter.text += &format!("{}\n", line.strip_prefix('.').unwrap_or(&line));
                }
                let refusal = {
                    let mut office = shared.lock().expect("no test panics while it looks");
                    let taken = std::mem::replace(&mut letter, Letter { encrypted, ..Letter::default() });
                    let refusal = office.refusals.pop_front();
                    office.letters.push(taken);
                    refusal
                };
                say(&mut stream, refusal.unwrap_or("250 taken")).await?;
            }
            "QUIT" => {
                say(&mut stream, "221 bye").await?;
                return Ok(None);
            }
            _ => say(&mut stream, "502 what?").await?,
        }
    }
}

async fn hear<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufStream<S>) -> std::io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufStream<S>,
    text: &str,
) -> std::io::Result<()> {
    stream.write_all(format!("{text}\r\n").as_bytes()).await?;
    stream.flush().await
}
