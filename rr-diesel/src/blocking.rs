//! Diesel's own, synchronous connections.
//!
//! The same idea as the rest of this crate, for code without `async`: a [`RoutedConnection`] is a handle that takes a
//! connection of the right node for each statement. It is used like a [`PgConnection`](diesel::PgConnection), comes out of
//! a [`RoutedPool`], of [`r2d2`](diesel::r2d2)'s pool over a [`RoutedManager`], or of
//! [`establish`](diesel::Connection::establish).
//!
//! The nodes are watched by one background thread of the process, whatever the application's own threads do. Nothing
//! here needs a runtime of the application, and nothing breaks when it is called inside one.
//!
//! Two things are different without `async`. Where a write ended is asked behind it, which is a round trip more for every
//! write outside of a transaction and one for every transaction that wrote. And the limit for a statement
//! (`statement_timeout`) is kept by the server: nothing stops a thread that waits for a server which hangs.
//!
//! ```no_run
//! use diesel::prelude::*;
//! use rr_diesel::blocking::RoutedPool;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = RoutedPool::<PgConnection>::from_urls("postgres://primary/app", ["postgres://replica/app"])?;
//! let conn = &mut pool.get()?;
//! diesel::sql_query("UPDATE users SET seen = now()").execute(conn)?; // the primary
//! diesel::sql_query("SELECT * FROM users").execute(conn)?; // a replica that has the update
//! # Ok(())
//! # }
//! ```

mod backend;
mod builder;
mod connection;
mod connector;
mod copy;
mod cursor;
mod establish;
mod line;
mod load;
mod login;
mod node;
mod opener;
mod pool;
pub mod retry;
mod run;
mod runtime;
mod traits;
mod transaction;

pub use backend::{Routable, RoutedLoad};
pub use connection::{OnPrimary, RoutedConnection};
pub use connector::NodeConnector;
pub use cursor::RoutedCursor;
pub use login::Login;
pub use node::NodePool;
pub use pool::{RoutedManager, RoutedPool};
pub use transaction::RoutedTransactionManager;
