//! Diesel connections that read from replicas and write to the primary.
//!
//! An application takes its connections from a [`RoutedPool`] instead of its own pool. Nothing else changes: each
//! statement goes to the node that it belongs to, at the moment when it runs.
//!
//! A [`RoutedPgConnection`] is no connection but the right to use one. A query is first turned into data (its SQL,
//! its serialised binds, what kind of statement it is); then a node is chosen, a connection of that node's pool is taken
//! out for this one statement, and the query is run on it. Transactions, and statements that leave something behind
//! in their session, keep their connection to the primary.

#[cfg(feature = "blocking")]
pub mod blocking;
mod capture;
mod checkout;
mod connection;
mod connector;
mod early;
mod error;
mod establish;
mod explain;
#[cfg(feature = "axum")]
pub mod extract;
mod hint;
mod hold;
mod instrument;
mod lower;
mod pool;
pub mod retry;
mod run;
mod stream;
mod transaction;
mod verdict;

pub use connection::{OnPrimary, RoutedCancelToken, RoutedPgConnection};
pub use connector::{ConnectError, Control, DieselConnector, NodePool};
pub use error::{is_checkout_timeout, outcome_unknown};
pub use hint::{Hinted, RouteHints};
pub use pool::{PoolError, RoutedPool};
pub use stream::RoutedStream;
pub use transaction::{AsyncBody, RoutedTransactionManager, TransactionBuilder};

/// The guide's code, compiled. It has a section about `blocking`.
#[cfg(all(doctest, feature = "blocking"))]
#[doc = include_str!("../../docs/guide/diesel.md")]
struct Guide;

/// What the guide says about failovers.
#[cfg(all(doctest, feature = "blocking"))]
#[doc = include_str!("../../docs/guide/failover.md")]
struct FailoverGuide;
