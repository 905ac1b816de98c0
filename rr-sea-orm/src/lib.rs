//! SeaORM, whose connections to PostgreSQL are routed.

pub use plain_sea_orm::*;
