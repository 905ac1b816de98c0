//! SeaORM, whose connections to PostgreSQL are routed.
//!
//! This is all of SeaORM under its own names, except that [`DatabaseConnection`], [`DbConn`], [`DatabaseTransaction`] and
//! [`Database`] are rr's: an application that names SeaORM's types in every signature gets replicas by one line in its
//! `Cargo.toml`,
//!
//! ```toml
//! sea-orm = { package = "rr-sea-orm", version = "0.1", features = ["sqlx-postgres", "runtime-tokio-rustls"] }
//! ```
//!
//! and the replicas' URLs in its environment (`RR_REPLICA_URLS`, separated by commas). Entities, and whatever SeaORM's
//! macros expand to, speak of `sea_orm` and so mean this crate. `sea-orm-migration` stays as it is and takes the routed
//! connection: migrations run on the primary.
//!
//! # What it cannot cover
//!
//! - Crates that use SeaORM themselves (such as seaography) mean the plain types. Where they ask for a
//!   `&DatabaseConnection`, a reference to a routed one is accepted and means the primary. Where they ask for the value,
//!   give them `(*db).clone()`.
//! - `sea_orm_migration::sea_orm` is SeaORM itself. A `Database::connect` by that path, and the command line of
//!   `sea-orm-migration`, open plain connections to the primary, of whose writes this process's replicas know nothing.
//! - Connections that do not come from [`Database::connect`] (`SqlxPostgresConnector::from_sqlx_postgres_pool`,
//!   `MockDatabase::into_connection`, `Database::connect_proxy`) are plain: one connection cannot be routed. Where the application
//!   names their type (`let db: DatabaseConnection = …`, or gives them to a function that asks for a `&DatabaseConnection`) it does
//!   not compile: leave the type away, and have code that is to take them as well as routed ones ask for `impl ConnectionTrait`.
//! - A `DatabaseConnection` that is made out of nothing, or out of what is in one, does not compile: `DatabaseConnection::default()`,
//!   `#[derive(Default)]` around one, and `From` of a driver's pool or a `DatabaseConnectionType` (`pool.into()`). Instead there are
//!   `Option<DatabaseConnection>`, `ConnectOptions::connect_lazy`, and `from_sqlx_postgres_pool(pool)`, which is plain.
//! - `into_transaction_log()` is there for what `MockDatabase::into_connection` has made. On a [`DatabaseConnection`], which is never a mock,
//!   it does not compile.
//! - The feature `proxy` together with `sqlx-mysql`, `sqlx-sqlite` or `with-bigdecimal`: SeaORM 2.0.4 itself does not compile then.
//! - Databases other than PostgreSQL. [`Database::connect`] says so.
//! - SeaORM's features for other runtimes (`runtime-async-std…`, `sync`, `rusqlite`) do not exist: rr needs tokio.
//! - The fields and variants of `DatabaseConnection` and `DatabaseExecutor` (`db.inner`, `DatabaseConnectionType`): what is
//!   in them is the primary's.
//! - `get_postgres_connection_pool()` is the primary's pool, as is what was restricted by `restricted_for`. Statements that
//!   are given to the pool itself are the driver's alone: replicas are not asked to have seen what they wrote.

#[doc(inline)]
pub use plain_sea_orm::*;

#[doc(inline)]
pub use rr_seaorm::{
    RoutedConnection as DatabaseConnection, RoutedStream as QueryStream,
    RoutedTransaction as DatabaseTransaction, RoutedTransactionStream as TransactionStream,
};

/// rr itself: hints, sessions, configuration.
pub use rr_seaorm as rr;

mod database;
mod debug;

pub use database::Database;
#[doc(hidden)]
pub use debug::HasBackend;

/// [`DatabaseConnection`], for short.
pub type DbConn = DatabaseConnection;

/// What entities are made of.
pub mod entity {
    pub use plain_sea_orm::entity::*;

    pub use crate::prelude;
}

/// What most files want to have in scope.
pub mod prelude {
    pub use plain_sea_orm::prelude::*;

    pub use crate::{DatabaseConnection, DbConn};
}
