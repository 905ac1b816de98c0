//! The driver-independent core of rr.

pub mod balance;
pub mod config;
pub mod connector;
pub mod consistency;
pub mod engine;
pub mod failover;
pub mod health;
pub mod lag;
pub mod load;
pub mod position;
pub mod requirement;
pub mod select;
pub mod session;
pub mod sql;
pub mod time;
pub mod topology;
pub mod world;
