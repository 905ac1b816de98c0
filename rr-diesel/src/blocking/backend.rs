//! What differs between Diesel's connections.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use diesel::backend::Backend;
use diesel::connection::{AnsiTransactionManager, Connection, LoadConnection, MultiConnectionHelper};
use diesel::expression::QueryMetadata;
use diesel::migration::MigrationConnection;
use diesel::query_builder::{Query, QueryFragment, QueryId};
use diesel::r2d2::R2D2Connection;
use diesel::result::QueryResult;
use rr_core::connector::Target;
use rr_core::outcome::TransactionId;
use rr_core::position::Position;
use rr_core::sql::Dialect;
use rr_core::topology::Role;

use crate::connector::ConnectError;

#[cfg(feature = "blocking-mysql")]
mod mysql;
mod postgres;
#[cfg(feature = "blocking-sqlite")]
mod sqlite;

/// One of Diesel's connections, which a [`RoutedConnection`](super::RoutedConnection) can choose between.
///
/// The methods are this crate's own business. Only PostgreSQL can be watched and therefore routed in this version; the
/// other connections are there so that code which is generic over them compiles.
pub trait Routable:
    Connection<
        TransactionManager = AnsiTransactionManager,
        Backend: Backend<QueryBuilder: Default> + Default + 'static,
    > + LoadConnection
    + R2D2Connection
    + MigrationConnection
    + MultiConnectionHelper
    + sealed::Sealed
    + 'static
{
    /// Whose SQL it speaks.
    #[doc(hidden)]
    const DIALECT: Dialect;

    /// What to establish a connection to the target with.
    #[doc(hidden)]
    fn address(target: &Target) -> Result<String, ConnectError>;

    /// Makes a new connection fit for its role: those to replicas refuse to write. The server keeps the limit for a statement.
    #[doc(hidden)]
    fn set_up(&mut self, role: Role, limit: Option<Duration>) -> QueryResult<()>;

    /// Where the log ends now, if that can be told.
    #[doc(hidden)]
    fn position(&mut self, segment: &AtomicU64) -> Option<Position>;

    /// The number of the transaction that is open, if it has one that can be asked for later.
    #[doc(hidden)]
    fn transaction_id(&mut self, _segment: &AtomicU64) -> Option<TransactionId> {
        None
    }
}

/// A connection that loads rows in the mode `B`.
pub trait RoutedLoad<B>: LoadConnection<B> {
    /// Whether all rows are in memory when a load returns, so that its connection is free.
    #[doc(hidden)]
    const DETACHED: bool;

    /// Loads rows that need no connection any more.
    #[doc(hidden)]
    fn load_detached<'conn, 'query, T>(&mut self, source: T) -> QueryResult<Self::Cursor<'conn, 'query>>
    where
        Self: 'conn,
        T: Query + QueryFragment<Self::Backend> + QueryId + 'query,
        Self::Backend: QueryMetadata<T::SqlType>;
}

mod sealed {
    #[expect(unnameable_types, reason = "nobody else is to implement it")]
    pub trait Sealed {}
    impl Sealed for diesel::PgConnection {}
    #[cfg(feature = "blocking-mysql")]
    impl Sealed for diesel::MysqlConnection {}
    #[cfg(feature = "blocking-sqlite")]
    impl Sealed for diesel::SqliteConnection {}
}

/// Rows of these modes are read off their connection one by one.
macro_rules! attached {
    ($connection:ty, $mode:ty) => {
        impl crate::blocking::RoutedLoad<$mode> for $connection {
            const DETACHED: bool = false;

            fn load_detached<'conn, 'query, T>(
                &mut self,
                _: T,
            ) -> diesel::QueryResult<
                <Self as diesel::connection::LoadConnection<$mode>>::Cursor<'conn, 'query>,
            >
            where
                Self: 'conn,
            {
                unreachable!("only asked for where rows are detached")
            }
        }
    };
}
use attached;
