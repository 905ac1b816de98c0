//! `debug_query!`, which also takes a routed connection.

use plain_sea_orm::{ConnectionTrait, DbBackend};

/// Whatever says which dialect a query is to be rendered in.
pub trait HasBackend {
    /// The dialect.
    fn backend(&self) -> DbBackend;
}

impl HasBackend for DbBackend {
    fn backend(&self) -> DbBackend {
        *self
    }
}

impl HasBackend for plain_sea_orm::DatabaseConnection {
    fn backend(&self) -> DbBackend {
        ConnectionTrait::get_database_backend(self)
    }
}

impl HasBackend for crate::DatabaseConnection {
    fn backend(&self) -> DbBackend {
        ConnectionTrait::get_database_backend(self)
    }
}

impl<T: HasBackend> HasBackend for &T {
    fn backend(&self) -> DbBackend {
        (**self).backend()
    }
}

/// The statement that a query becomes.
#[macro_export]
macro_rules! debug_query_stmt {
    ($query:expr,$value:expr) => {
        $crate::QueryTrait::build($query, $crate::HasBackend::backend(&$value))
    };
}

/// The text that a query becomes, values included.
#[macro_export]
macro_rules! debug_query {
    ($query:expr,$value:expr) => {
        $crate::debug_query_stmt!($query, $value).to_string()
    };
}
