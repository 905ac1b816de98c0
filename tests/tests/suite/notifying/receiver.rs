//! An HTTP server that records what it is sent, and answers as it is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use axum::serve::Listener;
use rr_tests::tls::Authority;
use rr_tests::wait::{PATIENCE, wait_for};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::router::Result;

/// How one request is answered. Whatever comes after the last of these is taken.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    Code(u16),
    /// 429, with this many seconds to wait.
    Later(u32),
    /// Not at all.
    Hang,
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) path: String,
    pub(super) authorization: Option<String>,
    pub(super) body: Value,
}

type Shared = Arc<Mutex<(Vec<Received>, VecDeque<Answer>)>>;

pub(super) struct Receiver {
    address: SocketAddr,
    shared: Shared,
    serving: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Receiver {
    pub(super) async fn start(answers: impl IntoIterator<Item = Answer>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        Ok(Self::serve(listener, address, answers))
    }

    /// One that encrypts.
    pub(super) async fn start_tls(authority: &Authority) -> Result<Self> {
        let tcp = TcpListener::bind("127.0.0.1:0").await?;
        let address = tcp.local_addr()?;
        Ok(Self::serve(Encrypted { tcp, tls: acceptor(authority)? }, address, []))
    }

    fn serve<L>(listener: L, address: SocketAddr, answers: impl IntoIterator<Item = Answer>) -> Self
    where
        L: Listener<Addr = SocketAddr>,
    {
        let shared = Shared::new(Mutex::new((Vec::new(), answers.into_iter().collect())));
        let state = Arc::clone(&shared);
        let service =
            axum::Router::new().fallback(move |request: Request| answer(request, Arc::clone(&state)));
        let serving =
            async move { axum::serve(listener, service).await.expect("it serves until it is dropped") };
        Self { address, shared, serving: tokio::spawn(serving) }
    }

    /// A URL of it.
    pub(super) fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://{}{path}", self.address)
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.shared.lock().expect("no test panics while it looks").0.clone()
    }

    /// What it has received when that is `enough`.
    pub(super) async fn until(
        &self,
        what: &str,
        enough: impl Fn(&[Received]) -> bool,
    ) -> Result<Vec<Received>> {
        let look = || {
            let received = self.received();
            std::future::ready(Ok::<_, Infallible>(enough(&received).then_some(received)))
        };
        Ok(wait_for(PATIENCE, what, look)
            .await
            .map_err(|error| format!("{error}: {:#?}", self.received()))?)
    }
}

async fn answer(request: Request, shared: Shared) -> Response {
    let (head, body) = request.into_parts();
    let bytes = to_bytes(body, 1 << 20).await.expect("a body");
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    assert_eq!(text("content-type").as_deref(), Some("application/json"));
    let body = serde_json::from_slice(&bytes).expect("JSON");
    let received = Received { path: head.uri.path().to_owned(), authorization: text("authorization"), body };
    let answer = {
        let mut shared = shared.lock().expect("no test panics while it looks");
        shared.0.push(received);
        shared.1.pop_front()
    };
    let response = match answer.unwrap_or(Answer::Code(202)) {
        Answer::Code(code) => Response::builder().status(code),
        Answer::Later(seconds) => Response::builder().status(429).header("retry-after", seconds),
        Answer::Hang => std::future::pending().await,
    };
    response.body(Body::empty()).expect("a response")
}

/// Encrypts as 127.0.0.1.
pub(super) fn acceptor(authority: &Authority) -> Result<TlsAcceptor> {
    let (certificate, key) = authority.server()?;
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

struct Encrypted {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            // Whoever does not trust us breaks off.
            if let Ok((stream, address)) = self.tcp.accept().await
                && let Ok(stream) = self.tls.accept(stream).await
            {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}
