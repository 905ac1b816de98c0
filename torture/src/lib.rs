//! Histories of both ORMs on real servers under faults, and the judges of these histories.
//!
//! [`round`] boots a cluster, lets clients of two processes work on it ([`load`], [`client`]) while [`faults`] are done to
//! it, and gives the [`history`] of what they saw; [`check`] judges it, and [`minimise`] makes a bad one small. Seeds decide
//! everything but the time that things take.

pub mod check;
pub mod client;
pub mod faults;
pub mod history;
pub mod load;
pub mod minimise;
pub mod peer;
pub mod round;
pub mod torture;

/// Something failed that is no matter of consistency.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
