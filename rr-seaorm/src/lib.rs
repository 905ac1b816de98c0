//! SeaORM connections that read from replicas and write to the primary.
//!
//! An application connects with [`RoutedConnection::connect`] instead of `Database::connect`, and names
//! [`RoutedConnection`] where it named `DatabaseConnection`. Nothing else changes: each statement goes to the node that it
//! belongs to, at the moment when it runs.
//!
//! ```no_run
//! use rr_seaorm::RoutedConnection;
//! use sea_orm::{ConnectionTrait, Statement};
//!
//! # async fn example() -> Result<(), sea_orm::DbErr> {
//! // The replicas are in the environment: RR_REPLICA_URLS=postgres://app@db-2/app,postgres://app@db-3/app
//! let db = RoutedConnection::connect("postgres://app@db-1/app").await?;
//!
//! let question = Statement::from_string(db.get_database_backend(), "SELECT 1");
//! db.query_one_raw(question).await?; // a replica
//! # Ok(())
//! # }
//! ```
//!
//! Behind it there is a pool of SeaORM's own for every node, opened by the [`SeaOrmConnector`]. What a statement is, its
//! type says where SeaORM has one for it, and its text otherwise.

mod connection;
mod connector;
mod error;
#[cfg(feature = "axum")]
pub mod extract;
mod hint;
mod job;
mod metric;
pub mod retry;
#[cfg(feature = "schema-sync")]
mod schema;
mod stream;
mod transaction;

pub use connection::RoutedConnection;
pub use connector::{ConnectorError, NodePool, SeaOrmConnector};
pub use error::{RoutingError, fault, outcome_unknown, routing_error};
pub use hint::RouteHints;
pub use stream::RoutedStream;
pub use transaction::{RoutedTransaction, RoutedTransactionStream};

/// The guide's code, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/seaorm.md")]
struct Guide;
