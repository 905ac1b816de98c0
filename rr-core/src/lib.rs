//! The driver-independent core of rr.

pub mod balance;
mod budget;
pub mod config;
pub mod connector;
pub mod consistency;
pub mod engine;
pub mod error;
pub mod failover;
pub mod health;
pub mod lag;
pub mod load;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(not(feature = "metrics"))]
#[path = "metrics_off.rs"]
mod metrics;
mod monitor;
pub mod position;
pub mod requirement;
pub mod route;
pub mod router;
pub mod select;
pub mod session;
mod snapshot;
pub mod sql;
pub mod time;
pub mod topology;
pub mod world;

pub use config::Config;
pub use connector::Connector;
pub use consistency::Consistency;
pub use position::Position;
pub use requirement::Requirement;
pub use route::{Access, Outcome, Request, Route, RouteError, RouteReason};
pub use router::Router;
pub use session::Session;
