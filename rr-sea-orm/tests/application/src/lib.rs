//! A record shop, written for SeaORM alone: what applications do with it, and all that they see.

pub mod crowd;
pub mod database;
pub mod diary;
pub mod entity;
pub mod graph;
pub mod migration;
pub mod names;
pub mod paging;
pub mod raw;
pub mod reading;
pub mod schema;
pub mod shop;
pub mod transactions;
pub mod types;
pub mod writing;
