//! What the application calls its database.

pub use sea_orm::{Database, DatabaseConnection, DatabaseTransaction};
