//! The record shop, whose database goes by another name.

pub mod crowd;
pub mod database {
    //! What the application calls its database.

    pub use rr_seaorm::{RoutedConnection as DatabaseConnection, RoutedTransaction as DatabaseTransaction};
}
pub mod diary;
pub mod entity;
pub mod graph;
pub mod migration;
pub mod paging;
pub mod raw;
pub mod reading;
pub mod schema;
pub mod shop;
pub mod transactions;
pub mod types;
pub mod writing;
