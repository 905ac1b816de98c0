//! HTTP: sessions in cookies and headers, levels by route, health routes and a live page, for axum and other tower services.
//!
//! ```
//! use axum::routing::get;
//! use rr_core::web::{ConsistencyLayer, HealthPolicy, SessionLayer, health_routes};
//! use rr_core::{Connector, Consistency, Router};
//!
//! fn application<C: Connector>(router: &Router<C>) -> axum::Router {
//!     let report = get(|| async { "may be a little old" });
//!     axum::Router::new()
//!         .route("/report", report.layer(ConsistencyLayer::new(Consistency::Eventual)))
//!         .route("/", get(|| async { "sees what its user wrote, on whatever process" }))
//!         .layer(SessionLayer::new(router))
//!         .merge(health_routes(router, HealthPolicy::default()))
//! }
//! ```

mod body;
mod cookies;
pub mod dashboard;
mod health;
mod layer;
mod level;
#[cfg(feature = "prometheus")]
mod metrics;
mod rejection;

pub use cookies::CookieSettings;
pub use dashboard::{Dashboard, Panel, dashboard};
pub use health::{HealthPolicy, health_routes};
pub use layer::{SessionLayer, SessionService};
pub use level::{ConsistencyLayer, ConsistencyService};
#[cfg(feature = "prometheus")]
pub use metrics::metrics;
pub use rejection::Rejection;

/// The header that a token travels in, where headers are used.
pub const HEADER: &str = "rr-session";
