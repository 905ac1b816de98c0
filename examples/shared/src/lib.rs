//! What the examples share, so that their own code is what an application would write: the command line, the servers, the
//! processes, the laboratory and the page.
//!
//! The process that a user starts is the **launcher**. It boots a cluster, or takes the one that the environment names, and
//! starts **instances**: processes of the same program that serve the application on ports of their own. What an instance
//! has to know is in its environment; instances share nothing but the key of their session cookies. They end with the
//! launcher, however it ends.

mod burst;
mod client;
mod command_line;
mod elsewhere;
mod instance;
mod laboratory;
mod launcher;
mod login;
mod page;
mod passing;
mod peers;
#[cfg(feature = "scenario")]
pub mod scenario;

use std::error::Error;
use std::process::ExitCode;

use rr_core::{Config, Connector, Router};

pub use burst::{Reading, Trial};
pub use client::{Answer, Client, ClientError};
pub use login::Login;

/// Whatever went wrong, for whoever only reports it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Runs an example: the launcher where a user starts it, an instance where the launcher does.
///
/// `start` makes the application of an instance: it connects, brings the database up to date, and has the routes.
pub async fn run<S>(about: &'static str, start: S) -> ExitCode
where
    S: AsyncFnOnce(Config) -> Result<axum::Router, BoxError>,
{
    tracing_subscriber::fmt().with_env_filter(filter()).with_writer(std::io::stderr).init();
    let ended = match instance::Order::from_env() {
        Some(order) => Box::pin(instance::serve(order, start)).await,
        None => Box::pin(launcher::launch(about)).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What an application gets from here beside its own routes: the live page, and the laboratory where there is one.
pub fn routes<C: Connector, S, T: Trial>(router: &Router<C>, trial: T) -> axum::Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    page::page_routes(router).merge(passing::laboratory_routes(trial))
}

/// The guide's code, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/axum.md")]
struct Guide;

/// What is logged: `RUST_LOG`, or else what went wrong.
fn filter() -> tracing_subscriber::EnvFilter {
    tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "error".into())
}
