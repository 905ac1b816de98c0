//! The driver-independent core of rr.

pub mod config;
pub mod consistency;
pub mod engine;
pub mod position;
pub mod sql;
pub mod time;
