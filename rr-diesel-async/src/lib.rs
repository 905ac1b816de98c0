//! diesel-async, whose connections to PostgreSQL are routed.
//!
//! This is all of diesel-async under its own names, except that [`AsyncPgConnection`] is rr's routed connection. An
//! application that names diesel-async's types in every signature gets replicas by one line in its `Cargo.toml`,
//!
//! ```toml
//! diesel-async = { package = "rr-diesel-async", version = "0.1", features = ["postgres", "bb8"] }
//! ```
//!
//! and the replicas' URLs in its environment (`RR_REPLICA_URLS`, separated by commas), or behind the primary's own where
//! it is given to `establish` or to a pool's manager.
//!
//! # What it cannot cover
//!
//! - `AsyncPgConnection::try_from` and `try_from_client_and_connection`, with which applications bring their own TLS, do
//!   not exist: one connection cannot be routed. TLS is asked for in the URL (`sslmode`, `sslrootcert`), and a
//!   [connector](rr::DieselConnector::before_connect) takes passwords that rotate.
//! - `cancel_token()` gives rr's own token; its `cancel_query` is called as before.
//! - Another crate that uses diesel-async itself means the plain types.

pub use plain_diesel_async::*;
pub use rr_diesel::RoutedPgConnection as AsyncPgConnection;
pub use rr_diesel::RoutedTransactionManager as AnsiTransactionManager;

/// rr itself: hints, pools, configuration.
pub use rr_diesel as rr;

/// What is special about PostgreSQL.
pub mod pg {
    pub use rr_diesel::RoutedPgConnection as AsyncPgConnection;
    pub use rr_diesel::TransactionBuilder;
}
