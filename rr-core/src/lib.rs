//! The driver-independent core of rr: which node may serve this statement, and why.
//!
//! # The model in one breath
//!
//! A *monitor* asks every node the same question a few times a second. A *world* turns the answers into a
//! *topology*: who is the primary, who is well, and what each node has certainly applied. It is published together with
//! the connection pools as one immutable *snapshot*. A *session* remembers where its last write ended and the newest
//! state that it has seen. A statement asks with a *requirement* made from its session and its consistency level;
//! *selection* refuses every node that cannot prove to fulfil it, and says why; a *balancer* picks one of the rest. The
//! caller gets a *route*: the node's pool, the reason, and the place to tell how it went.
//!
//! ```text
//!  probes ──▶ World ──▶ Topology + pools = one snapshot
//!                             │
//!  Session ┐                  ▼
//!  level   ┴▶ Requirement ─▶ select ─▶ balance ─▶ Route ─▶ your driver
//! ```
//!
//! | to learn about | read |
//! |---|---|
//! | the entry | [`Router`], [`Request`], [`Route`], [`RouteReason`] |
//! | what a read must see | [`Consistency`], [`Session`], [`Requirement`], [`Position`], [`scope`], [`token`] |
//! | who may serve, and who does | [`select`], [`balance`] |
//! | what is known, and how it came to be known | [`topology`], [`world`], [`health`], [`lag`], [`failover`] |
//! | writes that wait, are not answered, or are run again | [`adapter::Turn`], [`outcome`], [`retry`] |
//! | SQL text | [`sql`], [`engine`] |
//! | plugging in a driver | [`Connector`] |
//! | telling people | [`notify`] |
//! | settings | [`config`] |
//! | nodes that are found rather than listed | [`discovery`] |
//!
//! Nothing here knows a database driver. An adapter implements [`Connector`]; the two for ORMs are crates of their own.
//! All decisions are pure functions of their arguments, time and randomness included; only the monitor's tasks and the
//! [`Router`] touch a clock or a runtime (tokio).
//!
//! # An example
//!
//! It runs as it is, against two nodes that exist in memory. `connector` is where your driver would be.
//!
//! ```
//! # use std::convert::Infallible;
//! # use rr_core::connector::Target;
//! # use rr_core::engine::{Fault, TextRow};
//! # use rr_core::topology::Role;
//! use rr_core::config::NodeConfig;
//! use rr_core::position::PgPosition;
//! use rr_core::{Config, Connector, Outcome, Request, RouteReason, Router, Session};
//! #
//! # /// Answers every probe as if it were at 0/1000.
//! # struct InMemory;
//! #
//! # impl Connector for InMemory {
//! #     type Pool = ();
//! #     type Control = bool;
//! #     type Error = Infallible;
//! #     fn pool(&self, _: &Target) -> Result<(), Infallible> {
//! #         Ok(())
//! #     }
//! #     async fn control(&self, target: &Target) -> Result<bool, Infallible> {
//! #         Ok(target.node.name == "primary")
//! #     }
//! #     async fn run(&self, primary: &mut bool, _: &str) -> Result<TextRow, Infallible> {
//! #         let row = if *primary {
//! #             ["f", "0/1000", "000000010000000000000001", "", "", "7", "0", "16777216"]
//! #         } else {
//! #             ["t", "0/1000", "", "1", "", "7", "1", "16777216"]
//! #         };
//! #         Ok(row.map(|text| Some(text.to_owned())).to_vec())
//! #     }
//! #     fn fault(&self, error: &Infallible, _: Role) -> Option<Fault> {
//! #         match *error {}
//! #     }
//! # }
//! #
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let connector = InMemory;
//!
//! let mut config = Config::new("postgres://app@db-1/shop")?;
//! config.replicas.push(NodeConfig::new("postgres://app@db-2/shop")?.with_name("replica-1"));
//! let router = Router::builder(connector).config(config).start().await?;
//!
//! // A write goes to the primary. Its session remembers where it ended.
//! let session = Session::new();
//! let write = router.route(&Request::write())?;
//! assert_eq!(&**write.name(), "primary");
//! // … run it on a connection of `write.pool()`, commit, and ask the server where the log ends …
//! write.finish(Outcome::Answered);
//! session.wrote(&"1:0/2000".parse::<PgPosition>()?.into());
//!
//! // The replica is only known to have applied 0/1000, so it must not serve this session's next read …
//! let request = Request::read(router.requirement(Some(&session), None));
//! let read = router.route(&request)?;
//! assert_eq!((&**read.name(), read.reason()), ("primary", RouteReason::ReplicasBehind));
//! assert!(router.explain_route(&request).to_string().contains("replica-1 (replica): behind by 4096 bytes"));
//!
//! // … while it may serve somebody who has written nothing.
//! let request = Request::read(router.requirement(Some(&Session::new()), None));
//! let read = router.route(&request)?;
//! assert_eq!((&**read.name(), read.reason()), ("replica-1", RouteReason::Replica));
//! # router.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! `metrics` (default): OpenTelemetry instruments under `rr.`. Without it the same calls compile to nothing.
//!
//! `prometheus`: these also as the text that Prometheus scrapes, `Router::metrics_text`, and as a route, `web::metrics`.
//!
//! `dns`: `discovery.kind = "dns"`, replicas that are records of a name.
//!
//! `axum`: the module `web`, sessions in cookies and headers, health routes, and a live page.
//!
//! `notify-http`: notifications by webhook, to Slack and PagerDuty. `notify-smtp`: by mail. See [`notify`].

pub mod adapter;
pub mod balance;
mod budget;
pub mod config;
pub mod connector;
pub mod consistency;
pub mod discovery;
pub mod engine;
pub mod error;
pub mod failover;
pub mod health;
pub mod journal;
pub mod lag;
pub mod load;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(not(feature = "metrics"))]
#[path = "metrics_off.rs"]
mod metrics;
mod monitor;
pub mod notify;
pub mod observe;
pub mod outcome;
pub mod position;
pub mod requirement;
pub mod retry;
pub mod route;
pub mod router;
pub mod scope;
pub mod select;
pub mod session;
mod snapshot;
pub mod sql;
mod sync;
pub mod tally;
mod throttle;
pub mod time;
pub mod token;
pub mod topology;
pub mod trail;
#[cfg(feature = "axum")]
pub mod web;
pub mod world;
mod writers;

pub use config::Config;
pub use connector::Connector;
pub use consistency::Consistency;
pub use observe::RouteObserver;
pub use outcome::OutcomeUnknown;
pub use position::Position;
pub use requirement::Requirement;
pub use route::{Access, Outcome, Request, Route, RouteError, RouteReason};
pub use router::Router;
pub use session::Session;
pub use token::{Token, TokenError};
