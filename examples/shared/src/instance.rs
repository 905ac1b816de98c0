//! One process of the application.

use std::io::{Read, Write};
use std::net::SocketAddr;

use rr_core::Config;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::BoxError;

/// Where an instance listens. It also tells a process that it is one.
pub(crate) const LISTEN: &str = "EXAMPLE_LISTEN";

/// Which of the instances it is, counted from 1.
pub(crate) const NUMBER: &str = "EXAMPLE_NUMBER";

/// What an instance says before its address, in a line of its own, when it can be used.
pub(crate) const LISTENING: &str = "listening on ";

/// What the launcher asks of an instance.
pub(crate) struct Order {
    listen: String,
}

impl Order {
    /// The order in this process's environment; a process without one is no instance.
    pub(crate) fn from_env() -> Option<Self> {
        std::env::var(LISTEN).ok().map(|listen| Self { listen })
    }
}

/// Serves the application until the launcher ends.
pub(crate) async fn serve<S>(order: Order, start: S) -> Result<(), BoxError>
where
    S: AsyncFnOnce(Config) -> Result<axum::Router, BoxError>,
{
    let launcher_ends = launcher_ends();
    // Ctrl-C reaches all processes of a terminal; the launcher says when it is over.
    tokio::spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
    let listener = TcpListener::bind(&order.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}; try another --port", order.listen))?;
    let application = start(Config::from_env()?).await?;
    let mut out = std::io::stdout();
    writeln!(out, "{LISTENING}{}", listener.local_addr()?)?;
    out.flush()?;
    let application = application.into_make_service_with_connect_info::<SocketAddr>();
    tokio::select! {
        served = async { axum::serve(listener, application).await } => served?,
        _ = launcher_ends => {}
    }
    Ok(())
}

/// Resolves when the launcher has ended, in whatever way: it holds the other end of our standard input and never writes.
fn launcher_ends() -> oneshot::Receiver<()> {
    let (ended, end) = oneshot::channel();
    // A thread of its own, because a runtime would wait for the read at its end.
    std::thread::spawn(move || {
        let mut nothing = [0; 64];
        while matches!(std::io::stdin().read(&mut nothing), Ok(1..)) {}
        let _gone_already = ended.send(());
    });
    end
}
